"""The reading thread: it owns a librdkafka consumer and hands chunks to a Faust channel. Positions come from Postgres.

Kafka's own offsets are never read or written. On assignment `start` says where to read, and a chunk carries the
position that it follows, which its commit compares. Only this thread touches the consumer; others ask it through
`seek`, `pause` and `resume`. `read_places` has the states of a place and the lock.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from refold.schemas.errors import RefoldError
from refold.streams import journal
from refold.streams.chunk import Chunk, Place
from refold.streams.errors import KafkaUnavailable, LogCorrupt, LogHole, LogRefused, LogTrimmed, Refused
from refold.streams.exit_codes import PRECONDITION, READER_FAILED
from refold.streams.kafka.messages import cut, sound
from refold.streams.kafka.stopped_places import StoppedPlaces
from refold.streams.operation.presence import ending
from refold.streams.refusals import is_passing
from refold.streams.worker.group_consumer import ReaderConfig, check_position, group_consumer, read_from
from refold.streams.worker.handover import Handover
from refold.streams.worker.membership import FORGOTTEN_S, Membership
from refold.streams.worker.pace import Pace
from refold.streams.worker.read_places import ReadPlaces, ReadState

_log = logging.getLogger(__name__)
_TICK_S, _ASK_S = 0.1, 2.0
_SLICE = 1000
MOST_BYTES = 32 << 20
"""Bytes that one read may bring: several reads wait for the fold at the same time."""

Start = Callable[[list[Place]], dict[Place, int | None]]
"""Gives the offsets from which to read assigned places; None if a later seek will say."""
Put = Callable[[list[Chunk]], "Future[None]"]
"""Hands chunks over; the future is done when they were taken."""


class GroupReader:
    """Reads the places that Kafka assigns to this process, from the offsets that `start` gives, until it is stopped."""

    def __init__(self, config: ReaderConfig, start: Start, put: Put) -> None:
        self._config, self._start, self._put = config, start, put
        self._places = ReadPlaces()
        self._stopping = threading.Event()
        self._ends: dict[Place, int] = {}
        self._held_back = False
        self._pace = Pace(config.records, config.pace_s)
        self._membership, self._handover = Membership(), Handover()
        self._stopped = StoppedPlaces()

    def run(self) -> None:
        """Read until `stop`. Anything unexpected ends the process, and its supervisor starts it again."""
        try:
            self._read()
        except RefoldError as problem:
            if self._stopping.is_set():
                return
            _log.error("%s: %s %s", problem.code, problem.message, problem.remedy, extra=journal.about(problem))
            ending(problem)
            is_final = isinstance(problem, LogRefused | Refused) and not is_passing(problem)
            journal.leave(PRECONDITION if is_final else READER_FAILED)
        except Exception:
            if self._stopping.is_set():
                return
            _log.exception("the reader of group %s failed", self._config.group)
            journal.leave(READER_FAILED)

    def stop(self) -> None:
        self._stopping.set()

    def places(self) -> list[Place]:
        """The places that this process reads now: those that it was assigned, and those that it hands over."""
        return self._places.ours()

    def assignments(self) -> dict[Place, int]:
        """Our places, each with a number that changes with every new assignment of the place to this process."""
        return self._places.assignments()

    def is_current(self, chunk: Chunk) -> bool:
        """Whether the chunk's place is still ours, and the chunk was read after the newest seek of the place."""
        return self._places.is_current(chunk)

    def end(self, place: Place) -> int | None:
        """The log's end as of the last fetch; None if it is unknown, or while a full lane holds chunks back."""
        return None if self._held_back else self._ends.get(place)

    def last_end(self, place: Place) -> int | None:
        """The log's end as of the last fetch, if known."""
        return self._ends.get(place)

    def is_settled(self) -> bool:
        """Whether Kafka has said which places are ours; there may be none."""
        return self._membership.is_settled()

    def hold_back(self, *, held: bool) -> None:
        """Note whether a lane without room holds chunks back from all lanes."""
        self._held_back = held

    def position(self, place: Place) -> int | None:
        """The offset that is read next in a place, or None if the place is not ours."""
        return self._places.position(place)

    def seek(self, place: Place, offset: int) -> int:
        """Read on from `offset`, even if paused. Chunks older than the returned generation are no longer current."""
        return self._places.seek(place, offset)

    def pause(self, place: Place) -> None:
        self._places.pause(place)

    def resume(self, place: Place) -> None:
        self._places.resume(place)

    def _read(self) -> None:
        client, topics = group_consumer(self._config), list(self._config.topics)
        client.subscribe(topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
        try:
            while not self._stopping.is_set():
                self._obey(client)
                if over := self._handover.overdue():
                    self._give_up(client, over)
                self._hand_over(client, self._take(client))
        finally:
            with contextlib.suppress(KafkaException):  # whatever ended the reading is told, and `close` gives up all
                self._give_up(client, self._handover.close())
            client.close()

    def _take(self, client: Consumer) -> list[Chunk]:
        self._places.begin_read()
        first = client.poll(_TICK_S)
        if first is None:
            self._be_remembered(client)
            return []
        try:
            messages, faults = sound(self._gathered(client, first))
        except LogTrimmed:
            self._say_what_is_gone(client)
            raise
        self._pace.remember(len(messages))
        found = list[Chunk]()
        for chunk in cut(messages, keys=self._config.keys):
            if chunk.place in self._stopped:
                continue
            try:
                stamped = self._places.stamped(chunk)
            except LogHole as problem:
                faults.setdefault(chunk.place, problem)
                continue
            if stamped is not None:
                self._stopped.goes_on(chunk.place)
                found.append(stamped)
        self._stop_at(client, faults)
        return found

    def _be_remembered(self, client: Consumer) -> None:
        """Raises KafkaUnavailable, which ends the process, if the broker answers but the group has forgotten us."""
        self._membership.tell()
        if self._membership.is_overdue() and not self.places():
            with contextlib.suppress(KafkaException):
                client.list_topics(timeout=_ASK_S)
                raise KafkaUnavailable(f"the group assigned nothing to this process for {FORGOTTEN_S:.0f} s")

    def _gathered(self, client: Consumer, first: Message) -> list[Message]:
        """Gather messages up to a chunk's records or MOST_BYTES: all that are there, and under load the next ones."""
        found, pause, patience = [first], *self._pace.next()
        until = time.monotonic() + patience
        self._stopping.wait(pause)
        while self._more(client, found) and time.monotonic() < until:
            self._stopping.wait(pause)
        return found

    def _more(self, client: Consumer, found: list[Message]) -> bool:
        """Add messages that have arrived; give whether any was added."""
        before, size = len(found), sum(len(message) for message in found)
        while len(found) < self._config.records and size < MOST_BYTES:
            some = client.consume(min(self._config.records - len(found), _SLICE), 0)
            if not some:
                break
            found += some
            size += sum(len(message) for message in some)
        return len(found) > before

    def _say_what_is_gone(self, client: Consumer) -> None:
        """Raises LogTrimmed for a position before the log's beginning, LogShorter for one beyond its end."""
        for place, offset in self._places.offsets().items():
            check_position(client, place, offset)

    def _stop_at(self, client: Consumer, faults: Mapping[Place, LogCorrupt | LogHole]) -> None:
        """Stop places with an unsound log at their last sound record, and throw away what librdkafka has fetched."""
        offsets = self._places.offsets() if faults else {}
        for place, problem in faults.items():
            if place in offsets and place not in self._stopped:
                self._stopped.stop(place, problem)
                read_from(client, place, offsets[place])
                client.pause([TopicPartition(*place)])

    def _read_stopped_again(self, client: Consumer) -> None:
        due = self._stopped.due()
        offsets = self._places.offsets() if due else {}
        for place in due:
            if place in offsets and read_from(client, place, offsets[place]):
                self._stopped.reads_again(place)
                if not self._places.is_paused(place):
                    client.resume([TopicPartition(*place)])

    def _hand_over(self, client: Consumer, chunks: list[Chunk]) -> None:
        """Hand chunks over; block while the channel is full. Polling meanwhile would lose the polled messages."""
        for chunk in chunks:
            with contextlib.suppress(KafkaException):
                self._ends[chunk.place] = client.get_watermark_offsets(TopicPartition(*chunk.place), cached=True)[1]
        if not chunks:
            return
        waiting = self._put(chunks)
        while not self._stopping.is_set():
            with contextlib.suppress(NotYet, TimeoutError):
                waiting.result(0.5)
                return
        waiting.cancel()

    def _obey(self, client: Consumer) -> None:
        """Carry out the seeks and pauses that others asked for."""
        for place, seek in self._places.seeks().items():
            if read_from(client, place, seek.offset):
                client.resume([TopicPartition(*place)])
                self._stopped.reads_again(place)
                self._places.sought(place, seek)
        for place, state in self._places.changes().items():
            reads = state is ReadState.READING and place not in self._stopped
            (client.resume if reads else client.pause)([TopicPartition(*place)])
        self._read_stopped_again(client)

    def _assigned(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        self._membership.assigned(client.memberid() or "")
        places = [(tp.topic, tp.partition) for tp in partitions]
        if over := self._handover.assigned(places):
            self._give_up(client, over)
        starts = self._start(places) if places else {}
        for place, offset in starts.items():
            if offset is not None:
                check_position(client, place, offset)
        client.incremental_assign([TopicPartition(*place, offset or 0) for place, offset in starts.items()])
        held = [TopicPartition(*place) for place, offset in starts.items() if offset is None]
        if held:
            client.pause(held)
        if flowing := [TopicPartition(*place) for place, offset in starts.items() if offset is not None]:
            client.resume(flowing)  # a pause of an earlier assignment would still hold
        self._places.assigned(starts)
        _log.info("group %s: assigned %s", self._config.group, [f"{t}/{p}" for t, p in places])

    def _revoked(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        """Read on what the group takes away, until it can have another owner (`handover`)."""
        self._membership.revoked()
        self._give_up(client, self._handover.begin((tp.topic, tp.partition) for tp in partitions))

    def _lost(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        """Give up all at once: others may own it by now."""
        self._membership.revoked()
        self._give_up(client, [(tp.topic, tp.partition) for tp in partitions])
        if over := self._handover.end():
            self._give_up(client, over)

    def _give_up(self, client: Consumer, places: list[Place]) -> None:
        """Read these places no more. librdkafka waits for this call, even of no place, before it joins the group again."""
        self._stopped.forget(places)
        self._places.revoked(places)
        client.incremental_unassign([TopicPartition(*place) for place in places])
