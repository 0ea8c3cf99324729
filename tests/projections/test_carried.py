"""Values carried within streams: any chunking, by rows and by columns, gives the rows of the naive fold."""

import contextlib
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from refold.projections import BadDeclaration, Rollup, carried, events, key, rejections
from refold.projections.declaring.declaration import Model
from refold.projections.live import models
from refold.projections.live.models import ModelsFold
from refold.projections.live.process import ensure_builds
from refold.projections.partials.by_rows import partial_columns
from refold.projections.partials.partial import merged, partial_of
from refold.projections.replay import promote, remembering
from refold.projections.replay.builder import Builder
from refold.projections.replay.decoding import Decoding
from refold.projections.replay.staging import Staging
from refold.projections.tables import builds
from refold.projections.tables.builds import Build
from refold.projections.tables.declared import declared_of
from refold.projections.tables.fingerprint import fingerprint
from refold.projections.tables.layout import Layout, layout_of
from refold.projections.tables.memories import memories_of, read_types
from refold.schemas.columns.decoder import ColumnDecoder
from refold.streams.postgres.connection import Database
from refold.testing.remembered import Remembered
from tests.projections.conftest import core_stands
from tests.projections.naive import Happened, naive_rows
from tests.projections.sample import (
    ACCOUNT,
    BY_OPENER,
    CATALOG,
    OPENED_STEPS,
    Opened,
    Paid,
    Renamed,
    Sent,
    as_today,
    chunks_of,
)
from tests.projections.test_models import random_log, rows
from tests.projections.test_partial import LOGS, cut, frames_of, shown

FOUND = declared_of((BY_OPENER, OPENED_STEPS))


@pytest.mark.parametrize("model", [BY_OPENER, OPENED_STEPS])
@settings(max_examples=60, deadline=None)
@given(log=LOGS, cuts=st.sets(st.integers(1, 24)))
def test_any_chunking_carries_what_the_naive_fold_does(model: Model, log: list[Happened], cuts: set[int]) -> None:
    layout = layout_of(model)
    whole = partial_of(layout, Remembered(layout).carry(frames_of(log)))
    memory = Remembered(layout)
    parts = [partial_of(layout, memory.carry(frames_of(piece))) for piece in cut(log, cuts)]
    assert shown(layout, whole) == naive_rows(model, as_today(log))
    assert merged(layout, parts).equals(whole)


@pytest.mark.parametrize("model", [BY_OPENER, OPENED_STEPS])
@settings(max_examples=60, deadline=None)
@given(log=LOGS, cuts=st.sets(st.integers(1, 24)))
def test_rows_and_columns_carry_the_same(model: Model, log: list[Happened], cuts: set[int]) -> None:
    layout = layout_of(model)
    by_columns, by_rows = Remembered(layout), Remembered(layout)
    for piece in cut(log, cuts):
        frames = frames_of(piece)
        found = partial_of(layout, by_columns.carry(frames))
        rows = by_rows.carry_rows({kind: frame.to_dicts() for kind, frame in frames.items()})
        assert partial_columns(layout, rows) == {part.name: found[part.name].to_list() for part in layout.stored}


