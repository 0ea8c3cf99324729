"""The part of the OpenAPI document about read models: a list in PostgREST's language, and one row by its key."""

from refold.api.change_errors import TooOld
from refold.api.download_errors import DownloadTooSlow, FormatCannotHold, FormatMissing, FormatUnknown
from refold.api.errors import (
    CursorExpired,
    CursorInvalid,
    FilterInvalid,
    HeaderInvalid,
    LimitInvalid,
    OrderInvalid,
    PositionNotReached,
    RowAbsent,
    RowKeyInvalid,
    TokenMalformed,
    UnknownOperator,
    UnknownParameter,
)
from refold.api.http.describe.body_schemas import REF
from refold.api.http.describe.openapi_parts import (
    PREFER,
    PROBLEM,
    TEXT,
    WHOLE,
    Json,
    headers,
    parameter,
    problems,
)
from refold.api.http.describe.text_patterns import AGE, CURSOR, position
from refold.api.http.describe.value_patterns import (
    conditions_schema,
    filter_name,
    filter_schema,
    key_schema,
    name_of,
    order_schema,
    select_schema,
)
from refold.api.http.downloads.formats import BINARY, FORMATS, files
from refold.api.http.reads.asking import MEDIA_TYPES, ROW_MEDIA_TYPES
from refold.api.http.reads.language.query_string import MAX_OFFSET, MOST_LIMIT
from refold.api.http.reads.planning.plan import MAX_LIMIT
from refold.api.http.wire.accepting import CSV, OBJECT
from refold.api.reading_errors import (
    NotAcceptable,
    NotOneRow,
    OperatorUnfit,
    PreferenceInvalid,
    QueryTooLarge,
    RangeUnsatisfiable,
    ResourceAmbiguous,
    ResourceUnknown,
    SelectInvalid,
    SnapshotUnknown,
)
from refold.api.unavailable import ModelNotBuilt, NotPrepared, QueryTimeout, ReadModelFailed
from refold.projections.tables.serving import ServedModel
from refold.projections.tables.snapshots import NAME
from refold.streams.domain import Domains
from refold.streams.errors import DatabaseUnavailable

_BAD_QUERIES = (
    UnknownParameter, UnknownOperator, FilterInvalid, SelectInvalid, OrderInvalid, LimitInvalid, CursorInvalid,
    QueryTooLarge, ResourceUnknown, ResourceAmbiguous, PreferenceInvalid, OperatorUnfit, NotAcceptable, NotOneRow, CursorExpired,
    PositionNotReached, TooOld, RangeUnsatisfiable, FormatUnknown, FormatMissing, FormatCannotHold, DownloadTooSlow,
    HeaderInvalid, TokenMalformed, ModelNotBuilt, ReadModelFailed, QueryTimeout, NotPrepared, DatabaseUnavailable,
    SnapshotUnknown,
)  # fmt: skip
_FILES = {kind: {**TEXT, "format": "binary"} if kind in BINARY else TEXT for kind in (CSV, *files())}
"""The schemas of files, by media type."""
_STANDING = ("Refold-Lag", "Refold-Age", "Refold-As-Of", "Refold-Parked", "Refold-Detached", "Refold-Position", "Vary")
_VALIDATED = (*_STANDING, "ETag", "Last-Modified", "Refold-Snapshot", "Cache-Control")
_PAGED = ("Content-Range", "Content-Location", "Link", "Refold-Cursor", "Preference-Applied")
_REFUSED = {**PROBLEM, "application/json": PROBLEM["application/problem+json"]}
"""A problem is plain JSON if the client asks for PostgREST's own media types: its clients know no other."""
_KNOWN: Json = {"description": "The client has this answer already: `If-None-Match` or `If-Modified-Since` says so."}
_SNAPSHOT = parameter(
    "query",
    "snapshot",
    {**TEXT, "pattern": f"^{NAME.pattern}$"},
    "The rows as they were at a moment: a snapshot's name, as `/v1/{domain}` lists it.",
)
_PREFER = parameter(
    "header",
    "Prefer",
    TEXT,
    "`count=exact|planned|estimated`, `timezone=ZONE`, `handling=strict|lenient`, and `wait=N`: seconds to wait at most, 0-30; default 5.",
)


