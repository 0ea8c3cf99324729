"""Authors may give fields, columns, keys and models any name: none meets a name of ours, as read from our code."""

import inspect
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import polars as pl
import pytest
from psycopg import sql

from refold.projections.declaring.declaration import Entity, Evolve, ReadModel, Rollup, View, handled
from refold.projections.declaring.gathering import events, key
from refold.projections.errors import BadDeclaration
from refold.projections.live.models import ModelsFold
from refold.projections.live.process import ensure_builds
from refold.projections.partials.batch import ALL_BUILDS, Park, batch_of, counted_events
from refold.projections.partials.by_rows import partial_columns
from refold.projections.partials.partial import merged, partial_of
from refold.projections.partials.row_batch import RowReader
from refold.projections.replay import promote
from refold.projections.replay.compare import compare
from refold.projections.replay.staging import Staging
from refold.projections.tables.builds import builds, set_status
from refold.projections.tables.declared import Declared, declared_of
from refold.projections.tables.layout import DELETED, VERSION, Layout, layout_of
from refold.schemas.avro import schema_of
from refold.schemas.columns.decoder import ColumnDecoder
from refold.schemas.errors import ContractError
from refold.streams.postgres.connection import Database, connect
from refold.streams.postgres.control_tables import bootstrap
from tests.projections.conftest import core_stands
from tests.projections.naive import Happened, naive_rows
from tests.projections.named import SYSTEM, Named, columns_of, words
from tests.projections.own_names import own_names
from tests.projections.test_models import bytes_of, rows

WORDS = words()
PIECES = [tuple(WORDS[at : at + 40]) for at in range(0, len(WORDS), 40)]
MODELS = ("t", "excluded", "partial")
MODEL_NAMES = [
    MODELS,
    ("declared", "more", "select"),
    ("side", "bytes", "table"),
    ("user", "unmatched", "both_tables"),
    ("p", "o", "x_flush0001"),
    ("d", "r", "rows"),
    ("s", "v", "f"),
]
PLACE = ("named.row.events", 0)


def test_the_names_are_found_in_the_code() -> None:
    assert {"t", "excluded", "declared", "theirs", "place", "whole", "m_row", "m_deleted_at", "_version"} <= {
        *own_names()
    }
    assert {"row", "class", "from", "group", "version"} <= {*WORDS}
    assert {"deleted_at", "park_from", "t", "page", "limit", "order", "cursor"} <= {*WORDS}
    assert len(WORDS) > 400


@pytest.mark.parametrize("fields", PIECES, ids=lambda piece: f"{piece[0]}-{piece[-1]}")
def test_rows_and_columns_and_any_chunking_are_the_naive_fold(fields: tuple[str, ...]) -> None:
    named = Named(fields)
    log = named.log(streams=6)
    for model in named.models(MODELS, columns_of(fields))[:2]:
        layout = layout_of(model)
        types = handled(model)
        decoder = ColumnDecoder(named.catalog, thin=True)
        frames = counted_events(decoder, types, batch_of("named.row", [named.chunk(log)]), {}, []).frames
        whole = partial_of(layout, frames)
        read = RowReader(named.catalog, "named.row", types).read([named.chunk(log)], {})
        assert read is not None
        assert partial_columns(layout, read) == {part.name: whole[part.name].to_list() for part in layout.stored}
        assert shown(layout, whole) == naive_rows(model, log)
        parts = [
            partial_of(
                layout, counted_events(decoder, types, batch_of("named.row", [named.chunk(log[a:b])]), {}, []).frames
            )
            for a, b in pairwise([0, 4, 11, len(log)])
        ]
        assert merged(layout, parts).equals(whole)


def shown(layout: Layout, found: pl.DataFrame) -> list[dict[str, Any]]:
    if layout.deletes:
        found = found.filter(pl.col(VERSION) > pl.col(DELETED))
    return found.select(part.name for part in layout.shown).to_dicts()


