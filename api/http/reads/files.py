"""Rows as a file: all that a query has, in a format of its own, from one snapshot (`downloads`)."""

from collections.abc import Mapping
from typing import Any

from litestar import Request

from refold.api.download_errors import FormatCannotHold
from refold.api.errors import CursorInvalid
from refold.api.http.downloads.copied import Selection
from refold.api.http.downloads.downloading import Gone
from refold.api.http.downloads.formats import Format, named, of_media_type
from refold.api.http.downloads.sending import DownloadAnswer
from refold.api.http.reads.asking import MEDIA_TYPES, VARY
from refold.api.http.reads.conditional import not_modified, validated
from refold.api.http.reads.freshness import MAX_AGE
from refold.api.http.reads.language.preferences import read_preferences
from refold.api.http.reads.language.query_string import pairs, read_query
from refold.api.http.reads.language.ranges import read_rows
from refold.api.http.reads.model_faults import faults_said
from refold.api.http.reads.pages import fresh, read_no_rows, values_judged
from refold.api.http.reads.planning.plan import Plan, Wanted, plan_query
from refold.api.http.reads.planning.resources import check_name
from refold.api.http.reads.planning.showing import JSON as EMBEDDED
from refold.api.http.reads.served_now import of_other_code
from refold.api.http.reads.services import ModelServices
from refold.api.http.reads.standing import ALONE, standing_of, standing_values
from refold.api.http.wire.accepting import accepted
from refold.api.http.wire.answer import JSON, Answer
from refold.api.http.wire.parameters import bad_filter, shown
from refold.api.unavailable import NotPrepared
from refold.projections.tables.serving import ServedModel

PARAMETER = "format"
_NESTING = ("json", "ndjson", "csv")
"""Formats that hold embedded rows: as JSON, which is text in CSV."""
_NAMED = ("arrow", "parquet")
"""Formats whose readers find columns by name."""
_APART = frozenset({PARAMETER})
AnyRequest = Request[Any, Any, Any]


def format_asked(method: str, raw: bytes, headers: Mapping[str, str]) -> Format | None:
    """The format of the file that a request asks for, None if it asks for a page. Raises FormatUnknown, FormatMissing, NotAcceptable.

    CSV is a file, too, unless the request wants what only a page has: a count, or the rows of a `Range`.
    """
    names = [value for name, value in pairs(raw) if name == PARAMETER] if PARAMETER.encode() in raw else []
    if len(names) > 1:
        raise bad_filter(PARAMETER, f"{PARAMETER} is there twice")
    if names:
        return named(names[0])
    found = of_media_type(accepted(headers.get("accept"), MEDIA_TYPES).type)
    of_a_page = method == "HEAD" or "range" in headers or read_preferences(headers.get("prefer")).count is not None
    return None if found is None or (found.name == "csv" and of_a_page) else found


async def read_file(
    request: AnyRequest,
    models: ModelServices,
    model: ServedModel,
    format_: Format,
    headers: Mapping[str, str],
    raw: bytes,
) -> Answer:
    """The answer to a download; `raw`: the query string, without the name of a snapshot. Raises as `Downloads.begin`, and as a page of the same query."""
    if models.reads.downloads is None:
        raise NotPrepared("this process has no downloads")
    preferences = read_preferences(headers.get("prefer"))
    query = read_query(raw, _APART, check_name(model, models.models))
    if query.cursor is not None:
        raise CursorInvalid(
            "a cursor leads to the next page: a file has all rows at once, and takes `limit` and `offset`"
        )
    rows = read_rows(query, headers.get("range"), get=request.method == "GET")
    plan = plan_query(model, query, Wanted(rows=rows), models.models)
    _refuse_unfit(plan, format_)
    media = format_.content_type
    if not plan.moving and (known := await not_modified(models, plan, request.scope, headers, media)) is not None:
        return known
    if "refold-min-position" in headers or MAX_AGE in headers:
        await fresh(models, plan.source, headers, lambda: read_no_rows(models, plan))
    found = plan.shape.selection(rows.limit)
    values = [plan.values[slot] for slot in found.slots]
    state = ALONE, standing_values(plan.source, models.topic_prefix)
    views = [(one.domain, one.name) for one in plan.models]
    required = () if plan.root.parts else tuple(not item.nullable for item in plan.shape.shown)
    selection = Selection(views[0], found.text, values, state, preferences.timezone, tuple(views[1:]), required)
    try:
        async with faults_said(models.reads, *plan.models), values_judged(models.reads, plan, preferences.timezone):
            download = await models.reads.downloads.begin(selection, format_, request.receive)
    except Gone:
        return Answer(b"", media_type=JSON)
    (stands,) = download.state
    standing = standing_of(stands, plan.source, models.topic_prefix)
    sent, applied = standing.headers() | {"Vary": VARY}, preferences.applied()
    answer = DownloadAnswer(download, sent | ({"Preference-Applied": applied} if applied else {}))
    answer.headers.update(of_other_code(models, plan.models))
    return answer if plan.moving else validated(models, plan, request.scope, headers, standing, answer)


def _refuse_unfit(plan: Plan, format_: Format) -> None:
    """Raises FormatCannotHold for embedded rows in a format whose columns have one type each: as JSON they would be no rows there.

    And for two columns of one name where readers find columns by name: some refuse such a file, some die of it.
    """
    names = [item.name for item in plan.shape.shown]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None and format_.name in _NAMED:
        raise FormatCannotHold(
            f"two columns are named {shown(twice)}, and readers of {format_.name} find columns by their names: give one another name,"
            " such as total:price.sum()"
        )
    nested = [item.name for item in plan.shape.shown if item.kind == EMBEDDED]
    if nested and format_.name not in _NESTING:
        raise FormatCannotHold(
            f"{format_.name} has no column for the embedded rows of {shown(nested[0])}: spread a link to one row, such as"
            " ...household(points), or ask for json, ndjson or csv"
        )