def live(db: Database, url: str, log: Sequence[Happened], seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fold the log in random chunks; now and then the process dies before or after a commit, and another goes on."""
    chance, starts = random.Random(seed), dict[tuple[str, int], int]()
    core_stands(db, {chunk.place: chunk.end for chunk in chunks_of(log, {})})
    pieces = cut(log, {chance.randint(1, len(log)) for _ in range(12)})
    ensure_builds(db, FOUND)
    for piece in pieces:
        chunks, fold = chunks_of(piece, starts), ModelsFold(url, "", CATALOG, FOUND)
        dies = chance.choice(["models.before-commit", "models.after-commit", None])

        def die(name: str, at: str | None = dies) -> None:
            if name == at:
                raise KeyboardInterrupt(name)

        fold.stored([chunk.place for chunk in chunks])
        with monkeypatch.context() as patched, contextlib.suppress(KeyboardInterrupt):
            patched.setattr(models, "failpoint", die)
            fold.apply(chunks)
        fold.close()
        again = ModelsFold(url, "", CATALOG, FOUND)
        stands = again.stored([chunk.place for chunk in chunks])
        left = [rest for chunk in chunks if (rest := chunk.since(stands[chunk.place])).values]
        if left:
            again.apply(left)
        again.close()


def rebuilt(
    db: Database, log: Sequence[Happened], seed: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> list[Staging]:
    """The log by the engine of a rebuild that is killed now and then, and goes on from its last flush."""
    chance, decoder = random.Random(seed), ColumnDecoder(CATALOG, thin=True)
    monkeypatch.setattr(remembering, "KEPT_BYTES", kept)
    made = {
        name: promote.begin(db, layout, f"{FOUND.fingerprints[name]}", None) for name, layout in FOUND.layouts.items()
    }
    every = chunks_of(log, {})
    at = {chunk.place: 0 for chunk in every}
    while True:
        staged = [Staging(db, layout, made[name], []) for name, layout in FOUND.layouts.items()]
        builder = Builder(db, Decoding(db, "", decoder, FOUND.types), staged, at)
        for _ in range(chance.randint(1, 6)):  # until it is killed
            step = {place: reached + chance.randint(0, 6) for place, reached in builder.position.items()}
            chunks = [
                one
                for chunk in every
                if (one := chunk.since(builder.position[chunk.place]).upto(step[chunk.place])).values
            ]
            builder.add(builder.prepare(chunks))
            if chance.random() < 0.6:
                builder.flush()
                at = dict(builder.position)
        if all(at[chunk.place] == chunk.end for chunk in every):
            builder.finish()
            return staged


@pytest.mark.parametrize("seed", range(2))
def test_live_tables_and_rebuilt_ones_carry_the_same_despite_kills(
    db: Database, database: str, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    log = [item for item in random_log(seed, 90) if item.kind.category == ACCOUNT]
    live(db, database, log, seed, monkeypatch)
    tables = {}
    for name in FOUND.layouts:
        layout = FOUND.layouts[name]
        assert rows(db, layout) == naive_rows(layout.model, as_today(log))
        build = builds.serving(builds.builds(db), *name)
        assert build is not None
        tables[name] = _tables(db, build, layout)
    for kept in (1 << 30, -1):
        for staging in rebuilt(db, log, seed, kept, monkeypatch):
            layout = staging.layout
            assert _tables(db, staging.build, layout) == tables[layout.model.domain, layout.name]


def _tables(db: Database, build: Build, layout: Layout) -> list[list[str]]:
    """The rows of the build's table and of its memories, as text."""
    names = [layout.name, *(memory.layout.name for memory in memories_of(layout))]
    query = sql.SQL("SELECT t::text FROM {} t ORDER BY 1")
    return [[row[0] for row in db.execute(query.format(sql.Identifier(build.schema, name)))] for name in names]


def keyed_by(value: Any) -> Rollup:
    return Rollup(
        name="payments",
        domain="sample",
        description="Payments.",
        key={"who": key(value, "Who.")},
        columns={"paid": events(ACCOUNT, Paid).count("All.")},
    )


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (lambda: carried(Sent, "owner"), "no stream of sample.account has Sent"),
        (lambda: carried(Renamed, "owner"), "Renamed is retired: carry from Opened"),
        (lambda: carried(Opened, "amount"), "Opened has no field amount"),
        (lambda: carried((), "owner"), "names a type of events"),
        (lambda: carried("owner", "owner"), "names a type of events"),  # type: ignore[arg-type]  # a mistake of an author
        (lambda: carried(Opened, carried(Paid, "owner")), "not what is carried to it"),
    ],
)
def test_a_carried_value_that_cannot_be_is_refused_where_it_is_declared(value: Callable[[], Any], said: str) -> None:
    with pytest.raises(BadDeclaration, match=said):
        keyed_by(value())


def test_nothing_is_carried_to_a_rejection() -> None:
    """It is folded while its stream waits, so what was said before may be folded later."""
    with pytest.raises(BadDeclaration, match="nothing is carried to rejections"):
        Rollup(
            name="refused",
            domain="sample",
            description="Rejections.",
            key={"who": key(carried(Opened, "owner"), "Who.")},
            columns={"refused": rejections(ACCOUNT).count("All.")},
        )


def test_what_is_carried_is_part_of_the_declaration() -> None:
    prints = {fingerprint(keyed_by(carried(kinds, "owner"))) for kinds in (Opened, Paid, (Opened, Paid))}
    assert len(prints) == 3
    assert {kind.event for kind in read_types(keyed_by(carried(Opened, "owner")))} == {Opened, Paid}
