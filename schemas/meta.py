"""The envelope, first field of every record. Its format never changes, so any version can apply the rules.

Fixed-size fields come first, so they have constant offsets after the 5 bytes of the Confluent header.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

HEADER_BYTES = 5
SIZE_BYTES = 4
RULES = 2
"""The version of the log's rules that this code applies. A claim with a greater number stops the reader."""
LAST_EPOCH = 2**63 - 1
"""The greatest epoch that a claim can hold."""

_MICROS = {"type": "long", "logicalType": "timestamp-micros"}
_TEXT_OR_NULL: list[str] = ["null", "string"]


def _fixed(name: str, size: int) -> dict[str, Any]:
    return {"type": "fixed", "name": name, "namespace": "refold", "size": size}


def _field(name: str, kind: Any, doc: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "doc": doc, **more}


EVENT_META: dict[str, Any] = {
    "type": "record",
    "name": "Meta",
    "namespace": "refold",
    "doc": "What the log's rules need to know of an event or a rejection. Frozen for ever.",
    "fields": [
        _field("size", _fixed("Size", SIZE_BYTES), "Bytes of the whole value, header included, big-endian."),
        _field("writer", _fixed("Id", 16), "The claim under which the record was appended (UUID)."),
        _field("command_id", "refold.Id", "The command that was decided (UUID)."),
        _field("body_hash", "refold.Id", "SHA-256/128 of the command's name and canonical body."),
        _field("event_id", "refold.Id", "UUIDv5 of category, stream, command id and index."),
        _field("category", "string", "Kind of stream, domain.category."),
        _field("stream", "string", "Id of the stream; also the record's key."),
        _field("version", "long", "Version of the stream after this event; of a rejection, the base version."),
        _field("base_version", "long", "Version of the stream the command was decided on."),
        _field("seq", "long", "Place of the record among all records of its writer, from 0."),
        _field("index", "int", "Place of the record in its group, from 0."),
        _field("count", "int", "Records in the group of this command."),
        _field("command_offset", "long", "Offset of the command in the topic of commands."),
        _field("occurred_at", _MICROS, "When it happened, by the client's clock (the API's, where none was given)."),
        _field("recorded_at", _MICROS, "When it was decided, by the handler's clock."),
        _field("actor", _TEXT_OR_NULL, "Who sent the command.", default=None),
        _field("correlation_id", _TEXT_OR_NULL, "Ties together what belongs to one request.", default=None),
    ],
}

COMMAND_META: dict[str, Any] = {
    "type": "record",
    "name": "CommandMeta",
    "namespace": "refold",
    "doc": "What the handler needs to know of a command. Frozen for ever.",
    "fields": [
        _field("size", _fixed("Size", SIZE_BYTES), "Bytes of the whole value, header included, big-endian."),
        _field("command_id", _fixed("Id", 16), "Id of the command (UUID); the same for each retry."),
        _field("category", "string", "Kind of stream, domain.category."),
        _field("stream", "string", "Id of the stream; also the record's key."),
        _field("expected_version", ["null", "long"], "Version the stream must have; null for any.", default=None),
        _field("occurred_at", _MICROS, "When it happened, by the client's clock."),
        _field("actor", _TEXT_OR_NULL, "Who sent the command.", default=None),
        _field("correlation_id", _TEXT_OR_NULL, "Ties together what belongs to one request.", default=None),
    ],
}

CLAIM: dict[str, Any] = {
    "type": "record",
    "name": "Claim",
    "namespace": "refold",
    "doc": "A handler takes over a partition: from here on only its records count.",
    "fields": [
        _field("size", _fixed("Size", SIZE_BYTES), "Bytes of the whole value, header included, big-endian."),
        _field("writer", _fixed("Id", 16), "New for every claim decided on (UUID)."),
        _field("epoch", "long", "Counts iff it is greater than the partition's epoch."),
        _field("rules", "int", "Version of the fold's rules that hold from here on."),
        _field("claimed_at", _MICROS, "The handler's clock."),
        _field("host", "string", "Where the handler runs, for people."),
    ],
}

VOIDING: dict[str, Any] = {
    "type": "record",
    "name": "Voiding",
    "namespace": "refold",
    "doc": "An operator takes a claim out of count. Frozen for ever.",
    "fields": [
        _field("size", _fixed("Size", SIZE_BYTES), "Bytes of the whole value, header included, big-endian."),
        _field("voiding_id", _fixed("Id", 16), "New for every voiding decided on (UUID)."),
        _field("writer", "refold.Id", "The writer of the claim that is taken out (UUID)."),
        _field("offset", "long", "Offset of that claim in this partition."),
        _field(
            "epoch",
            ["null", "long"],
            "The epoch that holds from here on, where the claim's is out of reach; null where its rules are newer.",
            default=None,
        ),
        _field("voided_at", _MICROS, "The clock of the operator's machine."),
        _field("operator", "string", "Who took it out."),
        _field("host", "string", "Where, for people."),
        _field("reason", "string", "Why, for people."),
    ],
}

REJECTED: dict[str, Any] = {
    "type": "record",
    "name": "Rejected",
    "namespace": "refold",
    "doc": "A command that the domain refused: an outcome like any other, without effect on its stream.",
    "fields": [
        {"name": "meta", "type": EVENT_META, "doc": "The log's envelope."},
        _field("command", "string", "Name of the command."),
        _field("code", "string", "Stable code of the reason."),
        _field("message", "string", "The reason, for people."),
    ],
}


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """The envelope of one event or rejection; field by field as in `EVENT_META` (without size)."""

    writer: UUID
    command_id: UUID
    body_hash: bytes
    event_id: UUID
    category: str
    stream: str
    version: int
    base_version: int
    seq: int
    index: int
    count: int
    command_offset: int
    occurred_at: datetime
    recorded_at: datetime
    actor: str | None = None
    correlation_id: str | None = None

    @property
    def is_event(self) -> bool:
        """Whether this is an event. A rejection leaves the stream at its base version."""
        return self.version > self.base_version


class CommandMeta(msgspec.Struct, frozen=True, kw_only=True):
    """The envelope of one command; field by field as in `COMMAND_META` (without size)."""

    command_id: UUID
    category: str
    stream: str
    occurred_at: datetime
    expected_version: int | None = None
    actor: str | None = None
    correlation_id: str | None = None


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim record, as in `CLAIM` (without size)."""

    writer: UUID
    epoch: int
    rules: int
    claimed_at: datetime
    host: str


class Voiding(msgspec.Struct, frozen=True, kw_only=True):
    """An operator's voiding, as in `VOIDING` (without size)."""

    voiding_id: UUID
    writer: UUID
    offset: int
    epoch: int | None = None
    voided_at: datetime
    operator: str
    host: str
    reason: str
