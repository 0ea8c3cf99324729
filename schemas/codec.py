"""One record and its bytes: Confluent header (0, 4-byte schema id), then the Avro body. The slow, exact way.

The only other module that knows Avro's encoding is `columns`, which reads many records at once.
"""

import io
from dataclasses import dataclass
from enum import Enum
from typing import Any
from uuid import UUID

import fastavro
import msgspec

from refold.schemas.avro import Schema
from refold.schemas.catalog import CLAIM_WRITER, REJECTION_WRITER, Catalog, Kind, Writer
from refold.schemas.contracts import MAX_RECORD_BYTES, Command, Event
from refold.schemas.errors import BadValue, Undecodable
from refold.schemas.meta import COMMAND_META, EVENT_META, HEADER_BYTES, SIZE_BYTES, Claim, CommandMeta, Meta
from refold.schemas.validate import from_fields

_NO_SIZE = bytes(SIZE_BYTES)
_PARSED: dict[int, Schema] = {}
_EVENT_META = fastavro.parse_schema(EVENT_META, _force=True)
_COMMAND_META = fastavro.parse_schema(COMMAND_META, _force=True)


@dataclass(frozen=True)
class Rejection:
    """The body of a rejection record."""

    command: str
    code: str
    message: str


class Codec:
    """Encode and decode single records of the catalog's schemas."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def event(self, meta: Meta, event: Event) -> bytes:
        """Raises BadValue for a field out of bounds or a record over 1 MiB."""
        return _encode(self.catalog.current(type(event)), {"meta": _event_meta(meta), **_plain(event)})

    def command(self, meta: CommandMeta, command: Command) -> bytes:
        """Raises BadValue for a record over 1 MiB."""
        envelope = {**msgspec.structs.asdict(meta), "size": _NO_SIZE, "command_id": meta.command_id.bytes}
        return _encode(self.catalog.current(type(command)), {"meta": envelope, **_plain(command)})

    def read_command(self, value: bytes | None) -> tuple[CommandMeta, Command]:
        """A whole command. Raises Undecodable (with `reason`) or BadValue."""
        framed, writer = _framed(value, self.catalog)
        if writer is None or writer.kind is not Kind.COMMAND or writer.cls is None:
            raise Undecodable("the schema id names no command of this code", "unknown-schema")
        fields = _decode(writer, framed)
        meta = _command_meta(fields.pop("meta"))
        command = from_fields(adapted(fields, writer, self.catalog.current(writer.cls)), writer.cls)
        assert isinstance(command, Command)
        return meta, command

    def read_event(self, value: bytes | None) -> tuple[Meta, Event | Rejection]:
        """A whole event or rejection. Raises Undecodable."""
        framed, writer = _framed(value, self.catalog)
        if writer is REJECTION_WRITER:
            fields = _decode(writer, framed)
            return _meta(fields.pop("meta")), Rejection(**fields)
        if writer is None or writer.kind is not Kind.EVENT or writer.cls is None:
            raise Undecodable("the schema id names no event of this code", "unknown-schema")
        fields = _decode(writer, framed)
        meta = _meta(fields.pop("meta"))
        try:
            event = from_fields(adapted(fields, writer, self.catalog.current(writer.cls)), writer.cls)
        except BadValue as problem:
            raise Undecodable(problem.message, "bad-value") from problem
        assert isinstance(event, Event)
        return meta, event


def encode_rejection(meta: Meta, rejection: Rejection) -> bytes:
    """The record that says a command was refused."""
    body = {"command": rejection.command, "code": rejection.code, "message": rejection.message[:2000]}
    return _encode(REJECTION_WRITER, {"meta": _event_meta(meta), **body})


def encode_claim(claim: Claim) -> bytes:
    """The record with which a handler takes over a partition."""
    fields = {**msgspec.structs.asdict(claim), "size": _NO_SIZE, "writer": claim.writer.bytes}
    return _encode(CLAIM_WRITER, fields)


def read_envelope(value: bytes | None) -> Claim | Meta:
    """What the log's rules need, whatever schema the rest has. Raises Undecodable: a foreign record."""
    number, body = _header(value)
    if number == CLAIM_WRITER.id:
        fields = _decode(CLAIM_WRITER, body)
        fields.pop("size")
        return Claim(**{**fields, "writer": UUID(bytes=fields["writer"])})
    try:
        return _meta(fastavro.schemaless_reader(io.BytesIO(body), _EVENT_META, None))
    except Exception as problem:  # fastavro raises a dozen kinds on bad bytes, and each means the same here
        raise Undecodable(f"no readable envelope: {problem}", "no-envelope") from problem


