"""A real handler and a real core on real servers, in the test's own thread: each moves only when the test says so.

Commands list products (one event each) and relabel them (two events each), so versions and outcomes are known
beforehand.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from uuid import UUID

from refold.retail.schemas.product import PRODUCT, ListProduct, RelabelProduct
from refold.schemas.contracts import Command
from refold.schemas.identity import command_uuid
from refold.streams.chunk import Chunk, Place
from refold.streams.core.fold import CoreFold
from refold.streams.handler.handler import Handler, Names, Surroundings
from refold.streams.handler.holder import Holder
from refold.streams.handler.ports import EventLog, HandlerTables
from refold.streams.handler.tables import PostgresTables
from refold.streams.kafka.log_reader import LogReader
from refold.streams.log.history import History
from refold.streams.log.topics import commands_topic, events_topic
from refold.streams.rules.judge import ClaimState
from refold.streams.sending.producer import Producer
from refold.streams.settings import Settings
from tests.e2e import tables
from tests.e2e.oracle import core_differences, truth
from tests.e2e.tables import query, streams_with_gaps
from tests.streams.broker import DOMAINS, core, fold_with, prepare

NAME = PRODUCT.name
PART = 0
BOUND_S, LOOK_S = 60.0, 0.02
Asked = tuple[int, int]
"""A product, and the how many-th relabelling; the 0th command lists it."""


def command(asked: Asked) -> Command:
    """Each changes the whole label."""
    product, number = asked
    brand, size = f"brand {number}", f"{number} oz"
    if number:
        return RelabelProduct(product_id=str(product), brand=brand, package_size=size)
    return ListProduct(
        product_id=str(product), department="d", brand=brand, category="c", type="t", package_size=size, manufacturer=1
    )


def command_id(asked: Asked) -> UUID:
    return command_uuid("{} {}".format(*asked))


def until(holds: Callable[[], bool], complaint: str) -> None:
    """Wait for something that takes milliseconds, or a minute on a busy machine."""
    tables.until(holds, BOUND_S, complaint, LOOK_S)


def records(asked: Iterable[Asked]) -> int:
    """How many events the commands come to."""
    return sum(2 if number else 1 for _, number in asked)


class HandReader:
    """The handler's reader of one partition of commands, without a group or a thread."""

    def __init__(self, servers: str, place: Place) -> None:
        self._log = LogReader(servers, {place: 0}, records=1000, keys=True)
        self._place, self._generation, self._flowing = place, 0, False

    def read(self) -> list[Chunk]:
        """All that the log holds and the handler has not been given since its last seek."""
        found: list[Chunk] = []
        while self._flowing and self._log.next[self._place] < self._log.ends()[self._place]:
            found += [replace(chunk, generation=self._generation) for chunk in self._log.poll(1.0)]
        return found

    def is_current(self, chunk: Chunk) -> bool:
        return chunk.generation == self._generation

    def places(self) -> list[Place]:
        return [self._place]

    def assignments(self) -> Mapping[Place, int]:
        return {self._place: 1}

    def position(self, place: Place) -> int | None:
        return self._log.next[place]

    def seek(self, place: Place, offset: int) -> int:
        self._log.seek(place, offset)
        self._generation += 1
        return self._generation

    def pause(self, _: Place) -> None:
        self._flowing = False

    def resume(self, _: Place) -> None:
        self._flowing = True

    def end(self, place: Place) -> int | None:
        return self._log.ends()[place]

    def close(self) -> None:
        self._log.close()


