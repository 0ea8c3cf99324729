"""Readers of the views may read rows and their freshness, and change nothing."""

import psycopg
import pytest
from psycopg import sql

from refold.projections.live.process import ensure_builds
from refold.streams.postgres.connection import Database
from refold.streams.postgres.control_tables import bootstrap
from tests.projections.test_view_swap import AMOUNT, MOST, PAYMENTS, V1, promoted, version, view

HANDS = [
    "UPDATE sample.totals SET payments = 0",
    "DELETE FROM sample.totals",
    "INSERT INTO sample.totals (owner) VALUES ('x')",
    "UPDATE sample.counts SET payments = 0",
]


def fill(db: Database, build: int) -> None:
    names = [name for name, *_ in db.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = 'totals' AND is_nullable = 'NO'"
        " AND data_type <> 'text'", (f"refold_b{build}",)
    )]  # fmt: skip
    columns = sql.SQL(", ").join(map(sql.Identifier, ["owner", *names]))
    values = sql.SQL(", ").join([sql.Literal("ann"), *(sql.Literal(1) for _ in names)])
    db.execute(
        sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(sql.Identifier(f"refold_b{build}", "totals"), columns, values)
    )


def as_analyst(db: Database, query: str) -> list[tuple[object, ...]]:
    with db.transaction():
        db.execute("SET LOCAL ROLE refold_analyst")
        return db.execute(query.encode()).fetchall()


@pytest.mark.parametrize("statement", HANDS)
def test_nobody_writes_through_a_view_also_when_it_was_made_again(db: Database, statement: str) -> None:
    ensure_builds(db, version(V1, view("counts", "payments")))
    fill(db, 1)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match="is a fold of the log"):
        db.execute(statement.encode())
    promoted(db, version({"most": MOST, "payments": PAYMENTS, "amount": AMOUNT}, view("counts", "payments")))
    fill(db, 2)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match="is a fold of the log"):
        db.execute(statement.encode())
    assert db.execute("SELECT count(*) FROM sample.counts").fetchone() == (1,)


def test_the_analysts_role_reads_views_after_a_promote_freshness_and_rejections_and_nothing_else_of_ours(
    db: Database,
) -> None:
    found = version(V1, view("counts", "payments"))
    ensure_builds(db, found)
    fill(db, 1)
    assert as_analyst(db, "SELECT owner FROM sample.totals") == [("ann",)]
    promoted(db, version({"most": MOST, **V1}, view("counts", "payments"), view("more", "most", "numeric(38,2)")))
    fill(db, 2)
    assert as_analyst(db, "SELECT owner FROM sample.more") == [("ann",)]
    assert as_analyst(db, "SELECT model FROM refold.freshness") == [("totals",)]
    assert as_analyst(db, "SELECT category, stream, code FROM refold.outcomes") == []
    for rows in ("* FROM refold.positions", "message FROM refold.outcomes", "* FROM refold.outcomes",
                 "* FROM refold.builds", "* FROM refold_b2.totals"):  # fmt: skip
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            as_analyst(db, f"SELECT {rows}")


def test_freshness_is_what_the_core_has_folded_and_the_model_has_not(db: Database) -> None:
    ensure_builds(db, version(V1))
    (category,) = min(db.execute("SELECT jsonb_array_elements_text(served -> 'categories') FROM refold.builds"))
    for group, ends in {"core": (10, 7), "models": (6, 7)}.items():
        for part, at in enumerate(ends):
            db.execute(
                "INSERT INTO refold.positions VALUES (%s, %s, %s, %s, now() - interval '30 s')",
                (group, f"p.{category}.events", part, at),
            )
    asked = "SELECT position, records_behind, seconds_behind >= 30, detached_code FROM refold.freshness"
    assert db.execute(asked.encode()).fetchall() == [(f"{category}.events/0:6,{category}.events/1:7", 4, True, None)]
    db.execute("UPDATE refold.positions SET next_offset = 10 WHERE grp = 'models' AND part = 0")
    assert db.execute("SELECT records_behind, seconds_behind FROM refold.freshness").fetchall() == [(0, 0.0)]


@pytest.mark.parametrize("right", ["SELECT ON refold.freshness", "SELECT (code) ON refold.outcomes"])
def test_a_role_of_readers_that_comes_later_gets_its_rights_at_the_next_start(db: Database, right: str) -> None:
    db.execute(f"REVOKE {right} FROM refold_analyst".encode())
    bootstrap(db)
    assert as_analyst(db, "SELECT count(*) FROM refold.freshness") == [(0,)]
    assert as_analyst(db, "SELECT count(code) FROM refold.outcomes") == [(0,)]
