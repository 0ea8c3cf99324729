"""Writes a batch of decoded events into one member's table. A failure here concerns that model; the others go on."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from refold.projections.declaring.declaration import EventType
from refold.projections.errors import ModelFailed, SumOverflow
from refold.projections.live import parking
from refold.projections.live.carry import carry
from refold.projections.partials import merge_sql
from refold.projections.partials.author_fold import HeldRow
from refold.projections.partials.batch import Batch, Counted, Park
from refold.projections.partials.evolve import Evolved, EvolveTarget, evolve_batch, held_of, rows_of
from refold.projections.partials.partial import partial_of
from refold.projections.tables.builds import REFUSED, Build
from refold.projections.tables.layout import Layout
from refold.projections.tables.memories import read_types
from refold.projections.tables.names import table
from refold.streams.errors import Lost, Refused, Unreachable
from refold.streams.postgres.connection import Statements
from refold.streams.refusals import first_line, is_away, is_keyless


def write(
    db: Statements,
    build: Build,
    layout: Layout,
    counted: Mapping[str, tuple[Batch, Counted]],
    parked: Sequence[Park],
) -> None:
    """Merge decoded events into a member's table, within the caller's transaction."""
    if layout.evolves:
        _evolve(db, build, layout, counted, [park for park in parked if park.build == build.number])
    else:
        frames = carry(db, layout, build.schema, frames_for(layout, counted))
        merge_sql.add(db, layout, build.schema, partial_of(layout, frames))


def _evolve(
    db: Statements,
    build: Build,
    layout: Layout,
    counted: Mapping[str, tuple[Batch, Counted]],
    parked: Sequence[Park],
) -> None:
    frames = frames_for(layout, counted)
    for batch, _ in (counted[category] for category in {kind.category.name for kind in frames}):
        found: Evolved = evolve_batch(
            EvolveTarget(layout, build.number),
            batch,
            frames,
            parked,
            lambda streams: load_rows(db, layout, build, streams),
        )
        merge_sql.add(db, layout, build.schema, rows_of(layout, found.rows))
        waiting = {(batch.category, stream): number for stream, number in found.waiting.items()}
        parking.park(db, found.parks, waiting, build.number)


@contextmanager
def detaching(build: Build, layout: Layout) -> Iterator[None]:
    """Turn any failure of one model's declaration or data into ModelFailed, so that the other models go on."""
    try:
        with overflowing(layout):
            yield
    except SumOverflow as problem:
        raise ModelFailed(build.number, problem.message, problem.code) from problem
    except psycopg.errors.InsufficientPrivilege as problem:
        raise ModelFailed(build.number, f"Postgres refuses: {first_line(problem)}", REFUSED) from problem
    except Exception as problem:
        if isinstance(problem, Unreachable | Refused | Lost | MemoryError) or (
            isinstance(problem, psycopg.Error) and (is_away(problem) or is_keyless(problem))
        ):
            raise
        raise ModelFailed(build.number, f"{type(problem).__name__}: {first_line(problem)}") from problem


@contextmanager
def overflowing(layout: Layout) -> Iterator[None]:
    """Turn Postgres's overflow into SumOverflow, which names the columns that Postgres does not name."""
    try:
        yield
    except psycopg.errors.NumericValueOutOfRange as problem:
        if not (wide := [part.name for part in layout.columns if part.is_wide]):
            raise
        raise SumOverflow.of(layout.name, wide) from problem


def frames_for(layout: Layout, counted: Mapping[str, tuple[Batch, Counted]]) -> dict[EventType, Any]:
    """The frames that a model reads."""
    found = {
        kind: counted[kind.category.name][1].frames
        for kind in read_types(layout.model)
        if kind.category.name in counted
    }
    return {kind: frames[kind] for kind, frames in found.items() if kind in frames and frames[kind].height}


def load_rows(db: Statements, layout: Layout, build: Build, streams: list[str]) -> dict[str, HeldRow]:
    """The rows of some streams of an evolved entity."""
    names = [part.name for part in layout.stored]
    columns, key = sql.SQL(", ").join(map(sql.Identifier, names)), layout.key_names[0]
    query = sql.SQL("SELECT {} FROM {} WHERE {} = ANY(%s)").format(
        columns, table(layout, build.schema), sql.Identifier(key)
    )
    rows = [dict(zip(names, row, strict=True)) for row in db.execute(query.as_bytes(), (streams,)).fetchall()]
    return {row[key]: held_of(layout, row) for row in rows}
