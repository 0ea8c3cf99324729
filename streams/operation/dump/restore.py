"""Restores a dump into Kafka: every record under its offset, with its time, key, value and headers.

No topic is open to other processes before all records were read back and found equal. Schemas are restored first,
then commands, then events, and topics are opened in that order: a reader of an event finds everything that the event
rests on.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from confluent_kafka import KafkaException

from refold.schemas.plurals import counted
from refold.streams.chunk import Place
from refold.streams.errors import KafkaUnavailable, LogCorrupt, WrongPartitions
from refold.streams.kafka import clients
from refold.streams.kafka.fetch import Fetcher
from refold.streams.kafka.raw_append import RawAppender
from refold.streams.kafka.repack import Record, batch_of, records_of
from refold.streams.log.topics import schemas_topic
from refold.streams.operation.dump.check import whole
from refold.streams.operation.dump.dump import Progress, fetched
from refold.streams.operation.dump.errors import LogDiffers, LogInUse, LogNotEmpty
from refold.streams.operation.dump.folder import DumpFolder, Manifest, Partition
from refold.streams.operation.dump.restored_topics import Found, RestoredTopics, TopicState
from refold.streams.operation.members import MemberReader
from refold.streams.refusals import of_kafka
from refold.streams.settings import Settings

_ROLES = ("handler", "core", "models", "reactors")
_BATCH_BYTES = 256 << 10
_BATCH_RECORDS = 5_000
_PATIENCE_S = 60.0
_GROUPS_S = 20.0


@dataclass(frozen=True)
class RestorePlan:
    """The topics to restore, with the prefix and in order, as they are now, and the topics to delete first."""

    manifest: Manifest
    topics: dict[str, Found]
    dumped: dict[str, int]
    """The dump's number of records, by topic."""
    deleted: tuple[str, ...]

    @property
    def is_there(self) -> bool:
        """Whether every topic is as long as the dump, so that only the comparison is left."""
        return all(found.state is TopicState.AS_LONG for found in self.topics.values())