@pytest.mark.parametrize("fields", PIECES, ids=lambda piece: f"{piece[0]}-{piece[-1]}")
def test_parked_streams_wait_whatever_the_fields_are_called(fields: tuple[str, ...]) -> None:
    named = Named(fields)
    log = named.log(streams=3, rounds=1)
    park = Park(ALL_BUILDS, "named.row", "s1", 0, 0)
    kinds = handled(named.models(MODELS, columns_of(fields))[0])
    batch = batch_of("named.row", [named.chunk(log)])
    counted = counted_events(ColumnDecoder(named.catalog, thin=True), kinds, batch, {}, [park])
    (frame,) = counted.frames.values()
    assert frame["m_stream"].to_list() == ["s0", "s2"]
    assert frame.select(fields).rows() == [
        tuple(getattr(item.event, name) for name in fields) for item in log if item.stream != "s1"
    ]


@pytest.mark.parametrize("name", ["meta", "m_row", "m_stream", "m_version", "m_place", "m_sub"])
def test_a_field_cannot_bear_a_name_of_the_envelope(name: str) -> None:
    with pytest.raises(ContractError, match=name):
        schema_of(Named((name,)).said, "named.row")


@pytest.mark.parametrize("name", SYSTEM)
def test_a_column_that_each_table_of_postgres_has_is_refused_where_it_is_declared(name: str) -> None:
    named = Named(("a",))
    said = events(named.category, named.said)
    one: dict[str, Any] = {"name": "model", "domain": "named", "description": "A model."}
    with pytest.raises(BadDeclaration, match=name):
        Rollup(**one, key={"a": key("a", "A key.")}, columns={name: said.count("All.")})
    with pytest.raises(BadDeclaration, match=name):
        Rollup(**one, key={name: key("a", "A key.")}, columns={"n": said.count("All.")})
    with pytest.raises(BadDeclaration, match=name):
        Entity(**one, category=named.category, key_name=name, key_doc="A key.", columns={"n": said.count("All.")})
    evolve: Evolve = Named((name, "b"))._evolve((name,), {name: "A column."})
    with pytest.raises(BadDeclaration, match=name):
        Entity(**one, category=named.category, key_name="a", key_doc="A key.", evolve=evolve)
    with pytest.raises(BadDeclaration, match=name):
        View(**one, columns={name: ("int", "A column.")}, key=(name,), reads=("t",), sql="SELECT 1")


def pg_words(db: Database) -> list[str]:
    """The words of SQL, as the server has them."""
    found = db.execute("SELECT word FROM pg_get_keywords() WHERE word ~ '^[a-z][a-z0-9_]*$'").fetchall()
    return [row[0] for row in found]


@pytest.fixture
def db(database: str) -> Iterator[Database]:
    with connect(database, application_name="test") as connection:
        bootstrap(connection)
        yield connection


def declared_on(named: Named, *, evolves: bool) -> Declared:
    """Models of all columns, some hundreds each, and a view over each that has all its columns, too."""
    models: list[ReadModel] = []
    for at in range(0, len(named.fields), 300):
        columns, names = columns_of(named.fields[at : at + 300]), MODEL_NAMES[at // 300]
        made = named.models(names, columns)
        models += made[2:] if evolves else made[:2]
        of = models[-1]
        models.append(
            View(
                name=f"v_{of.name}",
                domain="named",
                description="A view.",
                columns=dict.fromkeys(columns, ("bigint", "A column.")),
                key=(columns[0],),
                reads=(of.name,),
                sql=f'SELECT * FROM named."{of.name}"',
            )
        )
    return declared_of(models)


@pytest.mark.parametrize("evolves", [False, True])
def test_live_by_rows_live_by_columns_and_rebuilt_tables_are_the_naive_fold(
    db: Database, database: str, monkeypatch: pytest.MonkeyPatch, *, evolves: bool
) -> None:
    monkeypatch.setattr(inspect, "getsource", repr)  # a class with a field called `class` has none
    named = Named(tuple(sorted({*WORDS, *pg_words(db)})))
    declared, log = declared_on(named, evolves=evolves), named.log(streams=30)
    ensure_builds(db, declared)
    fold = ModelsFold(database, "", named.catalog, declared)
    core_stands(db, {PLACE: len(log)})
    found = []
    for size in (20, len(log)):  # the first is few enough for rows
        for build in builds(db):
            db.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(build.schema, build.model)))
        fold.stored([PLACE])
        db.execute("UPDATE refold.positions SET next_offset = 0 WHERE grp = 'models'")
        for at in range(0, len(log), size):
            fold.apply([named.chunk(log[at : at + size], at)])
        found.append({layout.name: bytes_of(db, layout) for layout in declared.layouts.values()})
    fold.close()
    assert found[0] == found[1]
    for layout in declared.layouts.values():
        assert rows(db, layout) == (evolved(layout, log) if evolves else naive_rows(layout.model, log))
        rebuild(db, declared, layout, named, log)
        assert bytes_of(db, layout) == found[0][layout.name]
    for view in declared.views:
        names = sql.SQL(", ").join(map(sql.Identifier, view.columns))
        shown = [
            sql.SQL("SELECT {} FROM {} ORDER BY {}").format(names, sql.Identifier("named", of), names)
            for of in (view.name, *view.reads)
        ]
        assert db.execute(shown[0]).fetchall() == db.execute(shown[1]).fetchall()
    assert not [build for build in builds(db) if build.detached_code]


