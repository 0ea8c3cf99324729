"""Tests that a stream of 100,000 events costs only its new events; it counts reads, not seconds."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from litestar.testing import TestClient

from refold.api.http.resources import Resources
from refold.streams.decider import Decider
from refold.streams.handler.ports import Wanted
from refold.streams.handler.tables import PostgresTables
from refold.streams.log import history as histories
from refold.streams.log.history import History
from refold.streams.settings import Settings
from tests.streams.broker import DOMAINS, append, claimed, encoded, fold_all, prepare
from tests.streams.logs import claim, group, record
from tests.streams.test_core import OPENED, SCANNED

CATEGORY, STREAM = "retail.basket", "long"
GROUPS, EACH = 200, 500
QUEUED = 50_000
EVENTS = 1 + GROUPS * EACH


@pytest.fixture
def long_stream(settings: Settings) -> Settings:
    """One stream of many events among others, folded by the core; its stored state is of older code."""
    prepare(settings)
    records: list[Any] = [claimed(claim("A", 1)), encoded(record("A", 0, "c", STREAM, 0), OPENED)]
    seq = 1
    for number in range(GROUPS):
        command = f"c{number}"
        records += [encoded(m, SCANNED) for m in group("A", seq, command, STREAM, 1 + number * EACH, EACH)]
        records.append(encoded(record("A", seq + EACH, f"o{number}", f"other-{number}", 0), OPENED))
        seq += EACH + 1
    for at in range(0, len(records), QUEUED):
        append(settings, CATEGORY, 0, records[at : at + QUEUED])
    fold_all(settings)
    with psycopg.connect(settings.dsn()) as db:
        stored = db.execute("SELECT version FROM refold.streams WHERE stream = %s", (STREAM,)).fetchone()
        assert stored == (EVENTS,)
        db.execute("UPDATE refold.streams SET state_fingerprint = 'older' WHERE stream = %s", (STREAM,))
    return settings


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many records each read of the log asked for."""
    found: list[int] = []
    fetch = History._fetch

    def counted(self: History, topic: str, part: int, wanted: list[int], most_bytes: int | None) -> Any:
        found.append(len(wanted))
        return fetch(self, topic, part, wanted, most_bytes)

    monkeypatch.setattr(History, "_fetch", counted)
    return found


@pytest.fixture
def tables(long_stream: Settings) -> Iterator[PostgresTables]:
    history = History(long_stream.kafka_servers(), long_stream.topic_prefix, DOMAINS)
    found = PostgresTables(long_stream.dsn(), DOMAINS, history)
    yield found
    found.close()


def test_a_long_stream_is_folded_anew_once_and_then_only_what_is_new(
    tables: PostgresTables, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[int] = []
    fold = Decider.fold

    def counted(self: Any, events: tuple[Any, ...], state: Any = None) -> Any:
        pages.append(len(events))
        return fold(self, events, state)

    monkeypatch.setattr(Decider, "fold", counted)
    monkeypatch.setattr(histories, "PAGE_BYTES", 500_000)
    before = tables.refold(CATEGORY, STREAM, EVENTS - 5)
    assert (before.lines, sum(pages)) == (EVENTS - 6, EVENTS - 5)
    assert max(pages) < 6000, "never all of it in memory"
    assert len(reads) < 125, "a page is one or two reads"
    del reads[:], pages[:]
    assert tables.refold(CATEGORY, STREAM, EVENTS).lines == EVENTS - 1
    assert (reads, pages) == ([5], [5])
    assert tables.refold(CATEGORY, STREAM, EVENTS).lines == EVENTS - 1
    assert (len(reads), sum(pages)) == (1, 5), "a second command to it reads nothing"


def test_a_stream_whose_state_is_stored_is_never_read(tables: PostgresTables, reads: list[int]) -> None:
    (seen,) = tables.snapshots([Wanted(CATEGORY, 0, [], [STREAM, "other-0"])])
    decider = DOMAINS.deciders[CATEGORY]
    assert seen.streams["other-0"].fingerprint == decider.fingerprint
    assert decider.load(seen.streams["other-0"].state).store_id == 3
    assert reads == []


def test_pages_of_a_long_stream_are_bounded_by_number_and_by_bytes(
    long_stream: Settings, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with TestClient(Resources(long_stream, DOMAINS).application()) as api:
        page = api.get(f"/v1/streams/retail/basket/{STREAM}?after_version=99000&limit=1000").json()
        assert [event["version"] for event in page["events"]] == list(range(99_001, 100_001))
        assert len(reads) == 1
        monkeypatch.setattr(histories, "PAGE_BYTES", 20_000)
        page = api.get(f"/v1/streams/retail/basket/{STREAM}?after_version=99000&limit=1000").json()
        assert 0 < len(page["events"]) < 1000
        versions = []
        while page["next"]:
            versions += [event["version"] for event in page["events"]]
            page = api.get(page["next"]).json()
        versions += [event["version"] for event in page["events"]]
        assert versions == list(range(99_001, EVENTS + 1))
