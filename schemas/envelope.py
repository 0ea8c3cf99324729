"""The first field of each record as bytes, and back: its format is the same in every version of every schema.

After the five bytes of the Confluent header come the size of the whole value, ids of 16 bytes each, then the variable
part.
"""

from operator import attrgetter
from struct import Struct
from typing import Any

from refold.schemas.avro import resolved
from refold.schemas.binary import uuid_of
from refold.schemas.contracts import MAX_RECORD_BYTES
from refold.schemas.errors import RecordTooLarge, Undecodable
from refold.schemas.meta import (
    CLAIM,
    COMMAND_META,
    EVENT_META,
    HEADER_BYTES,
    SIZE_BYTES,
    VOIDING,
    Claim,
    CommandMeta,
    Meta,
    Voiding,
)
from refold.schemas.plurals import counted
from refold.schemas.record import Record

FRAME_BYTES = HEADER_BYTES + SIZE_BYTES
_FRAME = Struct(">BII")
Values = tuple[Any, ...]
"""An envelope's fields except the size, in order, ids as bytes."""
_EVENT_IDS = ("writer", "command_id", "body_hash", "event_id")


class Envelope:
    """One of the frozen envelopes: ids at constant places, then fields of varying length."""

    def __init__(self, schema: dict[str, Any], *ids: str) -> None:
        fields = resolved(schema["fields"])[1:]
        self._record, self._ids = Record(fields, named=False), len(ids)
        self.names = tuple(field["name"] for field in fields)
        self._texts = [n for n, field in enumerate(fields) if field["type"] in ("string", ["null", "string"])]
        self._held = attrgetter(*self.names)

    def write(self, envelope: Meta | CommandMeta | Claim | Voiding | Values) -> bytes:
        """The envelope's bytes without the size."""
        return self._record.write(envelope if isinstance(envelope, tuple) else self._values(envelope))

    def _values(self, envelope: Meta | CommandMeta | Claim | Voiding) -> Values:
        values = self._held(envelope)
        ids = [raw if isinstance(raw, bytes) else raw.bytes for raw in values[: self._ids]]
        return (*ids, *values[self._ids :])

    def read(self, value: bytes) -> tuple[Values, int]:
        """The fields, ids as bytes, and where the body begins. Raises IndexError, ValueError or OverflowError."""
        values, end = self._record.read(value, FRAME_BYTES)
        for place in self._texts:
            if (text := values[place]) is not None and "\0" in text:
                raise ValueError(f"NUL in {self.names[place]}")
        return values, end

    def named(self, values: Values) -> dict[str, Any]:
        """The fields by name."""
        return dict(zip(self.names, values, strict=True))


EVENT = Envelope(EVENT_META, *_EVENT_IDS)
COMMAND = Envelope(COMMAND_META, "command_id")
CLAIMED = Envelope(CLAIM, "writer")
VOIDED = Envelope(VOIDING, "voiding_id", "writer")


def frame(schema_id: int, *parts: bytes) -> bytes:
    """A whole value: Confluent header, its size, the parts. Raises RecordTooLarge over 1 MiB."""
    size = FRAME_BYTES + sum(map(len, parts))
    if size > MAX_RECORD_BYTES:
        raise RecordTooLarge(f"{size} bytes; a record has at most {MAX_RECORD_BYTES}")
    return b"".join((_FRAME.pack(0, schema_id, size), *parts))


def framed(value: bytes | None) -> int:
    """The schema id of a value, after a check that header and size fit its bytes. Raises Undecodable."""
    if value is None:
        raise Undecodable("a null value", "null")
    if len(value) < FRAME_BYTES or value[0] != 0:
        raise Undecodable("no Confluent header", "no-header")
    _, number, size = _FRAME.unpack_from(value)
    if size != len(value):
        raise Undecodable(f"{counted(len(value), 'bytes')} where the envelope says {size}", "size")
    return int(number)


def as_meta(values: Values) -> Meta:
    """The envelope of an event or rejection from its fields."""
    fields = EVENT.named(values)
    for name in ("writer", "command_id", "event_id"):
        fields[name] = uuid_of(fields[name])
    return Meta(**fields)


def as_command_meta(values: Values) -> CommandMeta:
    """The envelope of a command from its fields."""
    fields = COMMAND.named(values)
    fields["command_id"] = uuid_of(fields["command_id"])
    return CommandMeta(**fields)


def as_claim(values: Values) -> Claim:
    """A claim from its fields."""
    fields = CLAIMED.named(values)
    fields["writer"] = uuid_of(fields["writer"])
    return Claim(**fields)


def as_voiding(values: Values) -> Voiding:
    """An operator's voiding from its fields."""
    fields = VOIDED.named(values)
    for name in ("voiding_id", "writer"):
        fields[name] = uuid_of(fields[name])
    return Voiding(**fields)
