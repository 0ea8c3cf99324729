"""Tests statements that go to Postgres together: their order, their answers, and the state after a failure."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import psycopg
import pytest

from refold.streams.postgres.connection import Database, connect
from refold.streams.postgres.pipelined import Pipelined

pytestmark = pytest.mark.servers
_COUNT = "SELECT count(*)::int, coalesce(sum(n), 0)::int FROM t"


@pytest.fixture
def db(database: str) -> Iterator[Database]:
    with connect(database, application_name="test") as db:
        db.execute("CREATE TABLE t (n int CHECK (n < 100), at timestamptz DEFAULT now())")
        yield db


def numbers(db: Database) -> tuple[int, int]:
    """How many rows there are, and their sum."""
    row = db.execute(_COUNT).fetchone()
    assert row is not None
    return row[0], row[1]


def test_values_of_every_kind_come_back_as_they_went(db: Database) -> None:
    """Parameters as texts that the statement gives a type; results by psycopg's adapters."""
    at, uuid = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC), UUID(int=7)
    values = ('a "quoted" \\ 100% text', 2**40, b"\0\xff", at, uuid, None, True, ["x", 'y"\\', None], [1, None])
    casts = "%s::text, %s::bigint, %s::bytea, %s::timestamptz, %s::uuid, %s::text, %s::bool, %s::text[], %s::int[]"
    asked = Pipelined(db).execute(f"SELECT {casts}, 1.50::numeric", values)
    assert asked.fetchone() == (*values, Decimal("1.50"))


def test_statements_go_in_order_and_together(db: Database) -> None:
    """Nothing is sent before an answer is asked for; then all, and each statement sees those before it."""
    pipelined = Pipelined(db)
    for n in range(3):
        pipelined.execute("INSERT INTO t (n) VALUES (%s)", (n,))
    assert numbers(db) == (0, 0)
    counted, doubled = pipelined.execute(_COUNT), pipelined.execute("UPDATE t SET n = 2 * n RETURNING n")
    assert counted.fetchall() == [(3, 3)]
    assert sorted(doubled.fetchall()) == [(0,), (2,), (4,)]
    assert numbers(db) == (3, 6)


def test_a_transaction_is_all_or_nothing(db: Database) -> None:
    """It commits at the end of its block, and an exception in the block takes back what was sent."""
    pipelined = Pipelined(db)
    with pipelined.transaction():
        pipelined.execute("INSERT INTO t (n) VALUES (1)")
    assert numbers(db) == (1, 1)

    def interrupted() -> None:
        with pipelined.transaction():
            pipelined.execute("INSERT INTO t (n) VALUES (2)")
            assert pipelined.execute(_COUNT).fetchone() == (2, 3)
            pipelined.execute("INSERT INTO t (n) VALUES (3)")
            raise LookupError

    with pytest.raises(LookupError):
        interrupted()
    assert numbers(db) == (1, 1)
    assert pipelined.execute(_COUNT).fetchone() == (1, 1)


@pytest.mark.parametrize(
    "bad", ["INSERT INTO t (n) VALUES (100)", "SELECT nonsense", "SELECT n FROM t WHERE n = 'x'::int"]
)
def test_behind_a_statement_that_fails_nothing_takes_effect(db: Database, bad: str) -> None:
    """Refused when prepared or when run; the connection goes on, and so do statements that were new beside the bad one."""
    pipelined = Pipelined(db)

    def failing() -> None:
        with pipelined.transaction():
            pipelined.execute("INSERT INTO t (n) VALUES (%s)", (1,))
            pipelined.execute(bad)
            pipelined.execute("INSERT INTO t (n, at) VALUES (%s, %s)", (2, datetime.now(UTC)))

    for _ in range(2):
        with pytest.raises(psycopg.Error) as caught:
            failing()
        assert not isinstance(caught.value, psycopg.errors.InFailedSqlTransaction)
        assert numbers(db) == (0, 0)
    with pipelined.transaction():
        pipelined.execute("INSERT INTO t (n, at) VALUES (%s, %s)", (2, datetime.now(UTC)))
        pipelined.execute("INSERT INTO t (n) VALUES (%s)", (1,))
    assert numbers(db) == (2, 3)


def test_an_answer_of_a_failed_transaction_says_so(db: Database) -> None:
    """What stood behind the failure has no rows, rather than none."""
    pipelined = Pipelined(db)
    failed, behind = pipelined.execute("SELECT 1 / 0"), pipelined.execute("SELECT 1")
    with pytest.raises(psycopg.errors.DivisionByZero):
        failed.fetchall()
    with pytest.raises(AssertionError):
        behind.fetchall()


def test_much_goes_both_ways_at_once(db: Database) -> None:
    """Tens of megabytes to send while tens wait to be read: neither side waits for the other for ever."""
    pipelined, text = Pipelined(db), "x" * 4_000_000
    asked = [pipelined.execute("SELECT %s::text", (text,)) for _ in range(8)]
    assert all(answer.fetchone() == (text,) for answer in asked)


def test_a_lost_connection_is_an_operational_error(db: Database, database: str) -> None:
    """As psycopg's: whoever drives a fold connects anew."""
    pipelined = Pipelined(db)

    def ended() -> None:
        with pipelined.transaction(), connect(database, application_name="test") as other:
            pipelined.execute("INSERT INTO t (n) VALUES (1)")
            pipelined.flush()
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (db.info.backend_pid,))
            pipelined.execute("INSERT INTO t (n) VALUES (2)")

    for _ in range(2):
        with pytest.raises(psycopg.OperationalError):
            ended()
    with connect(database, application_name="test") as other:
        assert numbers(other) == (0, 0)


def test_psycopg_goes_on_beside_it(db: Database) -> None:
    """A cold refold reads with psycopg in the midst of the fold's transaction."""
    pipelined = Pipelined(db)
    with pipelined.transaction():
        pipelined.execute("INSERT INTO t (n) VALUES (5)")
        pipelined.flush()
        assert numbers(db) == (1, 5)
        pipelined.execute("INSERT INTO t (n) VALUES (6)")
    assert numbers(db) == (2, 11)
