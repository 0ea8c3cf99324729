"""A watch whose sources fail: servers that are away end no stream, a fault of ours is told, what cannot be read is a reset."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from refold.api.http.changes import watch
from refold.api.http.changes.cohorts import Start
from refold.api.http.changes.key_reader import KeysUnknown
from refold.api.http.changes.selection import select
from refold.api.http.changes.subscriber import Subscriber
from refold.api.http.changes.watch import Watch, Watched
from refold.api.http.reads.language.query_string import read_query
from refold.projections.tables.serving import ServedModel
from refold.schemas.errors import RefoldError
from refold.streams.errors import DatabaseUnavailable, LogCorrupt

PLACE = ("retail.basket.events", 0)


class Sources:
    """A database in which the model moves by one record a look, and a log of which each step may fail."""

    def __init__(self, faults: list[Exception | None]) -> None:
        self.faults, self.at, self.looks_since = faults, 0, 0

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Any]:
        yield self.fetch

    async def fetch(self, statement: Any, _: Any) -> list[tuple[Any, ...]]:
        text = statement if isinstance(statement, str) else statement.as_string()
        if "refold.builds" not in text:
            return []
        self.at += 1
        self.looks_since = 0 if self.faults else self.looks_since + 1
        return [(1, "f", "1.0", None, f'[["{PLACE[0]}", 0, {self.at}]]', "[]", 0, None)]

    def read(self, start: Any, end: Any, limits: Any) -> Any:
        del start, limits
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        return {place: [] for place in end}

    def close(self) -> None: ...

    async def moved(self, commits: int) -> int:
        await asyncio.sleep(0)
        return commits + 1

    def watched(self, model: ServedModel) -> Watched:
        return Watched(model, "f", "", self.snapshot, lambda: self, self.moved, lambda _: None)  # type: ignore[arg-type, return-value]  # a reader of its own


def told(model: ServedModel, monkeypatch: pytest.MonkeyPatch, *faults: Exception | None) -> tuple[str, Subscriber]:
    """All that one subscriber is sent while the log fails so; the last fault is waited for."""
    monkeypatch.setattr(watch, "COALESCE_S", 0.0)
    monkeypatch.setattr(watch, "_AGAIN_S", 0.0)
    sources = Sources(list(faults))

    async def main() -> tuple[str, Subscriber]:
        one, running = Subscriber(model.name), Watch(sources.watched(model))
        running.add(one, select(model, read_query(b"")), Start())
        task = asyncio.create_task(running.run())
        async with asyncio.timeout(60):
            while sources.faults or (sources.looks_since < 3 and one.ended is None):  # noqa: ASYNC110 - a thread empties it
                await asyncio.sleep(0)
        one.end("done", "")
        sent = b"".join([piece async for piece in one.pieces()]).decode()
        await task
        return sent, one

    return asyncio.run(main())


@pytest.mark.parametrize("fault", [DatabaseUnavailable("away"), RefoldError("wait")])
def test_a_server_that_is_away_ends_no_stream(
    fault: Exception, model: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, one = told(model, monkeypatch, None, fault, fault, None)
    assert (one.ended, sent.count("event: reset"), sent.count("event: position")) == ("done", 0, 1)


@pytest.mark.parametrize(
    ("fault", "reason"), [(LogCorrupt("bits"), "log-corrupt"), (KeysUnknown("newer"), "event-unreadable")]
)
def test_what_cannot_be_read_is_a_reset_and_the_stream_goes_on(
    fault: Exception, reason: str, model: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, one = told(model, monkeypatch, None, fault, None)
    assert one.ended == "done"
    assert sent.count(f'data: {{"reason":"{reason}","rows":"read"}}') == 1


@pytest.mark.parametrize("fault", [psycopg.errors.InsufficientPrivilege("no"), ValueError("a defect")])
def test_a_fault_of_ours_is_told_never_silence(
    fault: Exception, model: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, one = told(model, monkeypatch, fault)
    assert one.ended == "internal-error"
    assert '"code":"internal-error"' in sent
