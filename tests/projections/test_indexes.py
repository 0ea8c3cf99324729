"""Indexes of read models: what is refused, what the tables get, that they change alone, and that the API's statements use them."""

from dataclasses import replace
from typing import Any, LiteralString

import pytest
from psycopg import sql

from refold.api.http.reads.language.query_string import read_query
from refold.api.http.reads.pages import _composed
from refold.api.http.reads.planning.plan import Plan, Wanted, plan_query
from refold.api.http.reads.planning.resources import check_name
from refold.api.http.reads.standing import standing_values
from refold.projections import BadDeclaration
from refold.projections.live.indexing import mend_all
from refold.projections.live.models import ModelsFold
from refold.projections.live.process import ensure_builds
from refold.projections.replay.staging import Staging
from refold.projections.tables import builds, tables
from refold.projections.tables.declared import Declared, declared_of
from refold.projections.tables.fingerprint import fingerprint
from refold.projections.tables.indexes import indexes_of
from refold.projections.tables.layout import layout_of
from refold.projections.tables.serving import ServedModel, served_models
from refold.retail.projections import BASKETS, HOUSEHOLDS, READ_MODELS, STORE_DAILY, scanned
from refold.streams.postgres.connection import Database
from tests.projections.naive import naive_rows
from tests.projections.sample import ACCOUNTS, BALANCES, BY_OWNER, as_today
from tests.projections.test_models import INCOMPRESSIBLE, feed, random_log, rows

OURS = "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = %s::regclass AND NOT i.indisunique ORDER BY 1"


@pytest.mark.parametrize(
    ("indexes", "said"),
    [
        ("day", "its indexes are 'day'; write a tuple"),
        ([("day",)], "write a tuple of columns or of tuples of them"),
        (("nothing",), "names 'nothing'; its columns are some of store_id, day, lines"),
        ((("day", "day"),), "has no column, or one twice"),
        (((),), "has no column, or one twice"),
        ((7,), "the index 7 has no column"),
        (("day", ("day",)), "is declared twice"),
    ],
)
def test_indexes_of_no_columns_are_refused_where_they_are_declared(indexes: Any, said: str) -> None:
    with pytest.raises(BadDeclaration) as found:
        replace(STORE_DAILY, indexes=indexes)
    assert said in found.value.message


def columns(model: Any) -> list[tuple[str, ...]]:
    return [index.columns for index in indexes_of(layout_of(model))]


def test_an_index_ends_with_the_key_and_is_left_out_where_another_begins_with_its_columns() -> None:
    assert columns(replace(STORE_DAILY, indexes=("day",))) == [("day", "store_id")]
    assert columns(replace(STORE_DAILY, indexes=("store_id", ("store_id", "day")))) == []  # the key serves both
    assert columns(replace(STORE_DAILY, indexes=("lines", ("lines", "store_id")))) == [("lines", "store_id", "day")]
    assert columns(BASKETS) == [("household_id",), ("store_id",)]  # the ways back of its links
    assert columns(replace(BASKETS, indexes=("store_id",))) == [("store_id", "basket_id"), ("household_id",)]
    assert columns(HOUSEHOLDS) == []


def test_a_computed_column_has_an_index_like_any_other() -> None:
    computed = replace(STORE_DAILY, columns={**STORE_DAILY.columns, "mean": scanned.avg("amount", "Mean amount.")})
    assert columns(replace(computed, indexes=("mean", "day"))) == [("mean", "store_id", "day"), ("day", "store_id")]


def test_names_of_indexes_fit_postgres_and_differ() -> None:
    long = {f"{letter * 51}": column for letter, column in zip("abc", BASKETS.columns.values(), strict=False)}
    model = replace(BASKETS, name="m" * 51, columns=long, links={}, units={}, indexes=(*long, tuple(long)))
    names = [index.name for index in indexes_of(layout_of(model))]
    assert all(len(name.encode()) <= 63 for name in names)
    assert len(set(names)) == len(names) == 4


def test_indexes_change_no_fingerprint() -> None:
    for model in (STORE_DAILY, BASKETS):
        assert fingerprint(replace(model, indexes=("lines",))) == fingerprint(model)


def there(db: Database, table: str) -> list[str]:
    return [name for (name,) in db.execute(OURS, (table,)).fetchall()]


def indexed(*of: str | tuple[str, ...]) -> Declared:
    return declared_of((ACCOUNTS, BALANCES, replace(BY_OWNER, indexes=of)))


def by_owner(db: Database) -> str:
    (build,) = [build for build in builds.builds(db) if build.model == "by_owner"]
    return f"{build.schema}.by_owner"


@pytest.mark.usefixtures("fold")
def test_indexes_come_and_go_at_a_start_without_a_rebuild_and_an_operators_own_stays(db: Database) -> None:
    table, before = by_owner(db), [build.number for build in builds.builds(db)]
    db.execute(sql.SQL("CREATE INDEX operators_own ON {} (payments)").format(sql.Identifier(*table.split("."))))
    for found in (indexed("payments"), indexed("last_owner", "payments"), indexed(("payments", "last_owner"))):
        assert mend_all(db, found)
        wanted = [index.name for index in indexes_of(found.named("by_owner"))]
        assert there(db, table) == sorted([*wanted, "operators_own"])
    assert mend_all(db, indexed())
    assert there(db, table) == ["operators_own"]
    assert [build.number for build in builds.builds(db)] == before


@pytest.mark.usefixtures("fold")
def test_half_an_index_of_a_killed_process_is_made_again(db: Database) -> None:
    found, table = indexed("payments"), by_owner(db)
    mend_all(db, found)
    db.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = (SELECT oid FROM pg_class WHERE relname = %s)",
               (there(db, table)[0],))  # fmt: skip
    mend_all(db, found)
    valid = "SELECT bool_and(indisvalid) FROM pg_index WHERE indrelid = %s::regclass"
    assert db.execute(valid, (table,)).fetchone() == (True,)


