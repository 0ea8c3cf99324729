"""Tests that settings from outside do not reach our connections, and that a permanent refusal is told at once."""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager

import psycopg
import pytest
from psycopg import sql

from refold.api.http.wire.database import Database as ApiDatabase
from refold.api.http.wire.lookups import Lookups
from refold.streams import refusals
from refold.streams.errors import DatabaseRefused, DatabaseUnavailable
from refold.streams.postgres.connection import answering, connect, connect_async, connect_patiently
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.postgres.session import WORKER
from refold.streams.refusals import is_away
from tests.conftest import database_named

HOSTILE = {
    "statement_timeout": "'1ms'",
    "lock_timeout": "'1ms'",
    "idle_in_transaction_session_timeout": "'1ms'",
    "idle_session_timeout": "'50ms'",
    "transaction_timeout": "'50ms'",
    "default_transaction_isolation": "'serializable'",
    "default_transaction_read_only": "'on'",
    "search_path": "'nowhere'",
    "standard_conforming_strings": "'off'",
    "bytea_output": "'escape'",
    "intervalstyle": "'sql_standard'",
    "extra_float_digits": "-15",
    "datestyle": "'German'",
    "timezone": "'America/New_York'",
    "client_encoding": "'LATIN1'",
    "synchronous_commit": "'off'",
    "array_nulls": "'off'",
}
ENVIRONMENT = {
    "PGTZ": "America/New_York",
    "PGDATESTYLE": "SQL,DMY",
    "PGCLIENTENCODING": "LATIN1",
    "PGOPTIONS": "-c statement_timeout=1 -c timezone=Asia/Tokyo",
}
RELIED_ON = (
    "SELECT pg_sleep(0.1)::text || E'\\\\a' || 'é', '2026-01-31 12:00+00'::timestamptz, '\\xff00'::bytea, '1 day 02:00'::interval::text,"
    " 0.1::float8 + 0.2::float8, ARRAY[1, NULL]::text, '{NULL}'::text[], date '2026-01-31', current_setting('TimeZone')"
)


