"""Query: a plan becomes rows and the position that they reflect, from one statement, so from one snapshot."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
import psycopg

from refold.api.errors import CursorExpired, PositionNotReached
from refold.api.http.commands.request import read_wait
from refold.api.http.reads.language.preferences import zone_unknown
from refold.api.http.reads.model_faults import faults_said
from refold.api.http.reads.planning.column_values import Value
from refold.api.http.reads.planning.filtering import Given
from refold.api.http.reads.planning.pieces import Piece, put
from refold.api.http.reads.planning.plan import Plan
from refold.api.http.reads.planning.showing import invalid
from refold.api.http.reads.positions import Positions, missing, read_wanted, token
from refold.api.http.reads.services import ModelReads, ModelServices
from refold.projections.tables.builds import APART
from refold.streams.refusals import first_line

DEFAULT_WAIT_S = 5.0
MOST_STATEMENTS = 2000
"""Statements that are kept composed; when there are more, all are made again."""
_PAGE = """
WITH {}, "_Reached" AS ({}), "_Serving" AS (
    SELECT b.build, b.detached_code FROM refold.builds b WHERE b.domain = %s AND b.model = {} AND b.status = 'serving'
)
SELECT "_Shown"."_Text", "_Shown"."_Rows",
       (SELECT coalesce(json_agg(json_build_array("_At".topic, "_At".part, "_At".next_offset)), '[]')::text FROM "_Reached" "_At"),
       (SELECT coalesce(sum(greatest("_Core".next_offset - coalesce("_At".next_offset, 0), 0)), 0)::bigint
          FROM refold.positions "_Core" LEFT JOIN "_Reached" "_At" USING (topic, part)
         WHERE "_Core".grp = 'core' AND "_Core".topic = ANY(%s)),
       (SELECT count(*) FROM refold.parked p
         WHERE p.category = ANY(%s) AND (p.build = 0 OR p.build IN (SELECT build FROM "_Serving"))),
       (SELECT min(detached_code) FROM "_Serving"),
       {}, {}
  FROM {}
