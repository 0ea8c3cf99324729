"""Waiting for outcomes: one query serves all waiters, a lost notice costs 250 ms, nothing leaks."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest

from refold.api.errors import TooManyWaiting
from refold.api.http.commands import outcomes
from refold.api.http.commands.outcomes import Outcomes
from refold.api.http.wire.database import Row
from refold.api.http.wire.notices import Notices
from refold.streams.errors import DatabaseUnavailable


class Unhurried(Notices):
    """It wakes nobody without a notice."""

    async def beyond(self, count: int, group: str, seconds: float = 60.0) -> int:
        return await super().beyond(count, group, seconds)


async def everyone_has_gone_as_far_as_they_can() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


class Table:
    """Rows by key, and the keys of each query."""

    def __init__(self) -> None:
        self.rows: dict[bytes, Row] = {}
        self.asked: list[list[bytes]] = []
        self.away = 0

    def decide(self, key: bytes) -> None:
        self.rows[key] = (key, "retail.basket", "b", UUID(int=1), b"h", None, None, 0, 1, 0, 5)

    async def fetch(self, _: object, parameters: Sequence[object]) -> list[Row]:
        if self.away:
            self.away -= 1
            raise DatabaseUnavailable("away")
        (keys,) = parameters
        assert isinstance(keys, list)
        self.asked.append(keys)
        return [self.rows[key] for key in keys if key in self.rows]


async def waited(found: Outcomes, keys: list[bytes], seconds: float) -> int:
    async def one(key: bytes) -> bool:
        with found.expected(key) as future:
            await asyncio.wait({future}, timeout=seconds)
            return future.done()

    return sum(await asyncio.gather(*(one(key) for key in keys)))


def test_all_waiters_are_answered_by_one_query_for_each_commit() -> None:
    async def main() -> None:
        table, notices = Table(), Unhurried("")
        found = Outcomes(table.fetch, notices)
        await found.open()
        keys = [bytes([n]) for n in range(50)]
        waiting = asyncio.create_task(waited(found, keys * 2, 60))
        await everyone_has_gone_as_far_as_they_can()
        assert found.waiters() == 100
        for key in keys:
            table.decide(key)
        notices.told("core/retail.basket.events/0:5")
        assert await waiting == 100
        assert [len(asked) for asked in table.asked] == [50]
        await found.close()

    asyncio.run(main())


def test_who_asks_while_a_query_is_under_way_is_answered_by_the_next() -> None:
    async def main() -> None:
        table = Table()
        table.decide(b"a")
        gate, fetch = asyncio.Event(), table.fetch

        async def slow(statement: object, parameters: Sequence[object]) -> list[Row]:
            rows = await fetch(statement, parameters)
            await gate.wait()
            return rows

        found = Outcomes(slow, Notices(""))
        first = [asyncio.create_task(found.find(key)) for key in (b"a", b"b")]
        await everyone_has_gone_as_far_as_they_can()
        table.decide(b"b")
        later = [asyncio.create_task(found.find(key)) for key in (b"a", b"b", b"b", b"c")]
        gone = asyncio.create_task(found.find(b"a"))
        await everyone_has_gone_as_far_as_they_can()
        gone.cancel()
        gate.set()
        assert [(await task) is not None for task in first] == [True, False]
        assert [(await task) is not None for task in later] == [True, True, True, False]
        assert [sorted(asked) for asked in table.asked] == [[b"a", b"b"], [b"a", b"b", b"c"]]

    asyncio.run(main())


def test_all_who_asked_learn_that_the_table_is_away_and_the_next_asks_anew() -> None:
    async def main() -> None:
        table = Table()
        table.decide(b"a")
        table.away = 1
        found = Outcomes(table.fetch, Notices(""))
        answers = await asyncio.gather(found.find(b"a"), found.find(b"a"), return_exceptions=True)
        assert [type(answer) for answer in answers] == [DatabaseUnavailable, DatabaseUnavailable]
        assert await found.find(b"a")

    asyncio.run(main())


def test_a_lost_notice_costs_no_more_than_a_poll() -> None:
    async def main() -> None:
        table = Table()
        found = Outcomes(table.fetch, Notices(""))
        await found.open()
        table.decide(b"k")
        assert await waited(found, [b"k"], 60) == 1
        await found.close()

    asyncio.run(main())


def test_who_gives_up_leaves_nothing_behind() -> None:
    async def main() -> None:
        found = Outcomes(Table().fetch, Notices(""))
        await found.open()
        assert await waited(found, [b"k", b"k", b"l"], 0.05) == 0
        assert not found._waiting
        await found.close()

    asyncio.run(main())


def test_postgres_away_and_back_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "RETRY_S", 0.05)

    async def main() -> None:
        table = Table()
        table.away = 3
        found = Outcomes(table.fetch, Notices(""))
        await found.open()
        table.decide(b"k")
        assert await waited(found, [b"k"], 60) == 1
        await found.close()

    asyncio.run(main())


def test_the_number_of_waiters_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "MAX_WAITERS", 1)

    async def main() -> None:
        found = Outcomes(Table().fetch, Notices(""))
        with found.expected(b"k"), pytest.raises(TooManyWaiting), found.expected(b"l"):
            pass

    asyncio.run(main())


def test_a_reader_waits_for_its_own_positions_not_for_every_commit() -> None:
    async def main() -> None:
        notices = Notices("")
        waiting = asyncio.create_task(notices.reach("models", {("t", 0): 5, ("t", 1): 2}, 60))
        for payload in ["models/t/0:5", "models/t/1:1", "core/t/1:9", "models/u/1:9"]:
            notices.told(payload)
            await asyncio.sleep(0.01)
            assert not waiting.done(), payload
        notices.told("models/t/1:2")
        await asyncio.wait_for(waiting, 60)

    asyncio.run(main())
