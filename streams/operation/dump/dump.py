"""Dumps the log to files while everything runs: every topic up to a cut that is a valid beginning of the log.

The topics' ends are noted in this order, and nothing after them is dumped:

1. events: each answers a command that lay in the log before it,
2. commands: so the dump has all commands that its events answer; the others are decided again, with the same result,
3. schemas: each was acknowledged before the first record that names it.

A dump grows: run again, it reads only new records. After a kill it goes on from the batches on the disk.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

import refold
from refold.streams.chunk import Place
from refold.streams.domain import Domains
from refold.streams.errors import KafkaUnavailable, LogHole, LogShorter, LogTrimmed
from refold.streams.kafka import clients
from refold.streams.kafka.fetch import Fetcher
from refold.streams.kafka.offsets import EARLIEST, LATEST, asker, offsets
from refold.streams.kafka.record_batches import RecordBatch, batches_of
from refold.streams.kafka.repack import records_of
from refold.streams.log.topics import commands_topic, events_topic, logged_schemas, schemas_topic
from refold.streams.operation.dump.errors import DumpOfAnother, DumpUnsound
from refold.streams.operation.dump.folder import (
    SEGMENT_BYTES,
    DumpFolder,
    Manifest,
    Partition,
    Segment,
    SegmentWriter,
    cut_to_sound,
)
from refold.streams.refusals import of_kafka
from refold.streams.settings import Settings

Progress = Callable[[int, int], None]
"""Takes the number of records done, and the number of all records."""
_ASK_S = 20.0
_SILENCE_S = 30.0
_PAUSE_S = 0.2
_PLATFORM = "refold"
_JUST_MADE = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - public constants of the library
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001 - and this one
    }
)


@dataclass(frozen=True)
class Cut:
    """The end of every partition to dump, topics with the prefix, in the order in which they were noted."""

    at: str
    ends: Mapping[Place, int]
    largest: Mapping[str, int]


def dump_log(settings: Settings, domains: Domains, root: Path, progress: Progress) -> Manifest:
    """Dump everything up to the present ends; give the folder's new manifest.

    Progress counts what is new. Raises DumpInUse, FolderNotEmpty, DumpUnsound, DumpOfAnother, LogTrimmed, LogShorter, LogHole, LogCorrupt, KafkaUnavailable,
    KafkaRefused, OSError.
    """
    root.mkdir(parents=True, exist_ok=True)
    folder = DumpFolder(root)
    with folder.held():
        before, cut = folder.manifest(), cut_now(settings, domains)
        there = _there(folder, before, cut, settings.topic_prefix)
        done, whole = 0, sum(cut.ends.values()) - sum(each.end for each in there.values())
        with closing(Fetcher(settings.kafka_servers(), sorted({topic for topic, _ in cut.ends}))) as fetcher:
            for place, partition in there.items():
                dumping = _Dumping(folder, fetcher, place, partition)
                dumping.check_it_goes_on()
                for records in dumping.up_to(cut.ends[place]):
                    done += records
                    progress(min(done, whole), whole)
                there[place] = dumping.partition
        prefix = settings.topic_prefix
        largest = {topic.removeprefix(prefix): most for topic, most in cut.largest.items()}
        found = Manifest(refold.__version__, prefix, cut.at, largest, tuple(there.values()))
        folder.write(found)
    return found


def cut_now(settings: Settings, domains: Domains) -> Cut:
    """Note the ends. Raises LogTrimmed if a partition does not begin at offset 0: its offsets could not be kept."""
    servers, prefix = settings.kafka_servers(), settings.topic_prefix
    clients.check_login(servers)
    client = clients.admin(servers)
    try:
        known = {str(schema["namespace"]) for schema in logged_schemas(settings).values()} | domains.categories.keys()
        there = client.list_topics(timeout=_ASK_S).topics
        names = sorted(known - {_PLATFORM})
        events, commands = (
            [events_topic(prefix, name) for name in names],
            [commands_topic(prefix, name) for name in names],
        )
        ends: dict[Place, int] = {}
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        for topics in (events, commands, [schemas_topic(prefix)]):
            places = [(topic, part) for topic in topics if topic in there for part in sorted(there[topic].partitions)]
            ends |= offsets_of(servers, places, LATEST)
        begins = offsets_of(servers, [place for place in ends if place[0] != schemas_topic(prefix)], EARLIEST)
        largest = _largest(client, sorted({topic for topic, _ in ends}))
    except KafkaException as problem:
        raise of_kafka(problem.args[0], "Kafka does not say what its topics hold") from problem
    for (topic, part), begin in begins.items():
        if begin:
            raise LogTrimmed(
                f"{topic}/{part} begins at offset {begin}: the records before it are gone, but a dump needs all offsets from 0 on",
                "Copy the brokers' data folders instead, with the brokers stopped.",
            )
    return Cut(at, ends, largest)


def offsets_of(servers: str, places: Sequence[Place], at: int) -> dict[Place, int]:
    """The offset of each place, asked for again while leaders are unknown (new topics). Raises KafkaException."""
    until = time.monotonic() + _ASK_S
    while True:
        with closing(asker(servers)) as client:  # an older client may remember the former leaders for a minute
            try:
                return offsets(client, places, at, _ASK_S)
            except KafkaException as problem:
                if problem.args[0].code() not in _JUST_MADE or time.monotonic() > until:
                    raise
        time.sleep(_PAUSE_S)


def _largest(client: AdminClient, topics: Iterable[str]) -> dict[str, int]:
    resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
    if not resources:
        return {}
    asked = client.describe_configs(resources, request_timeout=_ASK_S)
    return {resource.name: int(future.result()["max.message.bytes"].value) for resource, future in asked.items()}


def _there(folder: DumpFolder, before: Manifest | None, cut: Cut, prefix: str) -> dict[Place, Partition]:
    """The segments of each place that are dumped already, those of an interrupted dump included."""
    known = {(each.topic, each.part): each for each in before.partitions} if before else {}
    found = {}
    for topic, part in cut.ends:
        name = topic.removeprefix(prefix)
        partition = known.pop((name, part), Partition(name, part, ()))
        _check_sizes(folder, partition)
        found[topic, part] = now = replace(partition, segments=(*partition.segments, *_left_over(folder, partition)))
        if cut.ends[topic, part] < now.end:
            raise LogShorter(f"{topic}/{part} ends at {cut.ends[topic, part]}, and was dumped up to {now.end}")
    if known:
        topic, part = min(known)
        raise DumpOfAnother(f"{folder.root} holds {topic}/{part}, but this log has no such partition")
    return found


def _check_sizes(folder: DumpFolder, partition: Partition) -> None:
    for segment in partition.segments:
        path = folder.file(partition.topic, partition.part, segment.first)
        if not path.exists() or path.stat().st_size != segment.bytes:
            raise DumpUnsound(f"{path} is not there, or not of {segment.bytes:,} bytes", "Dump into another folder.")


def _left_over(folder: DumpFolder, partition: Partition) -> Iterator[Segment]:
    """The segments of an interrupted dump, each up to its last sound batch. Files that do not follow are removed."""
    end = partition.end
    for path in folder.unlisted(partition):
        segment = cut_to_sound(path, end) if int(path.stem) == end else None
        if segment is None:
            path.unlink()
        else:
            end = segment.end
            yield segment


class _Dumping:
    """Dumps one partition, batch by batch, into files."""

    def __init__(self, folder: DumpFolder, fetcher: Fetcher, place: Place, partition: Partition) -> None:
        self._folder, self._fetcher, self._place, self.partition = folder, fetcher, place, partition
        self._is_log = not place[0].endswith(f"{_PLATFORM}.schemas")
        self._where = f"{place[0]}/{place[1]}"

    def check_it_goes_on(self) -> None:
        """Raises DumpOfAnother if the log does not hold the last dumped record: then it does not continue the dump."""
        if not self._is_log or not self.partition.end:
            return
        at = self.partition.end - 1
        last = [
            record for batch in self._folder.batches(self.partition, at) for record in records_of(batch, self._where)
        ]
        if last[-1] not in records_of(fetched(self._fetcher, self._place, at)[0], self._where):
            raise DumpOfAnother(f"{self._where}: the record at offset {at} is not the one that was dumped")

    def up_to(self, end: int) -> Iterator[int]:
        """Dump up to the cut; yield the number of offsets of each step."""
        writer, at = None, self.partition.end
        try:
            while at < end:
                for batch in fetched(self._fetcher, self._place, at):
                    if batch.base >= end:
                        break
                    self._refuse_hole(batch, at)
                    if writer is None or writer.size + len(batch.data) > SEGMENT_BYTES:
                        self._finish(writer)
                        writer = SegmentWriter(self._folder.file(self.partition.topic, self.partition.part, at), at)
                    writer.append(batch)
                    yield batch.end - at
                    at = batch.end
            self._finish(writer)
        finally:
            if writer is not None:
                writer.close()

    def _finish(self, writer: SegmentWriter | None) -> None:
        if writer is not None:
            self.partition = replace(self.partition, segments=(*self.partition.segments, writer.finished()))

    def _refuse_hole(self, batch: RecordBatch, at: int) -> None:
        """Raises LogHole for a missing offset. Only the schemas' topic, which is compacted, may lack offsets."""
        whole = batch.base == at and batch.count == batch.end - batch.base and not batch.is_control
        if self._is_log and not whole:
            raise LogHole(f"{self._where}: an offset is missing behind {at - 1}")


def fetched(fetcher: Fetcher, place: Place, at: int) -> list[RecordBatch]:
    """At least one batch from an offset on, from one answer. Raises KafkaUnavailable, LogTrimmed, LogCorrupt."""
    where, until = f"{place[0]}/{place[1]}", time.monotonic() + _SILENCE_S
    while True:
        for found in fetcher.fetch({place: at}, 1.0):
            batches = [batch for batch in batches_of(found.record_set, where) if batch.end > at]
            if batches:
                return batches
        if time.monotonic() > until:
            raise KafkaUnavailable(f"{where}: nothing comes from offset {at} on within {_SILENCE_S:.0f} s")