def rows_of(model: ServedModel, domains: Domains) -> Json:
    """The operation that answers a list of rows."""
    row = _ref(model)
    page = {"type": "array", "items": row}
    content = {kind: {"schema": row if kind == OBJECT else _FILES.get(kind, page)} for kind in MEDIA_TYPES}
    text, said = "Rows; each has all columns unless `select` says otherwise.", headers(*_VALIDATED, *_PAGED)
    answers = {
        "200": {"description": text, "headers": said | headers("Content-Disposition"), "content": content},
        "206": {"description": "Not all of the rows that were counted.", "headers": said, "content": content},
        "304": {**_KNOWN, "headers": headers(*_VALIDATED)},
        **problems(*_BAD_QUERIES, content=_REFUSED),
    }
    ranged = parameter(
        "header", "Range", TEXT, "`0-24`: rows by place, as `limit` and `offset`; any other unit says nothing."
    )
    return {
        "operationId": f"{model.domain}.{model.name}",
        "tags": [model.domain],
        "summary": model.doc,
        "parameters": [*filters_of(model), *_shaping(model), _SNAPSHOT, ranged, *_fresh(model, domains), _PREFER],
        "responses": answers,
    }


def row_of(model: ServedModel, domains: Domains) -> Json:
    """The operation that answers one row."""
    several = " A value with a comma in it, or a double quote at its beginning, stands in double quotes."
    text = f"The key: {','.join(model.key)}; a slash or comma may be percent-encoded.{several * (len(model.key) > 1)}"
    answers = {
        "200": {
            "description": "The row.",
            "headers": headers(*_VALIDATED),
            "content": {kind: {"schema": _ref(model)} for kind in ROW_MEDIA_TYPES},
        },
        "304": {**_KNOWN, "headers": headers(*_VALIDATED)},
        **problems(
            RowKeyInvalid, UnknownParameter, HeaderInvalid, TokenMalformed, PreferenceInvalid, RowAbsent, PositionNotReached, TooOld,
            SnapshotUnknown,
            ModelNotBuilt, ReadModelFailed, QueryTimeout, NotPrepared, DatabaseUnavailable,
            content=_REFUSED,
        ),
    }  # fmt: skip
    return {
        "operationId": f"{model.domain}.{model.name}.row",
        "tags": [model.domain],
        "summary": f"One row of {model.name}.",
        "parameters": [
            parameter("path", "key", key_schema(model), text, required=True),
            _SNAPSHOT,
            *_fresh(model, domains),
            PREFER,
        ],
        "responses": answers,
    }


def filters_of(model: ServedModel) -> list[Json]:
    """A parameter for each column, and the two that join conditions."""
    conditions = {"$ref": f"#/components/schemas/{conditions_name(model)}"}
    return [
        *(
            parameter(
                "query",
                name_of(column.name),
                {"$ref": REF.format(name=filter_name(column))},
                f"`operator.VALUE` ({column.sql_type}), such as `eq.VALUE`, `in.(VALUE,VALUE)` or `is.null`. {column.doc}",
            )
            for column in model.columns
        ),
        parameter("query", "and", conditions, "`(column.operator.value,or(…))`: all of these."),
        parameter("query", "or", conditions, "`(column.operator.value,and(…))`: any of these."),
    ]


def conditions_name(model: ServedModel) -> str:
    """The schema of `and` and `or`; no read model may have a dot in its name."""
    return f"{model.domain}.{model.name}.conditions"


def schemas_of(model: ServedModel) -> Json:
    """The schemas of a read model's conditions."""
    filters = {filter_name(column): filter_schema(column) for column in model.columns}
    return {**filters, conditions_name(model): conditions_schema(model)}


def _shaping(model: ServedModel) -> list[Json]:
    links = "".join(f" `{link.name}(columns)` embeds rows of {link.to}." for link in model.links)
    texts = {
        "select": (
            select_schema(model),
            f"`column,column::text`; default `*`. Beside these: `name:column::type`, `column.sum()`, `count()`.{links}",
        ),
        "order": (order_schema(model), "`column.asc,column.desc.nullslast`; the key is always appended."),
        "limit": (
            {**WHOLE, "minimum": 0, "maximum": MOST_LIMIT, "default": MAX_LIMIT},
            f"Most rows; of a page there are {MAX_LIMIT} at most.",
        ),
        "offset": (
            {**WHOLE, "format": "int64", "maximum": MAX_OFFSET, "default": 0},
            "Rows to leave out; a cursor is better.",
        ),
        "cursor": (CURSOR, "`Refold-Cursor` of the page before; empty: the first page."),
        "format": (
            {**TEXT, "enum": [*FORMATS]},
            "All rows as a file in this format, not a page; `Accept` may name it, too.",
        ),
    }
    return [parameter("query", name, schema, text) for name, (schema, text) in texts.items()]


def _fresh(model: ServedModel, domains: Domains) -> list[Json]:
    """How fresh the rows must be."""
    wanted = position(domains.categories[name] for name in model.categories)
    return [
        parameter("header", "Refold-Min-Position", wanted, "Answer only at this position or a later one."),
        parameter(
            "header",
            "Refold-Max-Age",
            AGE,
            "Answer only if the rows show everything older than so many seconds: `5`, `0.5`.",
        ),
    ]


def _ref(model: ServedModel) -> Json:
    return {"$ref": f"#/components/schemas/{model.domain}.{model.name}"}
