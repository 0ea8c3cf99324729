"""Tests hole H3: a batch uses reads that are older than entries that the core has counted and the handler forgotten.

The guard refuses such reads. Without the guard the handler decides twice and on old states, as the reference shows; the
rules keep that out of the tables anyway, at the price of a claim.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from refold.streams.chunk import Place
from refold.streams.handler.appender import KafkaLog
from refold.streams.handler.holder import Holder, Mode
from refold.streams.handler.ports import HandlerTables, Snapshot, Wanted
from refold.streams.rules.judge import ClaimState
from refold.streams.settings import Settings
from tests.e2e.oracle import truth
from tests.streams.by_hand import Asked, ByHand, by_hand, records, until


@dataclass
class Prefetching:
    """The real tables, but for what happens between a snapshot and its use."""

    tables: HandlerTables
    meanwhile: Callable[[], None] = lambda: None
    seen: list[ClaimState | None] = field(default_factory=list)

    def claims(self, places: Iterable[Place]) -> Mapping[Place, ClaimState]:
        return self.tables.claims(places)

    def snapshots(self, wanted: Sequence[Wanted]) -> Sequence[Snapshot]:
        found = self.tables.snapshots(wanted)
        self.seen += [each.row for each in found]
        self.meanwhile()
        return found

    def refold(self, category: str, stream: str, version: int) -> Any:
        return self.tables.refold(category, stream, version)

    def close(self) -> None:
        self.tables.close()


@dataclass
class Between:
    """What the core does while a batch's reads are on their way, and whether the handler's watch sees that before they are used."""

    hands: ByHand
    tables: Prefetching
    looks: bool
    overtaken: int = 0
    stale: int = 0

    def __call__(self) -> None:
        holder, read = self.hands.holder, self.tables.seen[-1]
        assert read is not None
        self.hands.until_logged(1 + holder.next_seq)
        self.hands.fold()
        if self.looks:
            self.hands.handler._look()
        self.overtaken += holder.next_seq > read.next_seq
        self.stale += holder.floor > read.next_seq


WAVES: list[list[Asked]] = [
    [(1, 0), (1, 1), (2, 0)],
    [(1, 0), (1, 2), (2, 1), (2, 0), (3, 0)],
    [(2, 1), (3, 0), (3, 1), (1, 2), (1, 3), (1, 1)],
]
"""Each repeats commands of the one before it, and goes on in its streams."""


@contextmanager
def prefetching(settings: Settings) -> Iterator[tuple[ByHand, Prefetching]]:
    found: list[Prefetching] = []

    def wrapped(tables: HandlerTables) -> Prefetching:
        found.append(Prefetching(tables))
        return found[0]

    with by_hand(settings, KafkaLog(settings.kafka_servers(), settings.topic_prefix), wrapped) as hands:
        yield hands, found[0]


@pytest.fixture
def single(settings: Settings) -> Settings:
    return settings.model_copy(update={"partitions": 1})


@pytest.mark.parametrize("looks", [False, True])
def test_reads_that_the_core_overtakes(single: Settings, *, looks: bool) -> None:
    """Forgotten or not, what is counted by now is neither decided again nor left out of the state that is decided on."""
    with prefetching(single) as (hands, tables):
        writer = hands.own()
        tables.meanwhile = between = Between(hands, tables, looks)
        for wave in WAVES:
            hands.send(*wave)
            until(lambda: all_decided(hands), "the handler decides nothing any more")
        assert between.overtaken >= len(WAVES) - 1
        assert (between.stale >= len(WAVES) - 1) if looks else (between.stale == 0)
        hands.settle()
        hands.assert_sound()
        assert hands.holder.writer == writer, "the claim did not last"
        assert (hands.logged(), hands.voids()) == (1 + records(set(hands.sent)), 0)


def no_guard(holder: Holder, _: ClaimState | None) -> bool:
    return holder.mode is Mode.OWNING


def no_floor(holder: Holder, row: ClaimState | None) -> bool:
    return holder.mode is Mode.OWNING and row is not None and row.writer == holder.writer


def forgets_what_is_not_counted(holder: Holder, _: ClaimState) -> None:
    holder._order.clear()
    holder._commands.clear()
    holder._streams.clear()


AGAIN, NEXT = (1, 0), (1, 1)


@pytest.mark.parametrize(
    ("method", "mutant", "asked", "violation"),
    [
        ("usable", no_guard, AGAIN, "I1"),
        ("usable", no_guard, NEXT, "I3"),
        ("usable", no_floor, AGAIN, "I1"),
        ("_evict", forgets_what_is_not_counted, NEXT, "I3"),
    ],
)
def test_without_the_guard_the_reference_objects(
    single: Settings,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    mutant: Callable[..., Any],
    asked: Asked,
    violation: str,
) -> None:
    """And the belt keeps it out of the tables: what was decided wrongly is void, the claim over, and the next one decides aright."""
    with prefetching(single) as (hands, tables):
        writer = hands.own()
        hands.send(AGAIN)
        hands.decide()
        hands.send(asked)
        with monkeypatch.context() as patched:
            patched.setattr(Holder, method, mutant)
            counted = mutant is not forgets_what_is_not_counted
            tables.meanwhile = Between(hands, tables, looks=True) if counted else hands.handler._look
            until(lambda: all_decided(hands), "the handler decides nothing any more")
        tables.meanwhile = lambda: None
        hands.until_logged(3)
        hands.fold()
        assert hands.claim is not None
        assert (hands.claim.writer, hands.claim.epoch, hands.voids()) == (None, 1, 1)
        assert hands.own() != writer
        hands.settle()
        hands.assert_each_counted_once()
        (found,) = truth(single).violations
        assert violation in found


def all_decided(hands: ByHand) -> bool:
    """Whether, after one more look, no command waits for a snapshot that may be used."""
    hands.decide()
    (held,) = hands.handler._held.values()
    return not held.waiting