def test_an_event_field_called_deleted_at_leaves_deleted_when_as_it_is(db: Database, database: str) -> None:
    named = Named(("deleted_at", "park_from"))
    said = events(named.category, named.said)
    model = Entity(
        name="posts",
        domain="named",
        description="Posts.",
        category=named.category,
        key_name="id",
        key_doc="Id.",
        columns={"posts": said.count("Since it was removed.")},
        deleted_when=named.gone,
    )
    declared, log = declared_of([model]), named.log(streams=60)
    ensure_builds(db, declared)
    fold = ModelsFold(database, "", named.catalog, declared)
    core_stands(db, {PLACE: len(log)})
    fold.stored([PLACE])
    fold.apply([named.chunk(log)])  # Post, Remove, Post of all streams in one batch
    fold.close()
    found = rows(db, declared.named("posts"))
    assert [row["posts"] for row in found] == [1] * 60
    rebuild(db, declared, declared.named("posts"), named, log)
    assert rows(db, declared.named("posts")) == found


def evolved(layout: Layout, log: Sequence[Happened]) -> list[dict[str, Any]]:
    assert isinstance(layout.model, Entity)
    assert layout.model.evolve is not None
    states: dict[str, Any] = {}
    for item in log:
        states[item.stream] = layout.model.evolve.fold(states.get(item.stream), item.event)
    return [{"key_of_it": stream, **msgspec.structs.asdict(states[stream])} for stream in sorted(states)]


def rebuild(db: Database, declared: Declared, layout: Layout, named: Named, log: Sequence[Happened]) -> None:
    """As a rebuild does it, in three flushes; and one cell that differs is seen, in whichever column."""
    serving = next(build for build in builds(db) if (build.model, build.status) == (layout.name, "serving"))
    build = promote.begin(db, layout, serving.fingerprint, None)
    staging = Staging(db, layout, build, [])
    decoder, third = ColumnDecoder(named.catalog, thin=True), len(log) // 3
    for at in range(0, len(log), third):
        batch = batch_of("named.row", [named.chunk(log[at : at + third], at)])
        staging.add({"named.row": (batch, counted_events(decoder, handled(layout.model), batch, {}, []))})
        staging.flush(db)
    staging.finish(db)
    set_status(db, build, "shadow")
    assert compare(db, layout, build, serving).differing == 0
    table, key = sql.Identifier(build.schema, layout.name), sql.Identifier(layout.key_names[0])
    for part in layout.columns[::20] + tuple(
        part for part in layout.columns if part.name in {"t", "whole", "place", "theirs", "key0"}
    ):
        column = sql.Identifier(part.name)
        changed = sql.SQL("UPDATE {0} SET {1} = {1} {2} WHERE {3} = (SELECT max({3}) FROM {0})")
        more = sql.SQL("|| 'x'" if part.type.sql == "text" else "+ 1")
        with db.transaction(force_rollback=True):
            db.execute(changed.format(table, column, more, key))
            assert compare(db, layout, build, serving).differing == 1, part.name
    promote.promote(db, declared, layout, build)
