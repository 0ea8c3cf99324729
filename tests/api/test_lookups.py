"""Look-ups share one connection: many at once, each with its own answer or error, also when the connection is lost."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from refold.api.errors import TooManyWaiting
from refold.api.http.wire import lookups
from refold.api.http.wire.lookups import Lookups
from refold.api.unavailable import NotPrepared, QueryTimeout
from refold.streams.errors import DatabaseUnavailable
from refold.streams.postgres.connection import connect

pytestmark = pytest.mark.servers
ECHO = "SELECT %s::int"


def run(database: str, main: Callable[[Lookups], Coroutine[Any, Any, None]]) -> None:
    async def opened() -> None:
        found = Lookups(database)
        await found.open()
        try:
            await main(found)
        finally:
            await found.close()

    asyncio.run(opened())


def ended(database: str) -> None:
    """End every connection of an API to the database, as a restart of Postgres does."""
    with connect(database, application_name="test") as db:
        db.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'refold-api'"
        )


def test_a_thousand_at_once_each_get_their_own_rows(database: str) -> None:
    async def main(found: Lookups) -> None:
        answers = await asyncio.gather(*(found.fetch(ECHO, (n,)) for n in range(1000)))
        assert answers == [[(n,)] for n in range(1000)]

    run(database, main)


def test_one_that_fails_is_nobody_elses_matter(database: str) -> None:
    """Errors of the statement and of its values; a table that comes later is found later."""

    async def main(found: Lookups) -> None:
        asked = [found.fetch(ECHO, (1,)), found.fetch("SELECT n FROM later"), found.fetch(ECHO, (2,))]
        first, absent, second = await asyncio.gather(*asked, return_exceptions=True)
        assert (first, second) == ([(1,)], [(2,)])
        assert isinstance(absent, NotPrepared)
        with connect(database, application_name="test") as db:
            db.execute("CREATE TABLE later AS SELECT 5 AS n")
        for _ in range(3):
            assert await found.fetch("SELECT n FROM later") == [(5,)]
        with connect(database, application_name="test") as db:
            db.execute("DROP TABLE later")
        with pytest.raises(NotPrepared):
            await found.fetch("SELECT n FROM later")

    run(database, main)


def test_who_gives_up_leaves_the_order_of_answers_as_it_was(database: str) -> None:
    async def main(found: Lookups) -> None:
        slow = asyncio.create_task(found.fetch("SELECT 0 FROM pg_sleep(%s)", (1,)))
        others = [asyncio.create_task(found.fetch(ECHO, (n,))) for n in range(10)]
        await asyncio.sleep(0.2)
        slow.cancel()
        assert await asyncio.gather(*others) == [[(n,)] for n in range(10)]

    run(database, main)


def test_after_a_lost_connection_it_is_asked_again_on_a_new_one(database: str) -> None:
    async def main(found: Lookups) -> None:
        assert await found.fetch(ECHO, (1,)) == [(1,)]
        await asyncio.to_thread(ended, database)
        assert await asyncio.gather(*(found.fetch(ECHO, (n,)) for n in range(5))) == [[(n,)] for n in range(5)]

    run(database, main)


def test_no_server_is_said_and_a_slow_statement_ends(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nowhere(found: Lookups) -> None:
        with pytest.raises(DatabaseUnavailable):
            await found.fetch(ECHO, (1,))

    async def slow(found: Lookups) -> None:
        with pytest.raises(QueryTimeout):
            await found.fetch("SELECT pg_sleep(30)")
        assert await found.fetch(ECHO, (1,)) == [(1,)]

    async def silent(found: Lookups) -> None:
        monkeypatch.setattr(lookups, "_ANSWER_S", 0.2)
        with pytest.raises(DatabaseUnavailable):
            await found.fetch("SELECT pg_sleep(3)")
        monkeypatch.setattr(lookups, "_ANSWER_S", 30)
        assert await found.fetch(ECHO, (1,)) == [(1,)]

    run("postgresql://u:p@127.0.0.1:9/d", nowhere)
    run(database, slow)
    run(database, silent)


def test_too_many_are_refused(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "MOST_ASKED", 3)

    async def main(found: Lookups) -> None:
        await found.fetch(ECHO, (0,))
        results = await asyncio.gather(*(found.fetch(ECHO, (n,)) for n in range(9)), return_exceptions=True)
        assert any(isinstance(result, TooManyWaiting) for result in results)
        assert [(0,)] in results

    run(database, main)
