"""Tests listening: every wanted notice arrives, possibly missed ones are told, and a lost connection comes back."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from refold.streams.postgres.connection import connect, notify
from refold.streams.postgres.notices import GAP, listen

pytestmark = pytest.mark.servers
PLACE = ("t", 1)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for is another process's doing
            await asyncio.sleep(0.01)


async def listening(database: str, groups: list[str], then: Callable[[list[str]], Awaitable[None]]) -> None:
    """Run `then` on what is heard while it is heard."""
    heard: list[str] = []
    task = asyncio.create_task(listen(database, groups, heard.append, "test"))
    try:
        await until(lambda: heard == [GAP])
        await then(heard)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_notices_of_the_groups_asked_for_in_order(database: str) -> None:
    async def then(heard: list[str]) -> None:
        with connect(database, application_name="test") as db:
            for offset in range(3):
                notify(db, "core", {PLACE: offset})
            notify(db, "reactors", {PLACE: 7})
            notify(db, "models", {PLACE: 9})
        await until(lambda: len(heard) == 5)
        assert heard == [GAP, "core/t/1:0", "core/t/1:1", "core/t/1:2", "models/t/1:9"]

    asyncio.run(listening(database, ["core", "models"], then))


def test_a_notice_behind_the_answer_of_a_check_is_told_at_once(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checks: list[float] = []

    async def check(*_: object, timeout: float) -> None:  # noqa: ASYNC109 - stands in for asyncio.wait
        checks.append(timeout)
        await asyncio.sleep(0.1 if len(checks) < 4 else 3600)

    async def then(heard: list[str]) -> None:
        await until(lambda: len(checks) == 4)
        with connect(database, application_name="test") as db:
            notify(db, "core", {PLACE: 1})
        await until(lambda: heard == [GAP, "core/t/1:1"])

    monkeypatch.setattr(asyncio, "wait", check)
    asyncio.run(listening(database, ["core"], then))


def test_after_a_lost_connection_it_says_that_some_may_be_missed_and_goes_on(database: str) -> None:
    async def then(heard: list[str]) -> None:
        with connect(database, application_name="other") as db:
            db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'refold-test-listen'"
            )
            await until(lambda: heard == [GAP, GAP])
            notify(db, "core", {PLACE: 4})
        await until(lambda: heard[2:] == ["core/t/1:4"])

    asyncio.run(listening(database, ["core"], then))
