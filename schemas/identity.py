"""Ids and hashes that every process, in every version, must compute alike."""

import hashlib
import json
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from uuid import UUID, uuid5

import msgspec

from refold.schemas.contracts import Command

NAMESPACE = UUID("6f0d3c9e-5a3b-5d59-9f0e-0a5a6d3c7b11")


def command_uuid(key: str) -> UUID:
    """The command id of an Idempotency-Key: the key itself if it is a UUID, else a UUIDv5 of it."""
    try:
        return UUID(key)
    except ValueError:
        return uuid5(NAMESPACE, f"key/{key}")


def unreadable_command_uuid(topic: str, part: int, offset: int) -> UUID:
    """The id under which an undecodable command is rejected: nothing but its place in the log is known."""
    return uuid5(NAMESPACE, f"at/{topic}/{part}/{offset}")


def event_uuid(category: str, stream: str, command_id: UUID, index: int) -> UUID:
    """The id of the index-th event of a command: a retry makes the same one."""
    return uuid5(command_id, f"{category}/{stream}/{index}")


def outcome_key(category: str, stream: str, command_id: bytes) -> bytes:
    """16 bytes that name (category, stream, command id): a command id is unique only within its stream."""
    return hashlib.sha256(b"\0".join((category.encode(), stream.encode(), command_id))).digest()[:16]


def body_hash(command: Command) -> bytes:
    """SHA-256/128 over the command's name and the canonical JSON of its fields, defaults left out."""
    defaults = _defaults(type(command))
    fields = {
        name: value
        for name, value in msgspec.structs.asdict(command).items()
        if name not in defaults or value != defaults[name]
    }
    text = json.dumps([type(command).__name__, fields], sort_keys=True, separators=(",", ":"), default=_canonical)
    return hashlib.sha256(text.encode()).digest()[:16]


def raw_hash(value: bytes | None) -> bytes:
    """The body hash of a command that cannot be decoded."""
    return hashlib.sha256(value or b"").digest()[:16]


@cache
def _defaults(kind: type[Command]) -> dict[str, object]:
    return {f.name: f.default for f in msgspec.structs.fields(kind) if f.default is not msgspec.NODEFAULT}


def _canonical(value: object) -> object:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return msgspec.to_builtins(value)