@dataclass
class ByHand:
    """One partition of products. `settings` lead to the servers themselves; where the handler's `log` leads is the test's choice."""

    settings: Settings
    handler: Handler
    reader: HandReader
    core: CoreFold
    client: Producer
    sent: list[Asked] = field(default_factory=list)

    @property
    def holder(self) -> Holder:
        """The handler's claim."""
        (held,) = self.handler._held.values()
        return held.holder

    def send(self, *asked: Asked) -> None:
        """Put commands behind the others, acknowledged on return. One that was sent before is a client's repetition."""
        for each in asked:
            self.client.send(command(each), command_id=command_id(each))
        self.client.flush()
        self.sent += asked

    def decide(self) -> None:
        """The handler looks, and decides what has come in."""
        self.handler.take(self.reader.read())

    def fold(self) -> dict[Place, int]:
        """The core folds all that is in the log; where it stands."""
        return fold_with(self.settings, self.core)

    def step(self) -> None:
        self.decide()
        self.fold()

    def own(self) -> UUID:
        """Until the handler owns the partition; under which writer."""
        until(lambda: self._steps(lambda: self.holder.usable(self.claim)), "the handler owns nothing")
        assert self.holder.writer is not None
        return self.holder.writer

    def settle(self) -> None:
        """Until each command that was sent has its outcome."""
        want = len(set(self.sent))
        until(lambda: self._steps(lambda: len(self.outcomes()) >= want), f"not all of {want} were decided")

    def until_logged(self, records: int) -> None:
        """Until the log of events holds so many records, whether or not anybody was told."""
        until(lambda: self.logged() >= records, f"the log does not hold {records} records")

    def logged(self) -> int:
        place = events_topic(self.settings.topic_prefix, NAME), PART
        reader = LogReader(self.settings.kafka_servers(), {place: 0}, records=1)
        try:
            return reader.ends()[place]
        finally:
            reader.close()

    @property
    def claim(self) -> ClaimState | None:
        """The partition's row as it is now."""
        found = query(
            self.settings,
            f"SELECT epoch, rules, writer, next_seq, last_command_offset FROM refold.claims WHERE category = '{NAME}'",
        )
        return ClaimState(*found[0]) if found else None  # type: ignore[arg-type]  # a row of that table

    def outcomes(self) -> dict[tuple[str, UUID], tuple[object, ...]]:
        """Rejected, base version and events of each command in the tables."""
        rows = query(
            self.settings, "SELECT stream, command_id, code IS NOT NULL, base_version, events FROM refold.outcomes"
        )
        return {(str(stream), UUID(str(id_))): tuple(rest) for stream, id_, *rest in rows}

    def voids(self) -> int:
        """Records that lie in the log and count for nothing."""
        ((found,),) = query(
            self.settings, "SELECT coalesce(sum(last_offset - first_offset + 1), 0)::int FROM refold.voids"
        )
        return int(str(found))

    def assert_each_counted_once(self) -> None:
        """Each command has the outcome it had been known to have, no version is missing or double, no stream lacks the last label."""
        asked = sorted(set(self.sent))
        want = {
            (str(product), command_id((product, n))): (False, 2 * n - 1 if n else 0, 2 if n else 1)
            for product, n in asked
        }
        assert self.outcomes() == want
        last = dict(asked)
        streams = query(
            self.settings, "SELECT stream, version, convert_from(state, 'UTF8')::json ->> 'brand' FROM refold.streams"
        )
        assert sorted(streams) == sorted((str(product), 1 + 2 * n, f"brand {n}") for product, n in last.items())
        assert not streams_with_gaps(self.settings)

    def assert_sound(self) -> None:
        """So say the tables, and the reference from the log alone: no claim has decided anything twice or on a wrong state."""
        until(self._judged_at_rest, "records are still coming in")
        self.assert_each_counted_once()

    def _judged_at_rest(self) -> bool:
        """Judges, unless the log grew between the core's fold and the reference's."""
        stands, want = self.fold(), truth(self.settings)
        if stands != want.ends:
            return False
        assert want.violations == []
        assert core_differences(self.settings, want) == []
        return True

    def _steps(self, holds: Callable[[], bool]) -> bool:
        self.step()
        return holds()


@contextmanager
def by_hand(
    settings: Settings, log: EventLog, wrapped: Callable[[HandlerTables], HandlerTables] = lambda tables: tables
) -> Iterator[ByHand]:
    """Topics, tables, a handler that has not claimed yet, and a core. The settings have one partition."""
    assert settings.partitions == 1
    prepare(settings)
    servers, prefix = settings.kafka_servers(), settings.topic_prefix
    reader = HandReader(servers, (commands_topic(prefix, NAME), PART))
    stored = wrapped(PostgresTables(settings.dsn(), DOMAINS, History(servers, prefix, DOMAINS)))
    around = Surroundings(rng=random.Random(1))
    handler = Handler(stored, log, reader, DOMAINS, Names(prefix, 1), around)
    fold = core(settings)
    try:
        with Producer(servers, prefix, DOMAINS) as client:
            yield ByHand(settings, handler, reader, fold, client)
    finally:
        fold.close()
        handler.close()
        reader.close()
        log.discard()
