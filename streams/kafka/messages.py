"""Cuts librdkafka's records into chunks of dense offsets, and asks where a partition begins and ends."""

from collections.abc import Sequence
from datetime import UTC, datetime

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from refold.streams.chunk import Chunk, Place
from refold.streams.errors import KafkaUnavailable, LogCorrupt, LogHole, LogRefused, LogShorter, LogTrimmed
from refold.streams.refusals import of_kafka

_ASK_S = 10.0
# ruff: noqa: SLF001 - public constants of the library
_GONE = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})
_CORRUPT = frozenset({KafkaError._BAD_MSG, KafkaError._BAD_COMPRESSION, KafkaError._NOT_IMPLEMENTED})
"""Errors of corrupt bytes: a wrong checksum; bytes not compressed as their header says; an unknown format."""


def cut(messages: Sequence[Message], *, keys: bool = False) -> list[Chunk]:
    """The records of one read as chunks, each a run of consecutive offsets of one partition.

    A run is found by its ends: if the partitions are equal and the offsets differ by the count of records, nothing else
    fits between.
    """
    chunks: list[Chunk] = []
    left = [(0, len(messages))]
    while left:
        low, high = left.pop()
        if low == high:
            continue
        first, last = messages[low], messages[high - 1]
        if (
            first.partition() == last.partition()
            and first.topic() == last.topic()
            and last.offset() - first.offset() == high - low - 1
        ):
            chunks.append(_chunk(messages[low:high], keys=keys))
        else:
            middle = (low + high) // 2
            left += [(middle, high), (low, middle)] if high - low > 1 else []
    return _joined(chunks)


def raise_errors(messages: Sequence[Message]) -> None:
    """Raises LogTrimmed or LogShorter (position not in the log), LogCorrupt; ignores errors that librdkafka retries."""
    for message in messages:
        error = message.error()
        if error is not None and not error.retriable():
            where = f"{message.topic()}/{message.partition()}" if message.topic() else "the consumer's group"
            raise _fault(message, error) or of_kafka(error, where)


def sound(messages: list[Message]) -> tuple[list[Message], dict[Place, LogCorrupt | LogHole]]:
    """The records, and each corrupt partition's fault. Records after it are dropped: no broker sent them.

    Raises as `raise_errors` if the log lost records from which the tables were folded: those are not restored in place.
    """
    if all(message.error() is None for message in messages):
        return messages, {}
    records, faults = list[Message](), dict[Place, LogCorrupt | LogHole]()
    for message in messages:
        place, error = (message.topic() or "", message.partition() or 0), message.error()
        if place in faults:
            continue
        if error is None:
            records.append(message)
        elif isinstance(fault := _fault(message, error), LogCorrupt):
            faults[place] = fault
        else:
            raise_errors([message])
    return records, faults


def _fault(message: Message, error: KafkaError) -> LogRefused | None:
    where = f"{message.topic()}/{message.partition()}"
    if error.code() == KafkaError._LOG_TRUNCATION:
        return LogShorter(f"{where} has lost its last records: {error.str()}")
    if error.code() in _GONE:
        return LogTrimmed(f"{where}: {error.str()}")
    if error.code() in _CORRUPT:
        return LogCorrupt(f"{where} cannot be read from offset {message.offset()} on: {error.str()}")
    return None


def check_range(client: Consumer, place: Place, position: int) -> int:
    """The end of a partition, checked that the position lies within the log. Raises LogTrimmed or LogShorter."""
    low, high = watermarks(client, place)
    if low > position:
        raise LogTrimmed(f"{place[0]}/{place[1]} starts at {low}, after the stored position {position}")
    if high < position:
        raise LogShorter(f"{place[0]}/{place[1]} ends at {high}, before the stored position {position}")
    return high


def watermarks(client: Consumer, place: Place, seconds: float = _ASK_S) -> tuple[int, int]:
    """First and next offset of a partition, from the broker. Raises KafkaUnavailable."""
    try:
        found = client.get_watermark_offsets(TopicPartition(*place), timeout=seconds)
    except KafkaException as problem:
        raise of_kafka(problem.args[0], f"no answer about {place[0]}/{place[1]}") from problem
    if found is None:
        raise KafkaUnavailable(f"no answer about {place[0]}/{place[1]} within {seconds} s")
    low, high = found
    return int(low), int(high)


def records_of(messages: list[Message]) -> list[Message]:
    """The messages that are records. The others are librdkafka's reports; they are raised where they matter."""
    reports = [message for message in messages if message.error() is not None]
    if not reports:
        return messages
    raise_errors(reports)
    return [message for message in messages if message.error() is None]


def value_at(client: Consumer, place: Place, offset: int) -> bytes | None:
    """The value of one existing record. Raises LogCorrupt, LogTrimmed, KafkaUnavailable."""
    topic, part = place
    try:
        client.assign([TopicPartition(topic, part, offset)])
        for _ in range(int(_ASK_S / 0.5)):
            found = records_of([m for m in (client.poll(0.5),) if m is not None])
            if found:
                value: bytes | None = found[0].value()
                return value
    except KafkaException as problem:
        raise of_kafka(problem.args[0], f"{topic}/{part} cannot be read") from problem
    raise KafkaUnavailable(f"{topic}/{part}: no record at {offset} within {_ASK_S} s")


def follow(chunk: Chunk, expected: int) -> None:
    """Raises LogHole unless the chunk starts at `expected`: offsets are dense (no transactions, no compaction)."""
    if chunk.start != expected:
        raise LogHole(f"{chunk.topic}/{chunk.part}: offset {chunk.start} follows {expected - 1}")


def _chunk(messages: Sequence[Message], *, keys: bool) -> Chunk:
    first, (_, millis) = messages[0], messages[-1].timestamp()
    topic, part, start = first.topic(), first.partition(), first.offset()
    assert topic is not None
    assert part is not None
    assert start is not None
    return Chunk(
        topic,
        part,
        start,
        [m.value() for m in messages],
        [m.key() for m in messages] if keys else None,
        moment(millis),
    )


def moment(millis: int) -> datetime | None:
    """A record's time; None if it is no valid date. Producers of commands choose the time themselves."""
    try:
        return datetime.fromtimestamp(millis / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _joined(chunks: list[Chunk]) -> list[Chunk]:
    """The chunks, with those of a place joined if they follow each other, in the order in which the places came."""
    by_place: dict[Place, Chunk] = {}
    apart: list[Chunk] = []
    for chunk in chunks:
        before = by_place.get(chunk.place)
        if before is None:
            by_place[chunk.place] = chunk
        elif before.end == chunk.start:
            by_place[chunk.place] = before.then(chunk)
        else:
            apart.append(chunk)
    return [*by_place.values(), *apart]
