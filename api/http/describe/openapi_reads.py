"""The part of the OpenAPI document about read models: a list in PostgREST's language, and one row by its key."""

from collections.abc import Iterable

from refold.api.change_errors import TooOld
from refold.api.download_errors import DownloadTooSlow, FormatCannotHold, FormatMissing, FormatUnknown
from refold.api.errors import (
    CursorExpired,
    CursorInvalid,
    FilterInvalid,
    LimitInvalid,
    OrderInvalid,
    PositionNotReached,
    RowAbsent,
    RowKeyInvalid,
    TooManyWaiting,
    UnknownOperator,
    UnknownParameter,
)
from refold.api.http.describe.openapi_parts import (
    KNOWN,
    MAX_AGE,
    MIN_POSITION,
    PREFER,
    TEXT,
    WHOLE,
    Json,
    parameter,
    problems,
)
from refold.api.http.downloads.formats import BINARY, FORMATS, files
from refold.api.http.reads.asking import MEDIA_TYPES
from refold.api.http.reads.language.accepting import CSV, OBJECT
from refold.api.http.reads.language.query_string import RESERVED
from refold.api.http.reads.planning.plan import MAX_LIMIT
from refold.api.reading_errors import (
    NotAcceptable,
    NotOneRow,
    OperatorUnfit,
    PreferenceInvalid,
    QueryTooLarge,
    RangeUnsatisfiable,
    ResourceUnknown,
    SelectInvalid,
)
from refold.projections.tables.serving import ServedModel
from refold.streams.errors import DatabaseUnavailable

_BAD_QUERIES = (
    UnknownParameter, UnknownOperator, FilterInvalid, SelectInvalid, OrderInvalid, LimitInvalid, CursorInvalid,
    QueryTooLarge, ResourceUnknown, PreferenceInvalid, OperatorUnfit, NotAcceptable, NotOneRow, CursorExpired,
    PositionNotReached, TooOld, RangeUnsatisfiable, FormatUnknown, FormatMissing, FormatCannotHold, DownloadTooSlow,
    TooManyWaiting,
)  # fmt: skip
_SHAPING = (
    parameter("query", "select", TEXT, "`column,name:column::type,name:column.sum(),count()`; default `*`."),
    parameter("query", "and", TEXT, "`(column.operator.value,or(…))`: all of these."),
    parameter("query", "or", TEXT, "`(column.operator.value,and(…))`: any of these."),
    parameter("query", "order", TEXT, "`column.asc,column.desc.nullslast`; the key is always appended."),
    parameter(
        "query", "limit", {**WHOLE, "default": MAX_LIMIT}, f"Most rows; of a page there are {MAX_LIMIT} at most."
    ),
    parameter("query", "offset", {**WHOLE, "default": 0}, "Rows to leave out; a cursor is better."),
    parameter("query", "cursor", TEXT, "`Refold-Cursor` of the page before."),
    parameter(
        "query",
        "format",
        {**TEXT, "enum": [*FORMATS]},
        "All rows as a file in this format, not a page; `Accept` may name it, too.",
    ),
)
_FILES = {kind: {**TEXT, "format": "binary"} if kind in BINARY else TEXT for kind in (CSV, *files())}
"""The schemas of files, by media type."""
_HEADERS = (
    parameter("header", "Range", TEXT, "`0-24`: rows by place, as `limit` and `offset`."),
    MIN_POSITION,
    MAX_AGE,
    parameter(
        "header",
        "Prefer",
        TEXT,
        "`count=exact|planned|estimated`, `timezone=ZONE`, `handling=strict|lenient`, and `wait=N`: seconds to wait at most, 0-30; default 5.",
    ),
)
_ANSWERED = {
    "Content-Range": "Which rows these are, of how many: `0-24/*`, `0-24/3573`, `*/*`.",
    "Link": "The next page; absent on the last.",
    "Refold-Cursor": "The cursor of the next page; absent on the last.",
    "Refold-Position": "The position that the rows reflect.",
    "Refold-Lag": "Records that the core has folded and this model has not.",
    "Refold-Age": "Seconds: what was appended longer ago is in the rows; 0 while nothing is missing.",
    "Refold-As-Of": "When the newest record that the rows show was appended; absent before the first.",
    "ETag": "Of the rows and the question; for `If-None-Match`.",
    "Last-Modified": "For `If-Modified-Since`; absent in the first second.",
    "Content-Disposition": "The name of a file; absent on a page.",
    "Preference-Applied": "The preferences that were followed.",
}
_POSITIONED = ("Refold-Position", "Refold-Lag", "Refold-Age", "Refold-As-Of", "ETag", "Last-Modified")


def rows_of(model: ServedModel) -> Json:
    """The operation that answers a list of rows."""
    columns = [
        parameter(
            "query",
            f'"{c.name}"' if c.name in RESERVED else c.name,
            TEXT,
            f"`operator.VALUE` ({c.sql_type}), such as `eq.VALUE`, `in.(VALUE,VALUE)` or `is.null`. {c.doc}",
        )
        for c in model.columns
    ]
    row = _ref(model)
    page = {"type": "array", "items": row}
    content = {kind: {"schema": row if kind == OBJECT else _FILES.get(kind, page)} for kind in MEDIA_TYPES}
    text = "Rows; each has all columns unless `select` says otherwise."
    answers = {
        "200": {"description": text, "headers": _headers(_ANSWERED), "content": content},
        "206": {
            "description": "Not all of the rows that were counted.",
            "headers": _headers(_ANSWERED),
            "content": content,
        },
        "304": KNOWN,
        **problems(*_BAD_QUERIES, DatabaseUnavailable),
    }
    return {
        "operationId": f"{model.domain}.{model.name}",
        "tags": [model.domain],
        "summary": model.doc,
        "parameters": [*columns, *_SHAPING, *_HEADERS],
        "responses": answers,
    }


def row_of(model: ServedModel) -> Json:
    """The operation that answers one row."""
    several = " A value with a comma in it, or a double quote at its beginning, stands in double quotes."
    text = f"The key: {','.join(model.key)}; a slash or comma may be percent-encoded.{several * (len(model.key) > 1)}"
    answers = {
        "200": {
            "description": "The row.",
            "headers": _headers(_POSITIONED),
            "content": {"application/json": {"schema": _ref(model)}},
        },
        "304": KNOWN,
        **problems(
            RowKeyInvalid, UnknownParameter, RowAbsent, NotAcceptable, PositionNotReached, TooOld, DatabaseUnavailable
        ),
    }
    return {
        "operationId": f"{model.domain}.{model.name}.row",
        "tags": [model.domain],
        "summary": f"One row of {model.name}.",
        "parameters": [parameter("path", "key", TEXT, text, required=True), MIN_POSITION, MAX_AGE, PREFER],
        "responses": answers,
    }


def _headers(names: Iterable[str]) -> Json:
    return {name: {"description": _ANSWERED[name], "schema": TEXT} for name in names}


def _ref(model: ServedModel) -> Json:
    return {"$ref": f"#/components/schemas/{model.domain}.{model.name}"}