"""
_OF_TABLE = (
    "SELECT m.topic, m.part, m.next_offset FROM refold.model_positions(%s, %s) m WHERE m.topic = ANY(%s)",
    "%s",
)
# A view is no fresher than the oldest of the tables that it reads: one of them may be detached.
_OF_VIEW = (
    """
        SELECT m.topic, m.part, min(m.next_offset) AS next_offset
          FROM (SELECT %s::text AS domain, unnest(%s::text[]) AS model) n, refold.model_positions(n.domain, n.model) m
         WHERE m.topic = ANY(%s) GROUP BY 1, 2""",
    "ANY(%s::text[])",
)


@dataclass(frozen=True)
class Page:
    """Rows of a read model as one text, their number, the position they reflect, and the events known to be missing from them.

    `total`: rows on all pages, if they were counted; `ends`: the last arguments of `Plan.cursor_after`, None if no page follows;
    `found`: rows that were looked at, one more than the page has if another follows.
    """

    text: str
    rows: int
    positions: Positions
    behind: int
    parked: int
    detached: str | None
    total: int | None = None
    ends: tuple[list[Value] | None, list[str]] | None = None
    found: int = 0

    @property
    def position(self) -> str:
        return token(self.positions)

    def headers(self) -> dict[str, str]:
        """What an answer says of its rows besides the rows."""
        headers = {"Refold-Position": self.position, "Refold-Lag": str(self.behind)}
        if self.parked:
            headers["Refold-Parked"] = str(self.parked)
        if self.detached:
            headers["Refold-Detached"] = self.detached
        return headers


async def fresh_page(
    models: ModelServices, plan: Plan, headers: Mapping[str, str], *, by_key: bool = False, zone: str | None = None
) -> Page:
    """The page, once it reflects `Refold-Min-Position`. Raises PositionNotReached rather than answer with older rows."""
    categories = models.domains.categories
    wanted = read_wanted(headers.get("refold-min-position"), categories, plan.model.categories)
    wait = read_wait(headers, DEFAULT_WAIT_S)
    until = asyncio.get_running_loop().time() + wait
    if wait and models.reads.is_behind(wanted):
        await models.reads.moved(wanted, wait)
    while True:
        page = await read_page(models, plan, by_key=by_key, zone=zone)
        left = missing(wanted, page.positions)
        remaining = until - asyncio.get_running_loop().time()
        if not left:
            return page
        if remaining <= 0 or page.detached not in (None, *APART):
            stands = f"detached ({page.detached})" if page.detached else "behind"
            place = page.position or "the beginning"
            error = PositionNotReached(f"{plan.model.name} is {stands}: it stands at {place}, not at {token(left)}")
            error.headers = page.headers()
            raise error
        await models.reads.moved(left, remaining)


async def read_page(models: ModelServices, plan: Plan, *, by_key: bool = False, zone: str | None = None) -> Page:
    """The page as it is now. Raises FilterInvalid, CursorInvalid, CursorExpired, SelectInvalid, and the database's errors."""
    model, reads = plan.model, models.reads
    topics = [f"{models.topic_prefix}{name}.events" for name in model.categories]
    named = [model.domain, list(model.reads) if model.reads else model.name]
    statement = _statement(reads, plan, by_key=by_key)
    values = [*(plan.values[slot] for slot in statement.slots), *named, topics, *named, topics, list(model.categories)]
    async with faults_said(reads, model), values_judged(reads, plan, zone):
        if by_key:
            found = await reads.look_up(statement.text.encode(), values)
        elif zone is None:
            found = await reads.fetch(statement.text.encode(), values)
        else:
            found = await reads.in_zone(statement.text.encode(), values, zone)
    ((text, rows, positions, behind, parked, detached, total, last, hashes, count, marked),) = found
    stands = {(topic.removeprefix(models.topic_prefix), part): at for topic, part, at in msgspec.json.decode(positions)}
    if not rows and count and plan.shape.limit and not plan.shape.cut:
        return await read_page(models, plan.cut(), zone=zone)
    page = Page(text or "", rows, stands, behind, parked, detached, total, found=count)
    if plan.cursor is not None and plan.cursor.rows and not marked:
        error = CursorExpired("the rows that the cursor went on from have all changed since the page was read")
        error.headers = page.headers()
        raise error
    follows = count > rows > 0 and plan.shape.terms
    return Page(**{**page.__dict__, "ends": (last, hashes)}) if follows else page


@asynccontextmanager
async def values_judged(reads: ModelReads, plan: Plan, zone: str | None = None) -> AsyncIterator[None]:
    """Wraps a statement. If Postgres refuses it because of a client's value, raises the error that names the value."""
    try:
        yield
    except psycopg.Error as problem:
        given = list(plan.given)
        if zone is not None:
            given.append(Given(zone, "set_config('timezone', %s, true)", zone_unknown(zone)))
        for one in given:
            if await _is_refused(reads, one):
                raise one.refused from problem
        if isinstance(problem, psycopg.DataError) and any(item.column is None for item in plan.shape.shown):
            raise invalid(f"Postgres cannot cast or add up a value: {first_line(problem)}") from problem
        raise


async def _is_refused(reads: ModelReads, given: Given) -> bool:
    try:
        await reads.fetch(f"SELECT ({given.probe}) IS NULL".encode(), [given.value])
    except psycopg.Error:
        return True
    return False


def _statement(reads: ModelReads, plan: Plan, *, by_key: bool) -> Piece:
    """The statement of a plan: the same for all queries of its shape."""
    key = (plan.shape, by_key, bool(plan.model.reads))
    found = reads.statements.get(key)
    if found is None:
        if len(reads.statements) >= MOST_STATEMENTS:
            reads.statements.clear()
        found = reads.statements[key] = _composed(plan, by_key=by_key)
    return found


def _composed(plan: Plan, *, by_key: bool) -> Piece:
    shape, (reached, of_model) = plan.shape, _OF_VIEW if plan.model.reads else _OF_TABLE
    total = "NULL::bigint" if shape.total == "none" else '(SELECT "_Rows" FROM "_Total")'
    ends = "NULL::text[], NULL::text[], 0, 0" if by_key else shape.ends()
    return put(_PAGE, shape.tables(), reached, of_model, total, ends, shape.rows())
