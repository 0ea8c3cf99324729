"""Errors of reads in PostgREST's language: what a query asks of a read model, and how it wants the answer."""

from refold.api.errors import ApiError


class SelectInvalid(ApiError):
    """`select` cannot be read, or asks for a column, cast or aggregate that there is not."""

    code, status = "select-invalid", 400
    remedy = "Write for example `select=day,total:revenue.sum(),n:count()`; casts and aggregates are listed in docs/reading.md."


class QueryTooLarge(ApiError):
    """The query has more parts than a query may: filters, list elements, depth, order, or an offset too far away."""

    code, status = "query-too-large", 400
    remedy = "Ask for less at once; docs/reading.md has the limits."


class ResourceUnknown(ApiError):
    """A filter, order or `select` names another resource, to which no link leads, or which `select` does not embed."""

    code, status = "resource-unknown", 400
    remedy = "Embed one of the links that the message names: `select=*,link(columns)`. A column name with a dot in it stands in double quotes."


class ResourceAmbiguous(ApiError):
    """`select` embeds a resource to which several links lead."""

    code, status = "resource-ambiguous", 300
    remedy = "Name the link: `select=*,link(columns)`, or behind the resource `resource!link(columns)`."


class PreferenceInvalid(ApiError):
    """`Prefer: handling=strict` came with a preference that there is not, or `timezone` names none that Postgres knows."""

    code, status = "preference-invalid", 400
    remedy = "Leave it out, or correct it; docs/reading.md lists the preferences."


class OperatorUnfit(ApiError):
    """The column's type has no such operator: Postgres matches texts only, and searches only texts and JSON."""

    code, status = "operator-unfit", 404
    remedy = "Use an operator that the type has, such as `gte` and `lt`. Aggregates may be cast: `select=column::float8.avg()`."


class NotAcceptable(ApiError):
    """The answer cannot have any of the media types that `Accept` allows, or of the codings that `Accept-Encoding` allows."""

    code, status = "not-acceptable", 406
    remedy = "Send one of the media types that the message names, or `*/*`."


class NotOneRow(ApiError):
    """`Accept: application/vnd.pgrst.object+json` wants exactly one row, and the query has none or several."""

    code, status = "not-one-row", 406
    remedy = "Filter by the key, or accept `application/json`: a list of any length."


class RangeUnsatisfiable(ApiError):
    """`offset`, `limit` or `Range` asks for rows that cannot be there."""

    code, status = "range-unsatisfiable", 416
    remedy = "Begin at a row below the total that `Content-Range` names; `limit` is not negative."


class SnapshotUnknown(ApiError):
    """The read model has no snapshot of that name."""

    code, status = "snapshot-unknown", 404
    remedy = "GET /v1/{domain} lists the snapshots of each read model; `refold replay as-of` takes one."
