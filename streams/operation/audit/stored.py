"""The core's tables as an audit reads them: where each partition stands, and its rows up to there."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import LiteralString

from psycopg.rows import TupleRow

from refold.streams.chunk import Place
from refold.streams.operation.audit.of_events import OutcomeRow
from refold.streams.postgres.connection import Database

_ROWS_AT_ONCE = 20_000


@dataclass(frozen=True)
class Standing:
    """A partition at one moment: the core's position, and the offset behind the last command that was decided."""

    category: str
    part: int
    position: int
    decided: int


def standings(db: Database, prefix: str) -> list[Standing]:
    """Every partition that the core has folded, at one moment. Rows below its position never change."""
    rows = db.execute(
        "SELECT category, part, next_offset, last_command_offset + 1 FROM refold.claims"
        " JOIN refold.positions USING (part) WHERE grp = 'core' AND topic = %s || category || '.events' ORDER BY 1, 2",
        (prefix,),
    ).fetchall()
    return [Standing(*row) for row in rows]


def positions(db: Database) -> dict[str, dict[Place, int]]:
    """The position of every group, at one moment."""
    found: dict[str, dict[Place, int]] = {}
    for group, topic, part, at in db.execute("SELECT grp, topic, part, next_offset FROM refold.positions").fetchall():
        found.setdefault(group, {})[topic, part] = at
    return found


def ranges(db: Database, place: Place) -> list[tuple[int, int, str]]:
    """The ranges of offsets that do not count, in order."""
    return db.execute(
        "SELECT first_offset, last_offset, reason FROM refold.voids WHERE topic = %s AND part = %s ORDER BY 1", place
    ).fetchall()


def outcomes(db: Database, at: Standing) -> Iterator[OutcomeRow]:
    """The outcomes below the position."""
    query: LiteralString = (
        "SELECT key, stream, command_id, first_offset, next_offset, events FROM refold.outcomes"
        " WHERE category = %s AND part = %s AND first_offset < %s"
    )
    values = (at.category, at.part, at.position)
    return (OutcomeRow(bytes(key), *row) for key, *row in _streamed(db, query, values))


def offsets(db: Database, at: Standing) -> Iterator[tuple[str, int, list[int]]]:
    """The offsets of events below the position, each stream's in the order of its versions."""
    query: LiteralString = (
        "SELECT stream, first_version, offsets FROM refold.stream_offsets"
        " WHERE category = %s AND part = %s AND offsets[1] < %s ORDER BY stream, first_version"
    )
    values = (at.category, at.part, at.position)
    return ((stream, first, list(found)) for stream, first, found in _streamed(db, query, values))


def uneven_streams(db: Database, category: str) -> list[tuple[str, int, int]]:
    """Streams whose version is not the number of their offsets, at one moment: (stream, version, offsets)."""
    return db.execute(
        "SELECT stream, coalesce(s.version, 0), coalesce(o.number, 0)"
        " FROM (SELECT stream, version FROM refold.streams WHERE category = %(category)s) s FULL JOIN"
        " (SELECT stream, sum(cardinality(offsets))::bigint AS number FROM refold.stream_offsets WHERE category = %(category)s GROUP BY 1) o"
        " USING (stream) WHERE coalesce(s.version, 0) <> coalesce(o.number, 0) ORDER BY 1",
        {"category": category},
    ).fetchall()


def parked(db: Database) -> dict[tuple[str, int], int]:
    """The events by (category, part) that wait for all read models."""
    rows = db.execute("SELECT category, part, sum(waiting)::bigint FROM refold.parked WHERE build = 0 GROUP BY 1, 2")
    return {(category, part): number for category, part, number in rows.fetchall()}


def _streamed(db: Database, query: LiteralString, values: Sequence[object]) -> Iterator[TupleRow]:
    """The rows, some at a time: a partition may hold millions."""
    with db.transaction(), closing(db.cursor("audit")) as cursor:
        cursor.itersize = _ROWS_AT_ONCE
        yield from cursor.execute(query, values)
