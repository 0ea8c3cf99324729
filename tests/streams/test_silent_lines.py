"""Tests a connection to Postgres that swallows everything: its reader gives it up, and goes on over a new one.

No reset comes, and all packets are acknowledged, so TCP notices nothing: a pooler hangs, or a proxy lost its other
side.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest
from psycopg import conninfo

from refold.api.http.wire import database as pages
from refold.api.http.wire import lookups
from refold.api.http.wire.database import Database
from refold.api.http.wire.lookups import Lookups
from refold.streams.errors import DatabaseUnavailable
from refold.streams.postgres import connection as postgres
from refold.streams.postgres import notices, silence
from refold.streams.postgres.connection import connect
from refold.streams.postgres.notices import GAP, listen
from refold.streams.postgres.pipelined import Pipelined
from refold.streams.postgres.session import LIFETIME_S
from tests.e2e.proxy import Proxy

BOUND_S = 60.0


@pytest.fixture
def line(database: str) -> Iterator[Proxy]:
    with Proxy(int(str(conninfo.conninfo_to_dict(database)["port"]))) as proxy:
        yield proxy


@pytest.fixture
def url(database: str, line: Proxy) -> str:
    port = conninfo.conninfo_to_dict(database)["port"]
    return database.replace(f":{port}/", f":{line.port}/")


@contextmanager
def little_patience() -> Iterator[None]:
    """For lines that are open already: a busy machine may take longer to open one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "ANSWER_S", 0.5)
        patch.setattr(lookups, "_ANSWER_S", 0.5)
        patch.setattr(silence, "SILENT_S", 0.5)
        yield


def test_pages_of_rows_and_lookups_fail_once_and_go_on_over_new_lines(url: str, line: Proxy) -> None:
    async def asked() -> None:
        database, keys = Database(url, 4), Lookups(url)
        await database.open()
        try:
            for fetch in (database.fetch, keys.fetch):
                assert await fetch("SELECT 1") == [(1,)]
            await asyncio.to_thread(line.strand)
            with little_patience():
                for fetch in (database.fetch, keys.fetch):
                    with pytest.raises(DatabaseUnavailable):
                        await fetch("SELECT 1")
            for fetch in (database.fetch, keys.fetch):
                assert [await fetch("SELECT 1") for _ in range(8)] == [[(1,)]] * 8, "no other of the old lines is used"
        finally:
            await keys.close()
            await database.close()

    asyncio.run(asked())


def test_a_listener_leaves_the_line_and_hears_again(
    url: str, database: str, line: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "BEAT_S", 1.5)
    heard: list[str] = []

    async def until(holds: Callable[[], bool]) -> None:
        end = time.monotonic() + BOUND_S
        while not holds():
            assert time.monotonic() < end, heard
            await asyncio.sleep(0.05)

    async def listening() -> None:
        task = asyncio.create_task(listen(url, ["core"], heard.append, "test"))
        await until(lambda: heard == [GAP])
        await asyncio.sleep(3.2)
        assert heard == [GAP], "a line that is well is kept"
        await asyncio.to_thread(line.strand)
        await until(lambda: heard == [GAP, GAP])
        with psycopg.connect(database, autocommit=True) as db:
            db.execute("SELECT pg_notify('refold_core', 'core/t/0:7')")
        await until(lambda: heard == [GAP, GAP, "core/t/0:7"])
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(listening())


def test_lines_that_are_old_are_left_for_new_ones(url: str) -> None:
    """Where a name leads to another server now, as after a failover, the old one may go on to answer."""

    async def asked() -> None:
        keys = Lookups(url)
        ((first,),) = await keys.fetch("SELECT pg_backend_pid()")
        assert await keys.fetch("SELECT pg_backend_pid()") == [(first,)]
        assert keys._wire is not None
        keys._wire._old_at -= LIFETIME_S + lookups._ANSWER_S
        assert await keys.fetch("SELECT pg_backend_pid()") != [(first,)]
        await keys.close()
        pool = Database(url)._pool
        assert pool.max_lifetime == LIFETIME_S

    asyncio.run(asked())


def by_psycopg(db: postgres.Database) -> None:
    db.execute("UPDATE held SET n = n + 1")


def by_pipeline(db: postgres.Database) -> None:
    pipelined = Pipelined(db)
    with pipelined.transaction():
        pipelined.execute("UPDATE held SET n = n + 1").fetchall()


def by_copy(db: postgres.Database) -> None:
    with db.transaction(), db.cursor() as cursor, cursor.copy("COPY held (n) FROM STDIN") as rows:
        rows.write_row([1])


@pytest.mark.parametrize("write", [by_psycopg, by_pipeline, by_copy])
@pytest.mark.parametrize("fault", [Proxy.strand, Proxy.swallow])
def test_a_worker_leaves_a_line_that_swallows_its_statement_or_the_answer(
    url: str,
    line: Proxy,
    fault: Callable[[Proxy], None],
    write: Callable[[postgres.Database], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It hangs in no state; the old session is ended with the locks that it holds, so the next transaction does not wait for them."""
    monkeypatch.setattr(silence, "_LAST_LOOK_MS", 100)
    db = connect(url, application_name="test")
    db.execute("CREATE TABLE held (n int)")
    db.execute("INSERT INTO held VALUES (1)")
    db.execute("BEGIN")
    db.execute("SELECT FROM held FOR UPDATE")
    fault(line)
    with little_patience(), pytest.raises(psycopg.OperationalError, match=r"no answer"):
        write(db)
    assert db.closed
    with connect(url, application_name="test") as again:
        again.execute("SET lock_timeout = '60s'")
        again.execute("UPDATE held SET n = 5")
        assert again.execute("SELECT n FROM held").fetchall()[0] == (5,)


def test_a_statement_that_runs_is_waited_for_however_long(url: str) -> None:
    """It may run, wait for a lock, or send nothing for long; a connection in a transaction is no exception."""
    slow = "SELECT pg_sleep(2.5)::text || 'done'"
    with connect(url, application_name="test") as db, little_patience():
        assert db.execute(slow).fetchone() == ("done",)
        pipelined = Pipelined(db)
        with pipelined.transaction():
            assert pipelined.execute(slow).fetchone() == ("done",)


def test_a_server_that_cannot_be_asked_is_waited_for(url: str, line: Proxy) -> None:
    """Its answer may still come: here all lines are dead for a while, and then go on where they stood."""
    with connect(url, application_name="test") as db, little_patience():
        line.hold()
        healing = threading.Timer(3.0, line.heal)
        healing.start()
        assert db.execute("SELECT 1").fetchone() == (1,)
        healing.join()
