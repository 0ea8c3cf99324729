"""Events and rejections as they would be in the log: `event_at` and `rejected_at` say what happened, `records_of` has it as records."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from uuid import UUID

from refold.schemas.avro import schema_of
from refold.schemas.catalog import Catalog
from refold.schemas.codec import Codec, Rejection, encode_rejection
from refold.schemas.contracts import Category, Command, Event, is_stream_id
from refold.schemas.errors import BadValue
from refold.schemas.identity import event_uuid
from refold.schemas.meta import Meta
from refold.schemas.upcast import upcasts_of
from refold.schemas.validate import Contract, checked
from refold.streams.chunk import Chunk
from refold.streams.log.topics import events_topic

WRITER = UUID(int=1)


@dataclass(frozen=True)
class Happened:
    """An event of a stream, or a rejection of a command to it, and when it occurred."""

    stream: str
    at: datetime
    event: "Event | Refused"
    actor: str | None = None
    correlation_id: str | None = None


@dataclass(frozen=True)
class Refused:
    """A rejection: the type of its command, its code, and its sentence."""

    command: type[Command]
    code: str
    message: str


def event_at(
    stream: str, at: datetime | str, event: Event, *, actor: str | None = None, correlation_id: str | None = None
) -> Happened:
    """An event for `rows`: its stream, and when it occurred, as a time with its zone or as text (`2026-01-31T10:00Z`).

    Raises ValueError for a time without a zone and for a text that names no stream.
    """
    return _happened(stream, at, event, actor, correlation_id)


def rejected_at(  # noqa: PLR0913 - what a rejection's record holds
    stream: str,
    at: datetime | str,
    command: type[Command],
    code: str,
    message: str = "",
    *,
    actor: str | None = None,
    correlation_id: str | None = None,
) -> Happened:
    """A rejected command for `rows`: its stream, when it occurred, its type, and the rejection's code and sentence.

    Raises ValueError as `event_at` does.
    """
    return _happened(stream, at, Refused(command, code, message), actor, correlation_id)


def _happened(
    stream: str, at: datetime | str, event: Event | Refused, actor: str | None, correlation_id: str | None
) -> Happened:
    time = datetime.fromisoformat(at) if isinstance(at, str) else at
    if time.tzinfo is None:
        raise ValueError(f"the time {at} has no zone: write 2026-01-31T10:00Z, or give a datetime with a tzinfo")
    if not is_stream_id(stream):
        raise ValueError(f"{stream!r:.100} cannot name a stream")
    return Happened(stream, time.astimezone(UTC), event, actor, correlation_id)


def sound(value: Contract) -> Contract:
    """A command or event as the log would hold it. Raises BadValue, which names the class and the field."""
    try:
        return checked(value)
    except BadValue as problem:
        where = f"{type(value).__name__}{problem.field.removeprefix('$')}"
        raise BadValue(f"{where}: {problem.message}", problem.field) from problem


@cache
def catalog_of(categories: tuple[Category, ...]) -> Catalog:
    """The schemas of some categories as they are now; nothing need be frozen."""
    return Catalog(
        categories, [schema_of(cls, one.name) for one in categories for cls in (*one.classes, *_retired(one))]
    )


@cache
def writer_of(category: Category) -> Codec:
    """Writes a category's events, retired ones too: today's code may only read those."""
    whole = Category(category.name, category.commands, (*category.events, *_retired(category)))
    return Codec(Catalog((whole,), [schema_of(cls, category.name) for cls in whole.classes]))


def _retired(category: Category) -> tuple[type[Event], ...]:
    return tuple(upcasts_of(category).by_class)


def category_of(categories: Iterable[Category], event: Event | Refused) -> Category:
    """The category that an event, today's or retired, or a rejected command is of. Raises TypeError if it is of none."""
    names = []
    for category in categories:
        if isinstance(event, Refused):
            if event.command in category.commands:
                return category
        elif type(event) in (*category.events, *_retired(category)):
            return category
        names.append(category.name)
    if isinstance(event, Refused):
        raise TypeError(f"{event.command.__name__} is no command of {' or '.join(names)}, so no column can read it")
    raise TypeError(f"{type(event).__name__} is no event of {' or '.join(names)}, so no column can read it")


def stored(category: Category, one: Happened, version: int, number: int) -> bytes:
    """What happened as the bytes of a record; `number`: its place in the test's log. Raises BadValue.

    `version`: of the stream after it. A rejection leaves the stream as it was.
    """
    command = UUID(int=number + 1)
    meta = Meta(
        writer=WRITER, command_id=command, body_hash=bytes(16),
        event_id=event_uuid(category.name, one.stream, command, 0), category=category.name, stream=one.stream,
        version=version, base_version=version - (not isinstance(one.event, Refused)), seq=number, index=0, count=1, command_offset=number,
        occurred_at=one.at, recorded_at=one.at, actor=one.actor, correlation_id=one.correlation_id,
    )  # fmt: skip
    if isinstance(one.event, Refused):
        return encode_rejection(meta, Rejection(one.event.command.__name__, one.event.code, one.event.message))
    return writer_of(category).event(meta, sound(one.event))


@dataclass(frozen=True)
class Record:
    """A stored event: its category, its stream, and its bytes."""

    category: str
    stream: str
    value: bytes


def records_of(categories: Sequence[Category], happened: Iterable[Happened]) -> list[Record]:
    """What happened as records, versions counted by stream. Raises BadValue if a field breaks its contract."""
    versions: dict[tuple[str, str], int] = {}
    found = []
    for number, one in enumerate(happened):
        category = category_of(categories, one.event)
        is_event = not isinstance(one.event, Refused)
        version = versions[category.name, one.stream] = versions.get((category.name, one.stream), 0) + is_event
        found.append(Record(category.name, one.stream, stored(category, one, version, number)))
    return found


def chunks_of(records: Iterable[Record], starts: dict[str, int]) -> list[Chunk]:
    """Records as chunks, one a category; moves `starts`, each category's next offset, on."""
    values: dict[str, list[bytes | None]] = {}
    for record in records:
        values.setdefault(record.category, []).append(record.value)
    found = []
    for category, given in values.items():
        start = starts.get(category, 0)
        starts[category] = start + len(given)
        found.append(Chunk(events_topic("", category), 0, start, given))
    return found
