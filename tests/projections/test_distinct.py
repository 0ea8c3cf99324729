"""Numbers of different values: the naive fold's and Postgres's, in any chunks and flushes, live and rebuilt, to the byte."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from refold.projections import EventTable, Rollup, cell, divide, events, field, key, lower, ratio
from refold.projections.declaring.conditions import Condition
from refold.projections.declaring.declaration import Entity, Model
from refold.projections.errors import BadDeclaration
from refold.projections.partials import merge_sql
from refold.projections.partials.partial import merged, partial_of
from refold.projections.replay.compare import Difference, compare
from refold.projections.replay.staging import Staging
from refold.projections.tables import builds, tables
from refold.projections.tables.builds import Build
from refold.projections.tables.declared import declared_of
from refold.projections.tables.fingerprint import fingerprint
from refold.projections.tables.layout import Layout, layout_of
from refold.projections.tables.lineage import lineages_of
from refold.projections.tables.names import table
from refold.streams.postgres.connection import Database, connect
from refold.testing import event_at, rows
from tests.projections.naive import naive_rows
from tests.projections.sample import ACCOUNTS, BY_OWNER, Closed, Opened, Paid, as_today, log_of
from tests.projections.test_aggregates import both, entity, rollup, shown
from tests.projections.test_models import random_log
from tests.projections.test_partial import frames_of
from tests.projections.typed import CATEGORY, CONDITIONS, EVENTS, LOGS, Typed
from tests.projections.typed import log_of as typed_log

typed = events(CATEGORY, Typed)
FIELDS = Typed.__struct_fields__
LISTED = EventTable(
    name="listed",
    domain="typed",
    description="Listed.",
    of=typed,
    stream=("stream", "Id."),
    version=("version", "Number."),
    columns={name: cell(name, "Value.") for name in FIELDS},
)
"""A row for each event, with all its fields."""


def distincts(some: Any = typed) -> dict[str, Any]:
    """The number of values of each field, and of some expressions."""
    return {name: some.distinct(name, "Values.") for name in FIELDS} | {
        "sums": some.distinct(field("amount") + field("number"), "Values."),
        "thirds": some.distinct(divide("amount_or_none", 3, 1), "Values."),
        "lower_texts": some.distinct(lower("text_or_none"), "Values."),
        "events": some.count("Events."),
    }


@settings(max_examples=60, deadline=None)
@given(log=LOGS, condition=CONDITIONS, cut=st.integers(0, 12), keyed=st.booleans())
def test_values_of_every_type_are_counted_as_by_the_naive_fold(
    log: list[Any], condition: Condition, cut: int, keyed: bool
) -> None:
    columns, happened = distincts(typed.where(condition)), typed_log(log)
    model: Model = rollup(columns) if keyed else entity(columns)
    layout = layout_of(model)
    whole, left, right = (both(layout, piece) for piece in (happened, happened[:cut], happened[cut:]))
    assert shown(layout, whole) == naive_rows(model, happened)
    assert merged(layout, [right, left]).equals(whole)


def made(db: Database, layout: Layout, *, with_key: bool = True, status: str = "building") -> Build:
    build = builds.create(db, layout, "f", status)
    tables.create(db, layout, build, with_key=with_key)
    return build


def bytes_in(db: Database, layout: Layout, build: Build) -> list[list[str]]:
    """The rows of the model's table, and of each one beside it."""
    query = sql.SQL("SELECT t::text FROM {} t ORDER BY 1")
    return [[row[0] for row in db.execute(query.format(table(one, build.schema))).fetchall()] for one in layout.tables]


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("flushed_after", [(), (0, 1, 2, 3), (2,)])
@pytest.mark.parametrize("model", [BY_OWNER, ACCOUNTS])
def test_a_rebuild_in_any_flushes_gives_the_live_tables_to_the_byte(
    db: Database, model: Model, flushed_after: Sequence[int]
) -> None:
    layout, log = layout_of(model), random_log(5)
    pieces = [log[start : start + 12] for start in range(0, len(log), 12)]
    assert len(pieces) == 5
    live, rebuilt = made(db, layout), made(db, layout, with_key=False)
    for piece in pieces:
        for number in range(0, 12, 5):
            merge_sql.add(db, layout, live.schema, partial_of(layout, frames_of(piece[number : number + 5])))
    staging = Staging(db, layout, rebuilt, [])
    for number, piece in enumerate(pieces[:-1]):
        staging.take(partial_of(layout, frames_of(piece)))
        if number in flushed_after:
            staging.flush(db)
    staging.flush(db)
    staging.finish(db)
    staging.finish(db)  # as after a kill
    staging.take(partial_of(layout, frames_of(pieces[-1])))  # as a build that follows the log when its tables have keys
    staging.flush(db)
    assert bytes_in(db, layout, rebuilt) == bytes_in(db, layout, live)
    columns = [part.name for part in layout.shown]
    query = sql.SQL("SELECT {} FROM {}").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), tables.shown_rows(layout, rebuilt)
    )
    found = [dict(zip(columns, row, strict=True)) for row in db.execute(query).fetchall()]
    found.sort(key=lambda row: [(row[name] is not None, row[name]) for name in layout.key_names])
    assert found == naive_rows(model, as_today(log))
    assert any(row[layout.sets[0].name] > 1 for row in found)


