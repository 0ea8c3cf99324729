"""Tests a round of the handler: what waits in all its partitions is decided on one snapshot, and none holds up the others."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from refold.retail.schemas.basket import OpenBasket
from refold.schemas.codec import Codec
from refold.schemas.meta import CommandMeta
from refold.streams.chunk import Chunk, Place
from refold.streams.domain import load_domains
from refold.streams.handler import handler as module
from refold.streams.handler.handler import Handler, Names, Surroundings
from refold.streams.handler.ports import Snapshot, Wanted
from refold.streams.kafka.partitioner import partition_of
from refold.streams.rules.judge import ClaimState

DOMAINS, CATEGORY, PARTS = load_domains(["retail"]), "retail.basket", 4
CODEC = Codec(DOMAINS.catalog)
NOW = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass
class Tables:
    """Tables with one row for each partition; `asked` are the batches of snapshots, by partition."""

    rows: dict[Place, ClaimState] = field(default_factory=dict)
    asked: list[list[int]] = field(default_factory=list)

    def claims(self, places: Iterable[Place]) -> Mapping[Place, ClaimState]:
        return {place: self.rows[place] for place in places if place in self.rows}

    def snapshots(self, wanted: Sequence[Wanted]) -> Sequence[Snapshot]:
        self.asked.append([each.part for each in wanted])
        return [Snapshot(self.rows.get((each.category, each.part)), frozenset(), {}) for each in wanted]

    def refold(self, category: str, stream: str, version: int) -> Any:
        raise AssertionError(f"no state is stored: {category} {stream} {version}")

    def close(self) -> None: ...


@dataclass
class Log:
    """A log that takes everything; `appended` are the streams of events by partition."""

    appended: dict[int, list[bytes]] = field(default_factory=dict)

    def append(self, category: str, part: int, key: bytes | None, value: bytes) -> None:
        assert category == CATEGORY
        assert value
        if key is not None:
            self.appended.setdefault(part, []).append(key)

    def fits(self, *_: object) -> bool:
        return True

    def failed(self) -> bool:
        return False

    def discard(self) -> None: ...


class Reader:
    """A reader to which all partitions of the category's commands are assigned."""

    def assignments(self) -> Mapping[Place, int]:
        return {(f"{CATEGORY}.commands", part): 1 for part in range(PARTS)}

    def seek(self, _place: Place, _offset: int) -> int:
        return 7

    def pause(self, _place: Place) -> None: ...

    def resume(self, _place: Place) -> None: ...


@dataclass
class Round:
    """A handler that owns all partitions."""

    tables: Tables = field(default_factory=Tables)
    log: Log = field(default_factory=Log)

    def __post_init__(self) -> None:
        reader: Any = Reader()
        self.handler = Handler(self.tables, self.log, reader, DOMAINS, Names("", PARTS), Surroundings())
        self.handler.wake()
        for held in self.handler._held.values():
            self.tables.rows[held.category, held.part] = ClaimState(epoch=1, writer=held.holder.writer)
        self.handler.wake()

    def take(self, commands: int) -> None:
        self.handler.take([_chunk(part, commands) for part in range(PARTS)])


def _chunk(part: int, commands: int) -> Chunk:
    streams = [name for name in (f"b{n}" for n in range(40 * commands)) if partition_of(name.encode(), PARTS) == part]
    values = [_command(stream) for stream in streams[:commands]]
    keys = [stream.encode() for stream in streams[:commands]]
    return Chunk(f"{CATEGORY}.commands", part, 0, values, keys, NOW, generation=7)


def _command(stream: str) -> bytes:
    meta = CommandMeta(command_id=uuid4(), category=CATEGORY, stream=stream, occurred_at=NOW)
    return CODEC.command(meta, OpenBasket(basket_id=stream, store_id=1))


def test_what_waits_in_all_partitions_is_decided_on_one_snapshot() -> None:
    found = Round()
    found.take(3)
    assert found.tables.asked == [[0, 1, 2, 3]]
    assert {part: len(streams) for part, streams in found.log.appended.items()} == dict.fromkeys(range(PARTS), 3)


def test_a_partition_that_cannot_go_on_does_not_hold_up_the_others() -> None:
    found = Round()
    found.tables.rows[CATEGORY, 1] = replace(found.tables.rows[CATEGORY, 1], writer=None)  # not ours at this moment
    found.take(3)
    assert found.tables.asked == [[0, 1, 2, 3]]
    assert {part: len(streams) for part, streams in found.log.appended.items()} == {0: 3, 2: 3, 3: 3}


def test_a_round_is_bounded_and_the_next_one_takes_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_AT_ONCE", 5)
    found = Round()
    found.take(3)
    assert found.tables.asked == [[0, 1], [2, 3]]
    assert {part: len(streams) for part, streams in found.log.appended.items()} == dict.fromkeys(range(PARTS), 3)
