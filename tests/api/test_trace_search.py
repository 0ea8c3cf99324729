"""The search for an id in the log: from its end backwards, block by block, and where it stopped it goes on."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from refold.api.tracing import finding
from refold.api.tracing.finding import FoundCommand, LogSearch
from refold.retail.schemas.basket import BASKET, BasketOpened
from refold.schemas.codec import Codec
from refold.schemas.meta import Meta
from refold.streams.chunk import Chunk, Place
from refold.streams.domain import Domains, load_domains

PLACE = ("retail.basket.events", 0)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def log_of(domains: Domains) -> Chunk:
    """Ten events: number 1 is of the correlation, 8 is its answer by a reactor, 5 only holds the same text."""
    codec, values = Codec(domains.catalog), []
    for number in range(10):
        meta = Meta(
            writer=UUID(int=1), command_id=UUID(int=100 + number), body_hash=bytes(16), event_id=UUID(int=number),
            category=BASKET.name, stream="till 3" if number == 5 else f"b{number}", version=1, base_version=0, seq=number,
            index=0, count=1, command_offset=number, occurred_at=NOW, recorded_at=NOW,
            actor="reactor:points/x" if number == 8 else None, correlation_id="till 3" if number in (1, 8) else None,
        )  # fmt: skip
        values.append(codec.event(meta, BasketOpened(store_id=1)))
    return Chunk(*PLACE, 0, values)


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> LogSearch:
    domains = load_domains(["retail"])
    log = log_of(domains)

    class Reader:
        def __init__(self, _: str, positions: Mapping[Place, int], **_records: int) -> None:
            self.next = dict(positions)

        def poll(self, _: float) -> list[Chunk]:
            chunk = log.since(self.next[PLACE]).first(2, 1 << 30)
            self.next[PLACE] = chunk.end
            return [chunk]

        def close(self) -> None:
            pass

    monkeypatch.setattr(finding, "LogReader", Reader)
    monkeypatch.setattr(finding, "BLOCK", 3)
    monkeypatch.setattr(finding, "core_positions", lambda _: {PLACE: 10})
    return LogSearch("", "", domains)


def numbers(found: list[FoundCommand]) -> list[int]:
    return [one.command_id.int - 100 for one in found]


def test_a_correlation_is_searched_to_the_beginning(search: LogSearch) -> None:
    db: Any = None
    found, left = search.named(db, "till 3", None, None)
    assert (numbers(found), left) == ([8, 1], {})
    assert [one.is_answer for one in found] == [True, False]


def test_a_search_that_stops_goes_on_before_the_place_where_it_stopped(search: LogSearch) -> None:
    db: Any = None
    found, ends = list[int](), None
    seen = []
    for _ in range(4):
        more, ends = search.named(db, "till 3", ends, 0.0)
        found += numbers(more)
        seen.append(dict(ends))
        if not ends:
            break
    assert (found, seen) == ([8, 1], [{PLACE: 7}, {PLACE: 4}, {PLACE: 1}, {}])


def test_a_command_id_is_found_in_the_log_where_no_outcome_was_found_in_time(search: LogSearch) -> None:
    db: Any = None
    found, _ = search.named(db, str(UUID(int=103)), None, None)
    assert (numbers(found), [one.is_asked for one in found]) == ([3], [True])
