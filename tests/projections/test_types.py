"""Any declaration over any types: rows, columns, any chunking and Postgres agree with the naive fold."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.rows import dict_row

from refold.projections.declaring.conditions import Condition
from refold.projections.declaring.declaration import Entity, Model, Rollup
from refold.projections.declaring.expressions import by_event, day, field, hour, quarter, week, weekday
from refold.projections.declaring.formulas import Formula, Term, column, ratio
from refold.projections.declaring.gathering import Column, events, key
from refold.projections.declaring.sql_types import decimal
from refold.projections.live.models import ModelsFold
from refold.projections.live.process import ensure_builds
from refold.projections.partials import merge_sql
from refold.projections.partials.batch import batch_of, counted_events
from refold.projections.partials.by_rows import partial_columns
from refold.projections.partials.partial import merged, partial_of
from refold.projections.partials.row_batch import RowReader
from refold.projections.replay import promote
from refold.projections.replay.builder import Builder
from refold.projections.replay.decoding import Decoding, Prepared
from refold.projections.replay.staging import Staging
from refold.projections.tables import builds as all_builds
from refold.projections.tables import snapshots, tables
from refold.projections.tables.declared import declared_of
from refold.projections.tables.derived import Derived, expression, value_in
from refold.projections.tables.layout import Layout, layout_of
from refold.projections.tables.served import served_table
from refold.projections.tables.snapshots import Snapshot
from refold.schemas.arithmetic import EXACT
from refold.schemas.columns.decoder import ColumnDecoder
from refold.streams.postgres.arrays import literal
from refold.streams.postgres.connection import Database
from tests.projections import test_aggregates
from tests.projections.conftest import core_stands
from tests.projections.naive import Happened, naive_rows
from tests.projections.test_models import rows
from tests.projections.typed import (
    BERLIN,
    CATALOG,
    CATEGORY,
    CONDITIONS,
    LOGS,
    NAMES,
    TYPED,
    Kind,
    Typed,
    chunk_of,
    log_of,
    random_log,
)

DECODER = ColumnDecoder(CATALOG, thin=True)
SUMMED = tuple(name for name in NAMES if name.startswith(("amount", "number", "big")) or name == "m_version")
typed = events(CATEGORY, Typed)


def rollup(columns: dict[str, Column], by: Any = "m_stream") -> Rollup:
    return Rollup(name="of_types", domain="typed", description="All.", key={"by": key(by, "A key.")}, columns=columns)


def every_gather() -> dict[str, Column]:
    """Each gather of each field: what a table of such columns holds."""
    found = {"n": typed.count("All.")}
    for name in NAMES:
        for gather in ("min", "max", "first", "last"):
            found[f"{gather}_{name}"] = getattr(typed, gather)(name, "A column.")
    return {**found, **{f"sum_{name}": typed.sum(name, "A column.") for name in SUMMED}}


WHOLE: list[Model] = [
    rollup(every_gather()),
    *(rollup(every_gather(), by) for by in ("kind", "flag_or_none", "amount", "at", "on", day("at_or_none"))),
    *(rollup(every_gather(), by) for by in (week("at_or_none", "Europe/Berlin"), hour("at", "America/Santiago"), quarter("on_or_none"), weekday("on"))),
    Entity(
        name="of_types", domain="typed", description="All.", category=CATEGORY, key_name="id", key_doc="Id.", columns=every_gather()
    ),
]  # fmt: skip


def both(model: Model, log: Sequence[Happened]) -> pl.DataFrame:
    """The partial by columns, which is also the one by rows, as Postgres gets it."""
    layout, chunk = layout_of(model), chunk_of(log)
    frames = counted_events(DECODER, [TYPED], batch_of("typed.row", [chunk]), {}, []).frames
    by_columns = partial_of(layout, frames)
    read = RowReader(CATALOG, "typed.row", [TYPED]).read([chunk], {})
    assert read is not None
    by_rows = partial_columns(layout, read)
    for part in layout.stored:
        assert by_rows[part.name] == by_columns[part.name].to_list()
        assert literal(by_rows[part.name]) == literal(by_columns[part.name])
    return by_columns


def shown(layout: Layout, found: pl.DataFrame) -> list[dict[str, Any]]:
    return found.select(part.name for part in layout.shown).to_dicts()


@settings(max_examples=150, deadline=None)
@given(
    log=LOGS, condition=CONDITIONS, of=st.sampled_from(NAMES), summed=st.sampled_from(SUMMED), cut=st.integers(0, 12)
)
def test_any_condition_holds_alike_by_rows_by_columns_and_in_plain_python(
    log: list[Any], condition: Condition, of: str, summed: str, cut: int
) -> None:
    some = typed.where(condition)
    columns = {
        "n": some.count("Some."),
        "total": some.sum(summed, "Sum."),
        "word": some.last(by_event({Typed: "x"}), "Word."),
    }
    gathered = {gather: getattr(some, gather)(of, "A column.") for gather in ("min", "max", "first", "last")}
    model, happened = rollup({**columns, **gathered}), log_of(log)
    layout, whole = layout_of(model), both(model, happened)
    assert shown(layout, whole) == naive_rows(model, happened)
    assert merged(layout, [both(model, happened[:cut]), both(model, happened[cut:])]).equals(whole)


@pytest.mark.parametrize("operator", ["eq", "ne", "gt", "ge", "lt", "le", "is_in"])
@pytest.mark.parametrize("constant", [Decimal("1.005"), Decimal("-0.001"), Decimal("1.00"), 1])
def test_a_decimal_between_two_of_the_fields_compares_exactly(operator: str, constant: Decimal | int) -> None:
    amounts = [Decimal("0.99"), Decimal("1.00"), Decimal("1.01"), Decimal("0.00"), Decimal("-0.01"), None]
    (one, *_) = random_log(1, 1)
    log = [
        replace(one, stream=f"s{n}", event=msgspec.structs.replace(one.event, amount_or_none=amount))
        for n, amount in enumerate(amounts)
    ]
    model = rollup({"n": typed.where(getattr(field("amount_or_none"), operator)(constant)).count("Some.")})
    assert shown(layout_of(model), both(model, log)) == naive_rows(model, log)


@pytest.mark.parametrize("model", WHOLE, ids=lambda model: str(getattr(model, "key", "entity"))[:40])
@settings(max_examples=15, deadline=None)
@given(log=LOGS)
def test_each_gather_of_each_type_is_one_function(model: Model, log: list[Any]) -> None:
    happened = log_of(log)
    assert shown(layout_of(model), both(model, happened)) == naive_rows(model, happened)


@pytest.mark.parametrize("seed", range(2))
def test_postgres_merges_as_partials_do(db: Database, seed: int) -> None:
    happened = random_log(seed, 60)
    for model in WHOLE:
        layout = layout_of(model)
        build = all_builds.create(db, layout, "f", "shadow")
        tables.create(db, layout, build)
        tables.point_view(db, layout, build)
        for at in range(0, len(happened), 7):
            merge_sql.add(db, layout, build.schema, both(model, happened[at : at + 7]))
        assert rows(db, layout) == naive_rows(model, happened)
        db.execute("DROP VIEW typed.of_types")


def test_postgres_computes_averages_spreads_and_conditions_as_by_hand(db: Database) -> None:
    happened = random_log(7, 60)
    for of in ("amount_or_none", "number"):
        model = test_aggregates.rollup(test_aggregates.aggregates(of))
        layout = layout_of(model)
        build = all_builds.create(db, layout, "f", "shadow")
        tables.create(db, layout, build)
        tables.point_view(db, layout, build)
        for at in range(0, len(happened), 7):
            merge_sql.add(db, layout, build.schema, test_aggregates.both(layout, happened[at : at + 7]))
        assert rows(db, layout) == naive_rows(model, happened)
        db.execute("DROP VIEW typed.of_types")
        snapshot = Snapshot(of, "typed", "of_types", [], None, "f", "now", served_table(layout))
        with db.transaction():
            snapshots.keep(db, layout, build, snapshot)
        kept = sql.Identifier(snapshots.schema_of("typed", of), "of_types")
        query = db.cursor(row_factory=dict_row).execute(
            sql.SQL("SELECT * FROM {} ORDER BY by NULLS FIRST").format(kept)
        )
        assert query.fetchall() == [
            {part.name: row[part.name] for part in layout.shown} for row in naive_rows(model, happened)
        ]


def random_term(chance: random.Random, depth: int) -> Term:
    if not depth:
        return column(chance.choice("abcn"))
    left, right = random_term(chance, chance.randrange(depth)), random_term(chance, chance.randrange(depth))
    constants: list[int | Decimal] = [2, -7, Decimal("0.5"), Decimal("-1.25"), Decimal("1e-3"), 0]
    other: Term | int | Decimal = chance.choice(constants) if chance.random() < 0.3 else right
    return (left + other, left - other, left * other, left / other)[chance.randrange(4)]


def test_postgres_computes_a_formula_as_python_does(db: Database) -> None:
    chance = random.Random(3)
    cents = [None, 0, 1, -1, 5, -250, 33333, 10**38 - 1, 1 - 10**38]
    table = [
        {**{name: amount(chance.choice(cents)) for name in "abc"}, "n": chance.choice([-3, 0, 1, 2, 7])}
        for _ in range(40)
    ]
    db.execute("CREATE TEMP TABLE held (place int, a numeric(38,2), b numeric(38,2), c numeric(38,2), n bigint)")
    for place, row in enumerate(table):
        db.execute("INSERT INTO held VALUES (%s, %s, %s, %s, %s)", [place, *row.values()])
    compared = 0
    for _ in range(150):
        scale = chance.choice([0, 1, 2, 6, 30])
        formula = Formula(random_term(chance, chance.randrange(1, 5)), scale)
        one = Derived("it", decimal(scale), "It.", formula)
        query = sql.SQL("SELECT ({})::{}::text FROM held ORDER BY place").format(expression(one), sql.SQL(one.type.sql))
        found = [value_in(one, row) for row in table]
        assert [row[0] for row in db.execute(query)] == [None if v is None else format(v, "f") for v in found], formula
        compared += sum(value is not None for value in found)
    assert compared > 1000


def test_postgres_finds_a_root_as_python_does(db: Database) -> None:
    """Also beside squares, and of as many digits as a column has."""
    term = column("n") / column("by")
    for scale in (0, 3, 18):
        one = Derived("it", decimal(scale), "It.", Formula(term, scale, root=True))
        for size in (0, 1, 2, 10**20, 10**37):
            for n, by in ((size * size, 1), (size * size + 1, 1), (max(0, size * size - 1), 1), (size, 4), (size, 3)):
                value = value_in(one, {"n": n, "by": by})
                query = sql.SQL("SELECT ({})::numeric::text FROM (VALUES (%s::numeric, %s::bigint)) t(n, by)").format(
                    expression(one)
                )
                if value is not None:
                    assert db.execute(query, (n, by)).fetchone() == (format(value, "f"),), (scale, n, by)


def amount(cents: int | None) -> Decimal | None:
    return None if cents is None else EXACT.scaleb(Decimal(cents), -2)


CONDITIONED = {
    "kind": field("kind").eq(Kind.A),
    "kinds": field("kind_or_none").is_in(Kind.B, "Z"),
    "since": field("at").ge(datetime(2026, 3, 1, 1, tzinfo=BERLIN)),
    "within": field("amount").gt(1) & field("amount").lt(Decimal("1.015")),
    "flagged": field("flag_or_none").ne(value=True),
    "on": field("on").is_in(date(2026, 3, 1), date.max),
    "text": field("text").gt("z") | field("big").eq(2**63 - 1),
}


@pytest.mark.parametrize("flushes", [True, False])
def test_computed_columns_are_the_same_live_and_rebuilt(db: Database, database: str, flushes: bool) -> None:
    shown_columns = {"per_event": ratio("total", "n", scale=3, doc="Ratio.")}
    columns = {**test_aggregates.aggregates("amount_or_none"), "total": typed.sum("number", "Sum.")}
    model = test_aggregates.rollup(columns, shown=shown_columns, indexes=("average", "per_event"))
    found, log, place = declared_of([model]), random_log(11, 200), ("typed.row.events", 0)
    layout, (name, mark) = found.named("of_types"), next(iter(found.fingerprints.items()))
    ensure_builds(db, found)
    fold = ModelsFold(database, "", CATALOG, found)
    core_stands(db, {place: len(log)})
    fold.stored([place])
    cuts = [0, 1, 2, 80, 200]
    for start, end in pairwise(cuts):
        fold.apply([chunk_of(log[start:end], start)])
    fold.close()
    live = rows(db, layout)
    naive = naive_rows(replace(model, shown={}, indexes=()), log)
    assert [{name: row[name] for name in naive[0]} for row in live] == naive
    staging = Staging(db, layout, promote.begin(db, layout, mark, None), [])
    builder = Builder(db, Decoding(db, "", DECODER, found.types), [staging], {place: 0})
    for start, end in pairwise(cuts):
        batch = batch_of("typed.row", [chunk_of(log[start:end], start)])
        counted = counted_events(DECODER, [TYPED], batch, {}, [])
        builder.add(Prepared({place: end}, {"typed.row": (batch, counted)}))
        if flushes:
            builder.flush()
    builder.flush()
    builder.finish()
    tables.point_view(db, layout, staging.build)
    assert name == ("typed", "of_types")
    assert rows(db, layout) == live


def test_constants_of_all_types_count_alike_alone_and_in_a_burst(db: Database, database: str) -> None:
    model = rollup({name: typed.where(condition).count("Some.") for name, condition in CONDITIONED.items()}, day("at"))
    declared, log = declared_of([model]), random_log(5, 300)
    ensure_builds(db, declared)
    fold = ModelsFold(database, "", CATALOG, declared)
    core_stands(db, {("typed.row.events", 0): len(log)})
    fold.stored([("typed.row.events", 0)])
    for at in range(20):
        fold.apply([chunk_of(log[at : at + 1], at)])
    assert rows(db, declared.named("of_types")) == naive_rows(model, log[:20])
    fold.apply([chunk_of(log[20:], 20)])
    fold.close()
    assert rows(db, declared.named("of_types")) == naive_rows(model, log)
    assert [build.detached_code for build in all_builds.builds(db)] == [None]
