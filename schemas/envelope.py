"""The frozen first field of each record as bytes, and back: the same in every version of every schema.

Behind the five bytes of the Confluent header stand the size of the whole value and ids of 16 bytes each, then what varies.
"""

from operator import attrgetter
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
    Claim,
    CommandMeta,
    Meta,
)
from refold.schemas.record import Record

FRAME_BYTES = HEADER_BYTES + SIZE_BYTES
_ID_BYTES = 16
_EVENT_IDS = ("writer", "command_id", "body_hash", "event_id")


class Envelope:
    """One of the frozen envelopes: ids at constant places, then fields of varying length."""

    def __init__(self, schema: dict[str, Any], *ids: str) -> None:
        varying = resolved(schema["fields"])[1 + len(ids) :]
        self._ids, self._record = ids, Record(varying)
        self._held_ids = attrgetter(*ids) if len(ids) > 1 else lambda envelope: (getattr(envelope, ids[0]),)
        self._texts = [field["name"] for field in varying if field["type"] in ("string", ["null", "string"])]
        self._values = attrgetter(*(field["name"] for field in varying))

    def write(self, envelope: Meta | CommandMeta | Claim) -> bytes:
        """All of it but the size."""
        ids = b"".join([raw if isinstance(raw, bytes) else raw.bytes for raw in self._held_ids(envelope)])
        if len(ids) != _ID_BYTES * len(self._ids):
            raise ValueError("an id of other than 16 bytes")
        return ids + self._record.write(self._values(envelope))

    def read(self, value: bytes) -> tuple[dict[str, Any], int]:
        """Its fields, ids as bytes, and where the body begins. Raises IndexError, ValueError or OverflowError."""
        at = FRAME_BYTES + _ID_BYTES * len(self._ids)
        fields, end = self._record.read(value, at)
        for place, name in enumerate(self._ids):
            at = FRAME_BYTES + _ID_BYTES * place
            fields[name] = value[at : at + _ID_BYTES]
        for name in self._texts:
            if (text := fields[name]) is not None and "\0" in text:
                raise ValueError(f"NUL in {name}")
        return fields, end


EVENT = Envelope(EVENT_META, *_EVENT_IDS)
COMMAND = Envelope(COMMAND_META, "command_id")
CLAIMED = Envelope(CLAIM, "writer")


def frame(schema_id: int, *parts: bytes) -> bytes:
    """A whole value: Confluent header, its size, the parts. Raises RecordTooLarge over 1 MiB."""
    size = FRAME_BYTES + sum(map(len, parts))
    if size > MAX_RECORD_BYTES:
        raise RecordTooLarge(f"{size} bytes; a record has at most {MAX_RECORD_BYTES}")
    return b"".join((b"\0", schema_id.to_bytes(4), size.to_bytes(SIZE_BYTES), *parts))


def framed(value: bytes | None) -> int:
    """The schema id of a value whose header and size fit its bytes. Raises Undecodable."""
    if value is None:
        raise Undecodable("a null value", "null")
    if len(value) < FRAME_BYTES or value[0] != 0:
        raise Undecodable("no Confluent header", "no-header")
    size = int.from_bytes(value[HEADER_BYTES:FRAME_BYTES])
    if size != len(value):
        raise Undecodable(f"{len(value)} bytes where the envelope says {size}", "size")
    return int.from_bytes(value[1:HEADER_BYTES])


def as_meta(fields: dict[str, Any]) -> Meta:
    """The envelope of an event or rejection from its fields."""
    for name in ("writer", "command_id", "event_id"):
        fields[name] = uuid_of(fields[name])
    return Meta(**fields)


def as_command_meta(fields: dict[str, Any]) -> CommandMeta:
    """The envelope of a command from its fields."""
    fields["command_id"] = uuid_of(fields["command_id"])
    return CommandMeta(**fields)


def as_claim(fields: dict[str, Any]) -> Claim:
    """A claim from its fields."""
    fields["writer"] = uuid_of(fields["writer"])
    return Claim(**fields)
