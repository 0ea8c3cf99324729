"""Query: a plan becomes rows and the position that they reflect, from one statement, so from one snapshot."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import psycopg

from refold.api.change_errors import TooOld
from refold.api.errors import ApiError, CursorExpired, PositionNotReached
from refold.api.http.commands.request import read_wait
from refold.api.http.reads.freshness import Standing, read_max_age
from refold.api.http.reads.language.preferences import zone_unknown
from refold.api.http.reads.language.scanner import misread
from refold.api.http.reads.model_faults import faults_said
from refold.api.http.reads.planning.column_values import Value
from refold.api.http.reads.planning.embedding import MOST_EMBEDDED, TOO_MANY
from refold.api.http.reads.planning.filtering import Given
from refold.api.http.reads.planning.pieces import Piece, put
from refold.api.http.reads.planning.plan import Plan
from refold.api.http.reads.planning.showing import invalid
from refold.api.http.reads.positions import Positions, missing, read_wanted, token
from refold.api.http.reads.services import ModelReads, ModelServices
from refold.api.http.reads.standing import ALONE, STANDING, ClosedModel, standing_of, standing_values
from refold.api.reading_errors import QueryTooLarge
from refold.projections.tables.builds import APART
from refold.projections.tables.serving import ServedModel
from refold.streams.refusals import first_line

DEFAULT_WAIT_S = 5.0
_AGAIN_S = 0.1
_TOO_MANY = re.compile(rf"{TOO_MANY}([0-9]{{1,3}})/([0-9]+)")
MOST_STATEMENTS = 2000
"""Statements that are kept composed; when there are more, all are made again."""
_PAGE = f"""
WITH {{}}, {STANDING}
SELECT "_Shown"."_Text", "_Shown"."_Rows", (SELECT "_Is" FROM "_Standing"), {{}}, {{}}
  FROM {{}}
"""


@dataclass(frozen=True)
class Page:
    """Rows of a read model as one text, their number, the position they reflect, and the events known to be missing from them.

    `total`: rows on all pages, if they were counted; `ends`: the last arguments of `Plan.cursor_after`, None if no page follows;
    `found`: rows that were looked at, one more than the page has if another follows.
    """

    text: str
    rows: int
    standing: Standing
    total: int | None = None
    ends: tuple[list[Value] | None, list[str]] | None = None
    found: int = 0

    @property
    def positions(self) -> Positions:
        return self.standing.positions

    @property
    def position(self) -> str:
        return self.standing.position

    @property
    def detached(self) -> str | None:
        return self.standing.detached

    def headers(self) -> dict[str, str]:
        """What an answer says of its rows besides the rows."""
        return self.standing.headers()


async def fresh_page(
    models: ModelServices, plan: Plan, headers: Mapping[str, str], *, by_key: bool = False, zone: str | None = None
) -> Page:
    """The page, once it is as fresh as the client asks. Raises PositionNotReached or TooOld rather than answer with older rows."""
    return await fresh(models, plan.source, headers, lambda: read_page(models, plan, by_key=by_key, zone=zone))


async def fresh(
    models: ModelServices, model: ServedModel, headers: Mapping[str, str], read: Callable[[], Awaitable[Page]]
) -> Page:
    """What is read, once it is as fresh as the client asks. Raises PositionNotReached or TooOld."""
    max_age = read_max_age(headers)
    wanted = read_wanted(headers.get("refold-min-position"), models.domains.categories, model.categories)
    wait = read_wait(headers, DEFAULT_WAIT_S)
    until = asyncio.get_running_loop().time() + wait
    if wait and models.reads.is_behind(wanted):
        await models.reads.moved(wanted, wait)
    while True:
        page = await read()
        left = missing(wanted, page.positions)
        remaining = until - asyncio.get_running_loop().time()
        is_old = page.standing.is_older(max_age)
        if not left and not is_old:
            return page
        if remaining <= 0 or page.detached not in (None, *APART) or isinstance(model, ClosedModel):
            stands = f"detached ({page.detached})" if page.detached else "behind"
            if isinstance(model, ClosedModel):
                stands = f"the snapshot {model.snapshot}, which stays as it is"
            place = page.position or "the beginning"
            error: ApiError = PositionNotReached(
                f"{model.name} is {stands}: it stands at {place}, not at {token(left)}"
            )
            if not left:
                age = "of any age" if page.standing.age is None else f"{page.standing.age:.1f} s old"
                error = TooOld(f"{model.name} is {stands}: its rows may be {age}")
            error.headers = page.headers()
            raise error
        await (models.reads.moved(left, remaining) if left else asyncio.sleep(min(_AGAIN_S, remaining)))


async def read_page(models: ModelServices, plan: Plan, *, by_key: bool = False, zone: str | None = None) -> Page:
    """The page as it is now. Raises FilterInvalid, CursorInvalid, CursorExpired, SelectInvalid, and the database's errors."""
    source, reads = plan.source, models.reads
    statement = _statement(reads, plan, by_key=by_key)
    values = [*(plan.values[slot] for slot in statement.slots), *standing_values(source, models.topic_prefix)]
    async with faults_said(reads, *plan.models), values_judged(reads, plan, zone):
        if by_key:
            found = await reads.look_up(statement.text.encode(), values)
        elif zone is None:
            found = await reads.fetch(statement.text.encode(), values)
        else:
            found = await reads.in_zone(statement.text.encode(), values, zone)
    ((text, rows, stands, total, last, hashes, count, marked),) = found
    if not rows and count and plan.shape.limit and not plan.shape.cut:
        return await read_page(models, plan.cut(), zone=zone)
    page = Page(text or "", rows, standing_of(stands, source, models.topic_prefix), total, found=count)
    if plan.cursor is not None and plan.cursor.rows and not marked:
        error = CursorExpired("the rows that the cursor went on from have all changed since the page was read")
        error.headers = page.headers()
        raise error
    follows = count > rows > 0 and plan.shape.terms
    return Page(**{**page.__dict__, "ends": (last, hashes)}) if follows else page


