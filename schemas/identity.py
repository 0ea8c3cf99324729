"""Computes the ids and hashes on which every process of every version must agree."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from operator import attrgetter
from typing import Any
from uuid import UUID, uuid5

import msgspec

from refold.schemas.avro import schema_of
from refold.schemas.binary import uuid_of
from refold.schemas.contracts import Command

NAMESPACE = UUID("6f0d3c9e-5a3b-5d59-9f0e-0a5a6d3c7b11")


def command_uuid(key: str) -> UUID:
    """The command id of an Idempotency-Key: the key itself if it is a UUID, else a UUIDv5 of it."""
    try:
        return UUID(key)
    except ValueError:
        return uuid5(NAMESPACE, f"key/{key}")


def fact_uuid(source: str, event_id: str) -> UUID:
    """The id of the command that publishes a fact, from its producer's name of itself and of the event."""
    return uuid5(NAMESPACE, f"fact/{len(source)}/{source}/{event_id}")


def unreadable_command_uuid(topic: str, part: int, offset: int) -> UUID:
    """The id under which an undecodable command is rejected, from its offset: nothing else is known of it."""
    return uuid5(NAMESPACE, f"at/{topic}/{part}/{offset}")


def reaction_uuid(reactor: str, event_id: UUID, index: int) -> UUID:
    """The id of the index-th command with which a reactor answers an event. A repeated answer has the same id."""
    return uuid5(NAMESPACE, f"reaction/{reactor}/{event_id}/{index}")


def event_uuid(category: str, stream: str, command_id: UUID, index: int) -> UUID:
    """The UUIDv5 of the index-th event of a command, so a retry makes the same id."""
    return uuid_of(event_id(category, stream, command_id.bytes, index))


def event_id(category: str, stream: str, command_id: bytes, index: int) -> bytes:
    """The same, with ids as 16 bytes."""
    name = f"{category}/{stream}/{index}".encode()
    named = int.from_bytes(hashlib.sha1(command_id + name, usedforsecurity=False).digest()[:16])
    return (named & _NO_MARKS | _VERSION_5).to_bytes(16)


def outcome_key(category: str, stream: str, command_id: bytes) -> bytes:
    """16 bytes for (category, stream, command id), since a command id is unique only within its stream."""
    return hashlib.sha256(f"{category}\0{stream}\0".encode() + command_id).digest()[:16]


def body_hash(command: Command) -> bytes:
    """SHA-256/128 of `canonical_json` of a command in canonical form (`validate.canonical`)."""
    return hashlib.sha256(canonical_json(command)).digest()[:16]


def canonical_json(command: Command) -> bytes:
    r"""`["Name",{…}]` in UTF-8: keys sorted, no spaces, fields equal to their default left out.

    Only `"`, `\` and control characters are escaped (the short way if JSON has one, else \u00xx in lower case);
    decimals are strings in plain notation with all their places, times are RFC 3339 in UTC with Z and either no
    fraction or six digits, enums are their values. This format never changes: outcomes are found by its hash.
    """
    names, values_of, defaults, fine = _plan(type(command))
    fields = dict(zip(names, values_of(command), strict=True))
    for name in fine:
        fields[name] = _plain(fields[name])
    for name, default in defaults:
        if fields[name] == default:
            del fields[name]
    return _JSON.encode((type(command).__name__, fields))


def sent_hash(name: str, fields: Sequence[Mapping[str, Any]], values: Mapping[str, Any]) -> bytes:
    """The body hash of a command of other code, from its values in Avro and the defaults of that code's schema.

    That code's `body_hash` gives the same.
    """
    sent = {f["name"]: _plain(values[f["name"]]) for f in sorted(fields, key=lambda f: str(f["name"]))}
    for field in fields:
        if "default" in field and sent[field["name"]] == field["default"]:
            del sent[field["name"]]
    return hashlib.sha256(_JSON.encode((name, sent))).digest()[:16]


def raw_hash(value: bytes | None) -> bytes:
    """The body hash of a command that cannot be decoded."""
    return hashlib.sha256(value or b"").digest()[:16]


@cache
def _plan(
    kind: type[Command],
) -> tuple[list[str], Callable[[Command], tuple[Any, ...]], list[tuple[str, object]], list[str]]:
    """The names in order, a getter of their values as a tuple, existing defaults, and the fields that need `_plain`."""
    fields = sorted(msgspec.structs.fields(kind), key=lambda field: field.name)
    names = [field.name for field in fields]
    getter = attrgetter(*names) if len(names) > 1 else lambda command: tuple(getattr(command, name) for name in names)
    defaults = [(f.name, f.default) for f in fields if f.default is not msgspec.NODEFAULT]
    defaults += [(f.name, f.default_factory()) for f in fields if f.default_factory is not msgspec.NODEFAULT]
    fine = [
        f["name"] for f in schema_of(kind, "any.any")["fields"][1:] if _places(f["type"]) > _MOST_PLACES_AS_THEY_ARE
    ]
    return names, getter, defaults, fine


def _places(kind: Any) -> int:
    match kind:
        case ["null", inner] | {"type": "array", "items": inner}:
            return _places(inner)
        case {"scale": int(scale)}:
            return scale
    return 0


def _plain(value: Any) -> Any:
    """The value as JSON has it. Decimals become plain text: `str` writes an exponent for small ones."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return format(value, "f") if isinstance(value, Decimal) else value


_NO_MARKS, _VERSION_5 = ~((0xF000 << 64) | (0xC000 << 48)), (0x5000 << 64) | (0x8000 << 48)
_MOST_PLACES_AS_THEY_ARE = 6
_JSON = msgspec.json.Encoder()