class Restore:
    """Restores from one folder into the topics with the settings' prefix."""

    def __init__(self, settings: Settings, root: Path) -> None:
        """Raises DumpUnsound, OSError."""
        self._settings, self._folder = settings, DumpFolder(root)
        self._manifest = whole(self._folder)
        self._schemas = schemas_topic(settings.topic_prefix)
        self._topics = RestoredTopics(settings)
        self._parts = {
            settings.topic_prefix + topic: self._manifest.of(topic)
            for topic in sorted({each.topic for each in self._manifest.partitions}, key=_turn)
        }

    def plan(self, *, replace: bool) -> RestorePlan:
        """Look at the topics. Raises WrongPartitions, LogNotEmpty, LogInUse, KafkaUnavailable, KafkaRefused."""
        for topic, parts in self._parts.items():
            if topic != self._schemas and len(parts) != self._settings.partitions:
                raise WrongPartitions(
                    f"{topic} was dumped with {counted(len(parts), 'partitions')}, and {self._settings.partitions} are configured",
                    f"Set REFOLD_PARTITIONS={len(parts)}.",
                )
        clients.check_login(self._settings.kafka_servers())
        try:
            found = self._topics.look(
                {topic: [self._end(part) for part in parts] for topic, parts in self._parts.items()}
            )
        except KafkaException as problem:
            raise of_kafka(problem.args[0], "the topics cannot be asked") from problem
        full = {topic: each.records for topic, each in found.items() if each.state is TopicState.OTHER}
        if full and not replace:
            named = ", ".join(f"{topic} ({counted(records, 'records')})" for topic, records in full.items())
            raise LogNotEmpty(f"there are records already: {named}")
        self._refuse_in_use(found)
        begun = [self._schemas] if self._is_begun(found) else []
        dumped = {topic: sum(part.records for part in parts) for topic, parts in self._parts.items()}
        return RestorePlan(self._manifest, found, dumped, (*full, *begun))

    def execute(self, plan: RestorePlan, progress: Progress) -> None:
        """Restore, then read back. Raises what `plan` raises, DumpUnsound, LogDiffers, OSError."""
        done, whole_of_it = 0, 2 * self._manifest.records
        topics = [topic for topic, found in plan.topics.items() if found.state is not TopicState.AS_LONG]

        def tell(records: int) -> None:
            nonlocal done
            done += records
            progress(done, whole_of_it)

        try:
            self._make(plan)
            with closing(RawAppender(self._settings.kafka_servers(), list(self._parts))) as appender:
                for topic in self._parts:
                    for part in self._parts[topic]:
                        if topic in topics:
                            self._put(appender, (topic, part.part), part, tell)
                        else:
                            tell(part.records)
            with closing(Fetcher(self._settings.kafka_servers(), list(self._parts))) as fetcher:
                for topic, parts in self._parts.items():
                    for part in parts:
                        self._compare(fetcher, (topic, part.part), part, tell)
            for topic in topics:
                self._topics.unmark(topic, is_events=topic.endswith(".events"))
        except KafkaException as problem:
            raise of_kafka(problem.args[0], "the log cannot be restored") from problem

    def _make(self, plan: RestorePlan) -> None:
        self._topics.delete(plan.deleted)
        states = {topic: found.state for topic, found in plan.topics.items()}
        absent = [topic for topic, state in states.items() if state is TopicState.ABSENT or topic in plan.deleted]
        prefix = self._settings.topic_prefix
        largest = {prefix + topic: most for topic, most in self._manifest.largest.items()}
        self._topics.make({topic: len(self._parts[topic]) for topic in absent}, largest)
        self._topics.mark(topic for topic, state in states.items() if state is TopicState.EMPTY)

    def _put(self, appender: RawAppender, place: Place, part: Partition, tell: Callable[[int], None]) -> None:
        """Append missing records. Nobody else appends meanwhile, so the partition's end replaces a lost answer."""
        at = self._topics.end(place)
        tell(min(at, part.records))
        for records, codec in self._batches(part, at):
            batch, until = batch_of(records, codec), time.monotonic() + _PATIENCE_S
            base = appender.append(place, batch)
            while base is None:
                end = self._topics.end(place)
                base = at if end == at + len(records) else None if end == at else end
                if base is None:
                    if time.monotonic() > until:
                        raise KafkaUnavailable(f"{place[0]}/{place[1]} takes nothing for {_PATIENCE_S:.0f} s")
                    base = appender.append(place, batch)
            if base != at:
                raise LogInUse(
                    f"somebody else writes to {place[0]}/{place[1]}: offset {at} was to come, and {base} did"
                )
            at += len(records)
            tell(len(records))

    def _batches(self, part: Partition, since: int) -> Iterator[tuple[list[Record], int]]:
        """Records from an offset on (0 for schemas, whose offsets mean nothing), in batches, compressed as before."""
        held, size, codec = list[Record](), 0, 0
        for batch in self._folder.batches(part, since):
            if held and (batch.codec != codec or size > _BATCH_BYTES or len(held) > _BATCH_RECORDS):
                yield held, codec
                held, size = [], 0
            found = [record for record in records_of(batch, part.topic) if record[0] >= since]
            held += found
            size, codec = size + len(batch.data), batch.codec
        if held:
            yield held, codec

    def _compare(self, fetcher: Fetcher, place: Place, part: Partition, tell: Callable[[int], None]) -> None:
        """Compare a partition with the dump. Raises LogDiffers."""
        told, first = 0, 0 if place[0] == self._schemas else None
        dumped = (record for batch in self._folder.batches(part) for record in records_of(batch, part.topic))
        for number, (due, there) in enumerate(zip_longest(dumped, self._read_back(fetcher, place, self._end(part)))):
            if due is None or there is None or due[1:] != there[1:] or (first is None and due[0] != there[0]):
                at = there[0] if there else number
                raise LogDiffers(f"{place[0]}/{place[1]}: the record at offset {at} is not the one that was dumped")
            if number - told >= _BATCH_RECORDS:
                tell(number - told)
                told = number
        tell(part.records - told)

    def _read_back(self, fetcher: Fetcher, place: Place, end: int) -> Iterator[Record]:
        at, where = 0, f"{place[0]}/{place[1]}"
        if (there := self._topics.end(place)) != end:
            raise LogDiffers(f"{where} ends at offset {there}, and was dumped up to {end}")
        try:
            while at < end:
                for batch in fetched(fetcher, place, at):
                    yield from records_of(batch, where)
                    at = batch.end
        except LogCorrupt as problem:
            raise LogDiffers(problem.message) from problem

    def _end(self, part: Partition) -> int:
        """The end of a restored partition. The schemas' topic is compacted, and is restored without its gaps."""
        is_schemas = self._settings.topic_prefix + part.topic == self._schemas
        return part.records if is_schemas else part.end

    def _is_begun(self, found: dict[str, Found]) -> bool:
        there = found.get(self._schemas)
        return there is not None and there.state is TopicState.BEGUN

    def _refuse_in_use(self, found: dict[str, Found]) -> None:
        """Raises LogInUse if any process works on the topics. A new Kafka does not know its groups for a moment."""
        if all(each.state is TopicState.ABSENT for each in found.values()):
            return
        until = time.monotonic() + _GROUPS_S
        while True:
            try:
                held = MemberReader(self._settings).read(_ROLES)
                break
            except KafkaUnavailable:
                if time.monotonic() > until:
                    raise
                time.sleep(0.5)
        if held:
            named = ", ".join(sorted({f"{each.group} {each.client_id}" for each in held}))
            raise LogInUse(f"{len(held)} processes work on this log: {named}")


def _turn(topic: str) -> tuple[int, str]:
    kinds: Sequence[str] = (".schemas", ".commands", ".events")
    return next((at for at, kind in enumerate(kinds) if topic.endswith(kind)), len(kinds)), topic