@pytest.mark.usefixtures("servers")
def test_postgres_counts_the_same_values(db: Database) -> None:
    """Each field's values by a text that may be null, from a table of the same events."""
    counted = Rollup(
        name="counted",
        domain="typed",
        description="Counted.",
        key={"by": key("text_or_none", "Key.")},
        columns={f"n_{name}": typed.distinct(name, "Values.") for name in FIELDS},
    )
    chosen = st.lists(st.tuples(st.sampled_from("abA"), EVENTS, st.integers(0, 3)), min_size=40, max_size=60)
    log = typed_log(example(chosen))
    layouts = layout_of(counted), layout_of(LISTED)
    of_counts, of_events = (made(db, layout) for layout in layouts)
    for layout, build in zip(layouts, (of_counts, of_events), strict=True):
        for start in range(0, len(log), 7):
            merge_sql.add(db, layout, build.schema, both(layout, log[start : start + 7]))
    numbers = ", ".join(f"n_{name}" for name in FIELDS)
    asked = ", ".join(f'count(DISTINCT "{name}")' for name in FIELDS)
    ours = db.execute(f"SELECT by, {numbers} FROM {of_counts.schema}.counted ORDER BY 1".encode()).fetchall()
    theirs = db.execute(
        f"SELECT text_or_none, {asked} FROM {of_events.schema}.listed GROUP BY 1 ORDER BY 1".encode()
    ).fetchall()
    assert ours == theirs
    assert any(None in row for row in ours)


def example(of: st.SearchStrategy[Any]) -> Any:
    """One value that a strategy gives, the same each time."""
    found: list[Any] = []

    @settings(max_examples=1, deadline=None, derandomize=True, database=None)
    @given(of)
    def take(value: Any) -> None:
        found.append(value)

    take()
    return found[0]


@pytest.mark.usefixtures("servers")
def test_tables_of_equal_numbers_differ_if_their_values_do(db: Database) -> None:
    layout = layout_of(BY_OWNER)
    paid = Paid(amount=Decimal("1.25"), points=4, huge=5, owner=None)
    partial = partial_of(layout, frames_of(log_of([("a", paid, 0), ("b", paid, 1)])))
    ours, theirs = made(db, layout, status="shadow"), made(db, layout, status="serving")
    for build in (ours, theirs):
        merge_sql.add(db, layout, build.schema, partial)
    assert compare(db, layout, ours, theirs).differing == 0
    db.execute(f'UPDATE {theirs.schema}."Values1" SET "Value" = 9'.encode())
    found = compare(db, layout, ours, theirs)
    ((name, (served, log)),) = found.listed[0].columns.items()
    assert (found.changed, found.columns, name) == (1, {"amounts": 1}, "amounts")
    assert (str(served)[:10], str(log)[:10]) == ("1 (values ", "1 (values ")
    assert served != log
    db.execute(f"UPDATE {theirs.schema}.by_owner SET amounts = 2".encode())
    assert compare(db, layout, ours, theirs).listed == [
        Difference({"owner": None, "day": "2024-01-01"}, "changed", {"amounts": ("2", "1")})
    ]