def test_a_value_too_long_for_an_index_costs_the_index_and_no_row(
    fold: ModelsFold, db: Database, sample: Declared, caplog: pytest.LogCaptureFixture
) -> None:
    found, table = indexed("last_owner"), by_owner(db)
    mend_all(db, found)
    assert len(there(db, table)) == 1
    log = random_log(5)
    feed(fold, db, log, 5)
    assert rows(db, sample.named("by_owner")) == naive_rows(BY_OWNER, as_today(log))
    assert there(db, table) == []
    assert "loses the index _by_owner_last_owner" in caplog.text
    mend_all(db, found)  # as the next start does, which finds the long value
    assert there(db, table) == []
    assert "goes without an index of last_owner" in caplog.text


@pytest.mark.parametrize("owner", ["ann", INCOMPRESSIBLE])
def test_a_rebuilt_table_has_its_indexes_unless_a_value_is_too_long(db: Database, owner: str) -> None:
    found = indexed("last_owner", "payments")
    layout = found.named("by_owner")
    for purpose, number in (("", 2 if owner == "ann" else 1), (builds.VERIFIED, 0)):
        build = builds.create(db, layout, f"{purpose}f", "building")
        tables.create(db, layout, build, with_key=False)
        table = f"{build.schema}.by_owner"
        required = [part for part in layout.stored if part.required]
        names = sql.SQL(", ").join(sql.Identifier(part.name) for part in (*required, layout.part("last_owner")))
        values = sql.SQL(", ").join(
            [*(sql.Literal("2024-01-01" if part.type.sql == "date" else "1") for part in required), sql.Literal(owner)]
        )
        db.execute(
            sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(sql.Identifier(build.schema, "by_owner"), names, values)
        )
        for _ in range(2):  # a killed rebuild finishes twice
            with db.transaction():
                Staging(db, layout, build, []).finish(db)
        assert len(there(db, table)) == number


INDEXED = tuple(
    replace(model, indexes=("opened_at", "total")) if model is BASKETS
    else replace(model, indexes=("day",)) if model is STORE_DAILY else model
    for model in READ_MODELS
)  # fmt: skip


@pytest.fixture
def large(db: Database) -> Database:
    """Tables of 20,000 baskets of 500 households and 20,000 rows of days, as a worker makes them on an empty database."""
    ensure_builds(db, declared_of(INDEXED))
    where = {build.model: build.schema for build in builds.builds(db)}
    fills: dict[str, LiteralString] = {
        "baskets": "INSERT INTO {} (basket_id, household_id, store_id, opened_at, lines, quantity, total, discount) SELECT n::text, (n % 500)::text, n % 90, timestamptz '2024-01-01Z' + n * interval '1 min', 1, 1, n, 0 FROM generate_series(1, 20000) n",
        "households": "INSERT INTO {} (household_id, campaigns, coupons, baskets, points) SELECT n::text, 0, 0, 0, 0 FROM generate_series(0, 499) n",
        "store_daily": "INSERT INTO {} (store_id, day, lines, quantity, revenue, discount, baskets_opened, baskets_paid, paid) SELECT n % 100, date '2024-01-01' + n / 100, 1, 1, 1, 0, 0, 0, 0 FROM generate_series(1, 20000) n",
    }
    for model, fill in fills.items():
        db.execute(sql.SQL(fill).format(sql.Identifier(where[model], model)))
        db.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(where[model], model)))
    return db


MODELS: dict[tuple[str, str], ServedModel] = {(one.domain, one.name): one for one in served_models(["refold.retail"])}


def planned(model: str, text: str) -> Plan:
    of = MODELS["retail", model]
    return plan_query(of, read_query(text.encode(), check=check_name(of, MODELS)), Wanted(), MODELS)


def explained(db: Database, plan: Plan) -> str:
    """Postgres's plan of the statement that the API makes."""
    statement = _composed(plan, by_key=False)
    found = db.execute(
        f"EXPLAIN {statement.text}".encode(),
        [*(plan.values[slot] for slot in statement.slots), *standing_values(plan.source, "")],
    )
    return "\n".join(row[0] for row in found.fetchall())


def after(plan: Plan, *values: Any) -> str:
    return plan.cursor_after(10, values, ())


@pytest.mark.parametrize(
    ("model", "order", "last"),
    [
        ("store_daily", "day", ("2024-06-01", "5")),
        ("store_daily", "day.desc", ("2024-06-01", "5")),
        ("store_daily", "day.desc,store_id.desc", ("2024-06-01", "5")),
        ("baskets", "opened_at.desc", ("2024-01-10 00:00:00+00", "5")),
        ("baskets", "total", ("15000", "5")),
    ],
)
def test_pages_and_cursors_are_read_by_an_index(large: Database, model: str, order: str, last: tuple[str, ...]) -> None:
    first = planned(model, f"order={order}&limit=10")
    assert f"_{model}_{order.split('.', maxsplit=1)[0]}" in explained(large, first)
    later = explained(large, planned(model, f"order={order}&limit=10&cursor={after(first, *last)}"))
    assert f"_{model}_{order.split('.', maxsplit=1)[0]}" in later
    assert "Index Cond" in later  # it begins at the cursor, not at the first row


def test_an_embed_finds_the_rows_that_link_to_a_row_by_an_index(large: Database) -> None:
    found = explained(large, planned("households", "household_id=eq.7&select=*,receipts(basket_id,total)"))
    assert "_baskets_household_id_" in found
    assert "Seq Scan on baskets" not in found