def read_command_envelope(value: bytes | None) -> CommandMeta:
    """The envelope of a command whose body may be unreadable. Raises Undecodable."""
    _, body = _header(value)
    try:
        return _command_meta(fastavro.schemaless_reader(io.BytesIO(body), _COMMAND_META, None))
    except Exception as problem:  # as above
        raise Undecodable(f"no readable envelope: {problem}", "no-envelope") from problem


def read_fields(writer: Writer, value: bytes) -> dict[str, Any]:
    """All fields of a record whose schema is known, `meta` as a dict. Raises Undecodable."""
    return _decode(writer, _header(value)[1])


def adapted(fields: dict[str, Any], writer: Writer, reader: Writer) -> dict[str, Any]:
    """Fields as today's schema has them: defaults for those added since, none of those removed."""
    if writer.id == reader.id:
        return fields
    return {f["name"]: fields.get(f["name"], f.get("default")) for f in reader.fields}


def _header(value: bytes | None) -> tuple[int, bytes]:
    if value is None:
        raise Undecodable("a null value", "null")
    if len(value) < HEADER_BYTES + SIZE_BYTES or value[0] != 0:
        raise Undecodable("no Confluent header", "no-header")
    size = int.from_bytes(value[HEADER_BYTES : HEADER_BYTES + SIZE_BYTES])
    if size != len(value):
        raise Undecodable(f"{len(value)} bytes where the envelope says {size}", "size")
    return int.from_bytes(value[1:HEADER_BYTES]), value[HEADER_BYTES:]


def _framed(value: bytes | None, catalog: Catalog) -> tuple[bytes, Writer | None]:
    number, body = _header(value)
    return body, catalog.by_id.get(number)


def _decode(writer: Writer, body: bytes) -> dict[str, Any]:
    stream = io.BytesIO(body)
    try:
        fields = fastavro.schemaless_reader(stream, _parsed(writer), None)
    except Exception as problem:  # as in read_envelope
        raise Undecodable(f"{type(problem).__name__}: {problem}", "malformed") from problem
    if stream.tell() != len(body):
        raise Undecodable(f"{len(body) - stream.tell()} bytes behind the record", "trailing")
    assert isinstance(fields, dict)
    return fields


def _encode(writer: Writer, fields: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    out.write(b"\0" + writer.id.to_bytes(4))
    try:
        fastavro.schemaless_writer(out, _parsed(writer), fields)
    except (ValueError, TypeError, OverflowError, KeyError) as problem:
        raise BadValue(f"{writer.name}: {problem}") from problem
    if out.tell() > MAX_RECORD_BYTES:
        raise BadValue(f"{writer.name}: {out.tell()} bytes, at most {MAX_RECORD_BYTES} are allowed")
    out.getbuffer()[HEADER_BYTES : HEADER_BYTES + SIZE_BYTES] = out.tell().to_bytes(SIZE_BYTES)
    return out.getvalue()


def _event_meta(meta: Meta) -> dict[str, Any]:
    return {
        **msgspec.structs.asdict(meta),
        "size": _NO_SIZE,
        "writer": meta.writer.bytes,
        "command_id": meta.command_id.bytes,
        "event_id": meta.event_id.bytes,
    }


def _meta(fields: dict[str, Any]) -> Meta:
    fields.pop("size")
    for name in ("writer", "command_id", "event_id"):
        fields[name] = UUID(bytes=fields[name])
    return Meta(**fields)


def _command_meta(fields: dict[str, Any]) -> CommandMeta:
    fields.pop("size")
    fields["command_id"] = UUID(bytes=fields["command_id"])
    return CommandMeta(**fields)


def _plain(body: Event | Command) -> dict[str, Any]:
    return {k: v.value if isinstance(v, Enum) else v for k, v in msgspec.structs.asdict(body).items()}


def _parsed(writer: Writer) -> Schema:
    """Parsed once: parsing on each call costs a thousand times the decode."""
    found = _PARSED.get(writer.id)
    if found is None:
        parsed = fastavro.parse_schema(writer.schema, _force=True)
        assert isinstance(parsed, dict)
        found = _PARSED[writer.id] = parsed
    return found