@pytest.mark.usefixtures("servers")
def test_two_processes_that_add_one_value_at_once_count_it_once(db: Database, database: str) -> None:
    layout = layout_of(BY_OWNER)
    build = made(db, layout)
    paid = Paid(amount=Decimal("1.25"), points=4, huge=5, owner="ann")
    partials = [partial_of(layout, frames_of(log_of([(stream, paid, 0)]))) for stream in "ab"]

    add_at_once(db, database, layout, build, partials)
    found = db.execute(f"SELECT payments, amounts, streams FROM {build.schema}.by_owner".encode()).fetchall()
    assert found == [(2, 1, 2)]


def add_at_once(db: Database, database: str, layout: Layout, build: Build, partials: Sequence[pl.DataFrame]) -> None:
    """Add two partials of one row in two transactions, of which the second waits for the first."""

    def add(other: Database) -> None:
        with other.transaction():
            merge_sql.add(other, layout, build.schema, partials[1])

    waits = "SELECT FROM pg_locks WHERE NOT granted AND pid = %s"
    with connect(database, application_name="other") as other, ThreadPoolExecutor(1) as beside:
        with db.transaction():
            merge_sql.add(db, layout, build.schema, partials[0])
            added = beside.submit(add, other)
            while not added.done() and db.execute(waits, (other.info.backend_pid,)).fetchone() is None:
                pass
            assert not added.done()
        added.result()


@pytest.mark.usefixtures("servers")
def test_a_table_without_the_key_of_its_values_is_damaged(db: Database) -> None:
    layout = layout_of(ACCOUNTS)
    build = made(db, layout)
    assert tables.has_key(db, layout, build)
    db.execute(f'ALTER TABLE {build.schema}."Values2" DROP CONSTRAINT "Values2_pkey"'.encode())
    assert not tables.has_key(db, layout, build)


def account(columns: dict[str, Any], **more: Any) -> Entity:
    return Entity(
        name="owners",
        domain="sample",
        description="Owners.",
        category=ACCOUNTS.category,
        key_name="account",
        key_doc="Id.",
        columns=columns,
        **more,
    )


OWNERS = events(ACCOUNTS.category, Opened, Paid)


def test_rows_and_shown_columns_have_the_number() -> None:
    columns = {"owners": OWNERS.distinct("owner", "Owners."), "events": OWNERS.count("Events.")}
    shown_too = {"events_per_owner": ratio("events", "owners", scale=2, doc="Events of an owner.")}
    model = account(columns, deleted_when=Closed, shown=shown_too)
    happened = [
        event_at(stream, f"2026-01-01T10:0{minute}Z", event)
        for minute, (stream, event) in enumerate(
            [
                ("a", Opened(owner="ann")), ("a", Opened(owner="bob")), ("a", Opened(owner="ann")), ("a", Opened()),
                ("b", Opened(owner="eve")), ("b", Closed()), ("b", Opened()), ("c", Opened(owner="x" * 5000)),
                ("c", Opened(owner="x" * 5001)),
            ]
        )
    ]  # fmt: skip
    assert rows(model, happened) == [
        {"account": "a", "owners": 2, "events": 4, "events_per_owner": Decimal("2.00")},
        {"account": "b", "owners": 0, "events": 1, "events_per_owner": None},
        {"account": "c", "owners": 2, "events": 2, "events_per_owner": Decimal("1.00")},
    ]


def test_the_type_of_the_values_is_part_of_the_declaration() -> None:
    plain = account({"n": OWNERS.distinct("owner", "Owners.")})
    assert fingerprint(plain) != fingerprint(account({"n": events(ACCOUNTS.category, Opened).distinct("owner", "O.")}))
    assert fingerprint(plain) == fingerprint(account({"n": OWNERS.distinct("owner", "Other words.")}))
    origin = lineages_of(declared_of([plain]))["sample", "owners"].columns["n"]
    assert (origin.gather, origin.value) == ("distinct", "owner")


def test_a_field_that_an_event_lacks_is_refused() -> None:
    with pytest.raises(BadDeclaration, match="owner"):
        account({"n": events(ACCOUNTS.category, Opened, Closed).distinct("owner", "Owners.")})
