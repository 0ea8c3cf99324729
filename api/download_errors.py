"""Errors of downloads: which format, and what a format cannot hold."""

from refold.api.errors import ApiError


class FormatUnknown(ApiError):
    """`format` names none of the formats that rows are downloaded in."""

    code, status = "format-unknown", 400
    remedy = "Write `format=json`, `ndjson`, `csv`, `arrow`, `parquet` or `xlsx`, once."


class FormatMissing(ApiError):
    """This installation lacks the package that writes the format."""

    code, status = "format-missing", 406
    remedy = "Install `refold[downloads]` where the API runs, or ask for csv, ndjson or json."


class FormatCannotHold(ApiError):
    """A value of the rows has no place in the format, or they are more than it takes."""

    code, status = "format-cannot-hold", 422
    remedy = "Leave the value's column or row out, or ask for another format: csv, ndjson and json take everything. docs/downloads.md has each format's limits."


class DownloadTooSlow(ApiError):
    """The download took longer than `download_s`, the longest time for which one may hold its snapshot."""

    code, status, retry_after = "download-too-slow", 503, 5
    remedy = "Ask for fewer rows or columns, or raise the setting `download_s`."