@pytest.fixture
def hostile(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database whose settings, and an environment whose variables, are all against us."""
    name = database.rpartition("/")[2]
    with psycopg.connect(database, autocommit=True) as admin:
        for setting, value in HOSTILE.items():
            admin.execute(f'ALTER DATABASE "{name}" SET {setting} = {value}'.encode())
    for variable, value in ENVIRONMENT.items():
        monkeypatch.setenv(variable, value)
    return database


def _is_right(row: tuple[object, ...]) -> None:
    text, at, raw, interval, number, array, nulls, day, zone = row
    assert text == "\\aé"
    assert str(at) == "2026-01-31 12:00:00+00:00"
    assert raw == b"\xff\x00"
    assert interval == "1 day 02:00:00"
    assert number == 0.30000000000000004
    assert (array, nulls) == ("{1,NULL}", [None])
    assert (str(day), zone) == ("2026-01-31", "UTC")


def test_a_workers_connection_says_all_that_it_relies_on(hostile: str) -> None:
    with connect(hostile, application_name="test") as db:
        with db.transaction():
            row = db.execute(RELIED_ON).fetchone()
            assert db.execute("SHOW transaction_isolation").fetchone() == ("read committed",)
            db.execute("CREATE TEMP TABLE written AS SELECT 1")
        assert row is not None
        _is_right(row)
        assert db.execute("SHOW synchronous_commit").fetchone() == ("on",)


def test_the_apis_connections_say_it_too(hostile: str) -> None:
    async def ask() -> None:
        api, lookups = ApiDatabase(hostile), Lookups(hostile)
        await api.open()
        try:
            _is_right((await api.fetch(RELIED_ON))[0])
            _is_right((await lookups.fetch(RELIED_ON))[0])
            assert await api.fetch("SHOW transaction_read_only") == [("on",)]
        finally:
            await lookups.close()
            await api.close()

    asyncio.run(ask())


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_every_text_is_refused(database: str, encoding: str) -> None:
    with (
        _made(database, f"ENCODING '{encoding}' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0") as url,
        _refused(f"has the encoding {encoding}"),
    ):
        connect_patiently(url, application_name="test")


def _refused(said: str) -> AbstractContextManager[object]:
    return pytest.raises(DatabaseRefused, match=said)


class _made:  # noqa: N801 - a context manager
    def __init__(self, admin_url: str, how: str) -> None:
        self._admin, self._how, self._name = admin_url, how, f"t_{uuid.uuid4().hex}"

    def __enter__(self) -> str:
        with psycopg.connect(self._admin, autocommit=True) as admin:
            admin.execute(f'CREATE DATABASE "{self._name}" {self._how}'.encode())
        return database_named(self._admin, self._name)

    def __exit__(self, *_: object) -> None:
        with psycopg.connect(self._admin, autocommit=True) as admin:
            admin.execute(f'DROP DATABASE "{self._name}" WITH (FORCE)'.encode())


@pytest.fixture
def role(database: str) -> Iterator[tuple[str, str]]:
    """A role that may log in and nothing else, and the URL with which it does."""
    name, name_and_host = f"r_{uuid.uuid4().hex}", database.rpartition("@")[2]
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'right'").format(sql.Identifier(name)))
        yield name, f"postgresql://{name}:right@{name_and_host}"
        admin.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def test_what_never_passes_is_no_server_that_is_away(database: str, role: tuple[str, str]) -> None:
    name, url = role
    refused = {
        url.replace("right", "wrong"): "password authentication failed",
        database_named(url, "absent"): 'database "absent" does not exist',
        url.replace(f"{name}:right@", f"{name}@"): "no password supplied",
    }
    for wrong, said in refused.items():
        with pytest.raises(DatabaseRefused, match=said):
            connect_patiently(wrong, application_name="test")
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(name)))
    with pytest.raises(DatabaseRefused, match="not permitted to log in"):
        connect_patiently(url, application_name="test")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PGSSLMODE", "require", "server does not support SSL, but SSL was required"),
        ("PGSSLMODE", "bogus", 'invalid sslmode value: "bogus"'),
        ("PGSERVICE", "nowhere", 'definition of service "nowhere" not found'),
        ("PGCHANNELBINDING", "require", "channel binding required"),
        ("PGREQUIREAUTH", "md5", "authentication method requirement"),
        ("PGGSSENCMODE", "require", "GSSAPI"),
        ("PGSSLCERTMODE", "require", "certificate"),
        ("PGTARGETSESSIONATTRS", "nonsense", "invalid target_session_attrs value"),
    ],
)
def test_what_the_environment_demands_of_a_server_is_no_server_that_is_away(
    role: tuple[str, str], monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(DatabaseRefused, match=said) as refused:
        connect_patiently(role[1], application_name="test")
    assert "PGSSLMODE" in refused.value.remedy


@pytest.mark.parametrize(
    ("variable", "value"), [("PGTARGETSESSIONATTRS", "standby"), ("PGHOSTADDR", "127.0.0.9"), ("PGHOST", "elsewhere")]
)
def test_a_server_of_another_kind_or_place_may_come_yet(
    role: tuple[str, str], monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    url = role[1].replace("@127.0.0.1", "@nowhere.invalid") if variable == "PGHOST" else role[1]
    with pytest.raises(psycopg.OperationalError):
        connect(url, application_name="test")


def test_a_role_that_was_let_in_once_waits_while_its_database_is_restored(
    role: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = database_named(role[1], "absent")
    monkeypatch.setattr(refusals, "ADMISSION", refusals.Admission(waits=True))
    with pytest.raises(DatabaseRefused):
        connect(absent, application_name="test")
    connect(role[1], application_name="test").close()
    with pytest.raises(
        psycopg.OperationalError, match=r'refuses the connection now: .*database "absent" does not exist'
    ) as problem:
        connect(absent, application_name="test")
    assert refusals.is_away(problem.value)


def test_a_refusal_is_told_in_an_event_loop_too(role: tuple[str, str]) -> None:
    with pytest.raises(DatabaseRefused, match="does not exist"):
        asyncio.run(connect_async(database_named(role[1], "absent"), "test", WORKER))


def test_a_server_that_has_too_many_clients_is_waited_for(database: str, role: tuple[str, str]) -> None:
    name, url = role
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER ROLE {} CONNECTION LIMIT 1").format(sql.Identifier(name)))
    with connect(url, application_name="test"):
        with pytest.raises(psycopg.OperationalError):
            connect(url, application_name="test")
        with pytest.raises(DatabaseUnavailable):
            connect_patiently(url, application_name="test", seconds=0)


def test_a_role_without_create_works_where_all_is_there(database: str, role: tuple[str, str]) -> None:
    name, url = role
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(sql.SQL("GRANT USAGE ON SCHEMA refold TO {}").format(sql.Identifier(name)))
    with connect(url, application_name="test") as db:
        bootstrap(db)
        with pytest.raises(DatabaseRefused, match="permission denied"), answering():
            db.execute("SELECT FROM refold.positions")


def test_a_role_without_create_is_refused_in_one_sentence_where_something_is_missing(
    database: str, role: tuple[str, str]
) -> None:
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("DROP TABLE refold.voids")
    with connect(role[1], application_name="test") as db, _refused(r"there is no refold\.voids yet"):
        bootstrap(db)
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("DROP SCHEMA refold CASCADE")
    with connect(role[1], application_name="test") as db, _refused("permission denied for database"):
        bootstrap(db)


@pytest.mark.parametrize(
    ("state", "passes"),
    [
        ("08006", True), ("40001", True), ("40P01", True), ("53100", True), ("53200", True), ("53300", True), ("55P03", True),
        ("57014", True), ("57P01", True), ("57P03", True), ("25P03", True), ("25P04", True), ("58030", True),
        ("54000", False), ("54001", False), ("55000", False), ("22003", False), ("22021", False), ("23505", False),
        ("28P01", False), ("3D000", False), ("42501", False), ("42P01", False), ("XX000", False),
    ],
)  # fmt: skip
def test_each_state_of_an_error_passes_or_does_not(state: str, passes: bool) -> None:
    assert is_away(psycopg.errors.lookup(state)("told")) is passes