async def read_no_rows(models: ModelServices, plan: Plan) -> Page:
    """Where the rows stand now, as a page without any."""
    async with faults_said(models.reads, *plan.models):
        ((stands,),) = await models.reads.fetch(ALONE.encode(), standing_values(plan.source, models.topic_prefix))
    return Page("", 0, standing_of(stands, plan.source, models.topic_prefix))


@asynccontextmanager
async def values_judged(reads: ModelReads, plan: Plan, zone: str | None = None) -> AsyncIterator[None]:
    """Wraps a statement. If Postgres refuses it because of a client's value, raises the error that names the value."""
    try:
        yield
    except psycopg.Error as problem:
        if plan.root.parts:
            _refuse_too_many(plan, str(problem))
        given = list(plan.given)
        if zone is not None:
            given.append(Given(zone, "set_config('timezone', %s, true)", partial(zone_unknown, zone)))
        for one in given:
            if await _is_refused(reads, one):
                raise one.refused() from problem
        if isinstance(problem, psycopg.DataError) and any(item.column is None for item in plan.shape.shown):
            raise invalid(f"Postgres cannot cast or add up a value: {first_line(problem)}") from problem
        raise


def _refuse_too_many(plan: Plan, said: str) -> None:
    """Raises QueryTooLarge if Postgres met more embedded rows in one row than there may be (`embedding`)."""
    found = _TOO_MANY.search(said)
    paths = plan.embedded
    if found is not None and int(found[1]) < len(paths):
        path = ".".join(paths[int(found[1])])
        raise misread(
            QueryTooLarge,
            path,
            f"a row has more than {MOST_EMBEDDED} rows of it, and no more are embedded: bound them with {path}.limit=,"
            " filter them, or ask for them by themselves",
        )


async def _is_refused(reads: ModelReads, given: Given) -> bool:
    try:
        await reads.fetch(f"SELECT ({given.probe}) IS NULL".encode(), [given.value])
    except psycopg.Error:
        return True
    return False


def _statement(reads: ModelReads, plan: Plan, *, by_key: bool) -> Piece:
    """The statement of a plan: the same for all queries of its shape."""
    key = (plan.shape, by_key)
    found = reads.statements.get(key)
    if found is None:
        if len(reads.statements) >= MOST_STATEMENTS:
            reads.statements.clear()
        found = reads.statements[key] = _composed(plan, by_key=by_key)
    return found


def _composed(plan: Plan, *, by_key: bool) -> Piece:
    shape = plan.shape
    total = "NULL::bigint" if shape.total == "none" else '(SELECT "_Rows" FROM "_Total")'
    ends = "NULL::text[], NULL::text[], 0, 0" if by_key else shape.ends()
    return put(_PAGE, shape.tables(), total, ends, shape.rows())
