"""One row in one snapshot of Postgres: the row, its position, and the records that are not folded into it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from refold.projections.declaring.declaration import handled
from refold.projections.errors import DeclarationDiffers, KeyUnfit
from refold.projections.live.limits import parked
from refold.projections.partials.batch import ALL_BUILDS, Park
from refold.projections.partials.of_key import stream_of
from refold.projections.tables.builds import Build
from refold.projections.tables.layout import Layout
from refold.streams.chunk import Place
from refold.streams.log.history import History
from refold.streams.log.topics import events_topic
from refold.streams.postgres.connection import Database
from refold.streams.postgres.set_aside import Offsets
from refold.streams.refusals import first_line

_SERVING = """
    SELECT build, domain, model, fingerprint, status, detached_code, detached_reason FROM refold.builds
     WHERE domain = %s AND model = %s AND status = 'serving'
"""
_POSITIONS = "SELECT topic, part, next_offset FROM refold.model_positions(%s, %s) WHERE topic = ANY(%s)"
_VOIDS = (
    "SELECT topic, part, first_offset, last_offset, reason FROM refold.voids WHERE topic = ANY(%s) ORDER BY 1, 2, 3"
)
_ASIDE = "SELECT topic, part, record_offset, reason FROM refold.set_aside WHERE topic = ANY(%s)"


@dataclass(frozen=True)
class VoidRange:
    """A range of offsets that do not count, both ends included, and the reason."""

    place: Place
    first: int
    last: int
    reason: str


@dataclass(frozen=True)
class Snapshot:
    """One row at one moment. `row`: its columns besides the key; None if readers see none.

    `positions`: how far the model has folded each place. `streams`: places of events by category, for a row that only events of
    one stream reach; None if any stream's events may.
    """

    build: Build
    key: tuple[Any, ...]
    row: dict[str, Any] | None
    positions: Mapping[Place, int]
    voids: Sequence[VoidRange]
    parked: Sequence[Park]
    aside: Offsets
    streams: Mapping[str, list[tuple[int, int]]] | None


def taken(db: Database, prefix: str, layout: Layout, fingerprint: str, key: Sequence[str | None]) -> Snapshot:
    """Read everything in one snapshot. Raises KeyUnfit for a value that the key cannot hold, DeclarationDiffers for a table of other code."""
    model = layout.model
    topics = [events_topic(prefix, name) for name in categories_of(layout)]
    with db.transaction():
        db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        found = db.execute(_SERVING, (model.domain, model.name)).fetchone()
        if found is None or found[3] != fingerprint:
            raise DeclarationDiffers(f"the table that serves {model.domain}.{model.name} is not of this declaration")
        build = Build(*found)
        values = _typed(db, layout, key)
        positions = {(t, part): at for t, part, at in db.execute(_POSITIONS, (model.domain, model.name, topics))}
        aside: dict[Place, dict[int, str]] = {}
        for topic, part, offset, reason in db.execute(_ASIDE, (topics,)):
            aside.setdefault((topic, part), {})[offset] = reason
        voids = [VoidRange((t, part), first, last, why) for t, part, first, last, why in db.execute(_VOIDS, (topics,))]
        waiting = [park for park in parked(db) if park.build in (ALL_BUILDS, build.number)]
        row, streams = _row(db, layout, values), _streams(db, layout, values)
    ours = [park for park in waiting if park.category in categories_of(layout)]
    return Snapshot(build, values, row, positions, voids, ours, aside, streams)


def categories_of(layout: Layout) -> list[str]:
    """The categories whose events a model gathers."""
    return list(dict.fromkeys(kind.category.name for kind in handled(layout.model)))


def _typed(db: Database, layout: Layout, key: Sequence[str | None]) -> tuple[Any, ...]:
    """The key's values as Python's."""
    casts = sql.SQL(", ").join(sql.SQL("%s::" + part.type.sql) for part in layout.keys)
    try:
        row = db.execute(sql.SQL("SELECT {}").format(casts), list(key)).fetchone()
    except psycopg.DataError as problem:
        said = ",".join("null" if value is None else value for value in key)
        raise KeyUnfit(f"{said} is no key of {layout.name}: {first_line(problem)}") from problem
    assert row is not None
    return tuple(row)


def _row(db: Database, layout: Layout, key: Sequence[Any]) -> dict[str, Any] | None:
    names = [part.name for part in layout.shown_columns]
    same = [
        sql.SQL("{} IS NULL" if value is None else "{} = %s::" + part.type.sql).format(sql.Identifier(part.name))
        for part, value in zip(layout.keys, key, strict=True)
    ]
    statement = sql.SQL("SELECT {} FROM {} WHERE {}").format(
        sql.SQL(", ").join(map(sql.Identifier, names)),
        sql.Identifier(layout.model.domain, layout.name),
        sql.SQL(" AND ").join(same),
    )
    found = db.execute(statement, [value for value in key if value is not None]).fetchone()
    return None if found is None else dict(zip(names, found, strict=True))


def _streams(db: Database, layout: Layout, key: Sequence[Any]) -> dict[str, list[tuple[int, int]]] | None:
    """The places of all events of the stream that the key names; None if the key names no stream."""
    stream = stream_of(layout, key)
    if stream is None:
        return None
    return {name: History.offsets(db, name, stream, after=0, upto=2**62) for name in categories_of(layout)}
