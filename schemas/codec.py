"""Encodes and decodes one record: the Confluent header (0, 4-byte schema id), then the Avro body, checked exactly.

`columns` reads many records at once, and passes each record that it is not sure of to this module.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from refold.schemas import envelope
from refold.schemas.catalog import CLAIM_WRITER, REJECTION_WRITER, VOIDING_WRITER, Catalog, Kind, Writer
from refold.schemas.contracts import Command, Event
from refold.schemas.envelope import CLAIMED, COMMAND, EVENT, FRAME_BYTES, VOIDED, Envelope, Values, frame, framed
from refold.schemas.errors import BadValue, NewerSchema, Undecodable, UpcastFailed
from refold.schemas.identity import body_hash, sent_hash
from refold.schemas.meta import Claim, CommandMeta, Meta, Voiding
from refold.schemas.plurals import counted
from refold.schemas.validate import canonical, from_avro, from_log

_MOST_OF_A_MESSAGE = 2000
_UNREADABLE = (IndexError, ValueError, OverflowError)
_UNWRITABLE = (TypeError, ValueError, KeyError, AttributeError, ArithmeticError)


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

    def event(self, meta: Meta | Values, event: Event) -> bytes:
        """Encode an envelope and an event. Raises BadValue (a field does not fit, over 1 MiB) or EventRetired."""
        return _encode(self.catalog.current(type(event)), EVENT, meta, msgspec.structs.astuple(event))

    def command(self, meta: CommandMeta, command: Command) -> bytes:
        """Raises BadValue as `event` does."""
        return _encode(self.catalog.current(type(command)), COMMAND, meta, msgspec.structs.astuple(command))

    def read_command(self, value: bytes | None) -> tuple[CommandMeta, Command]:
        """A whole command. Raises Undecodable (also NewerSchema) or BadValue (a bound that msgspec checks)."""
        head, command, _ = self.read_command_under(value)
        return envelope.as_command_meta(head), command

    def read_command_under(self, value: bytes | None) -> tuple[Values, Command, bytes]:
        """The same, with the envelope as its values in the order of `COMMAND.names`, and the body's hash.

        The hash of a newer code's command covers the body as it was sent, with the fields that this code lacks. So a
        sender that repeats it finds its outcome, whichever code decided it.
        """
        writer = self._written_by(value, Kind.COMMAND)
        assert value is not None
        assert writer.cls is not None
        head, fields = _decode(writer, COMMAND, value)
        today = self.catalog.latest(writer.cls)
        command = from_avro(_of_today(fields, writer, today), writer.cls)
        assert isinstance(command, Command)
        return head, command, sent_hash(writer.name, writer.fields, fields) if writer.newer else body_hash(command)

    def read_event(self, value: bytes | None) -> tuple[Meta, Event | Rejection]:
        """A whole event or rejection. A retired event is returned as its own class. Raises Undecodable."""
        if framed(value) == REJECTION_WRITER.id and value is not None:
            head, fields = _decode(REJECTION_WRITER, EVENT, value)
            return envelope.as_meta(head), Rejection(**fields)
        writer = self._written_by(value, Kind.EVENT)
        assert value is not None
        assert writer.cls is not None
        head, fields = _decode(writer, EVENT, value)
        try:
            event = from_log(_of_today(fields, writer, self.catalog.latest(writer.cls)), writer.cls)
        except (TypeError, ValueError) as problem:
            raise Undecodable(f"{writer.name}: {problem}", "bad-value") from problem
        assert isinstance(event, Event)
        return envelope.as_meta(head), event

    def read_events(self, value: bytes | None) -> tuple[Meta, tuple[Event, ...] | Rejection]:
        """A rejection, or a stored event as today's events: itself or its upcast. Raises Undecodable."""
        meta, found = self.read_event(value)
        if isinstance(found, Rejection):
            return meta, found
        if not self.catalog.is_retired(type(found)):
            return meta, (found,)
        events = [self.read_event(today)[1] for today in self.upcast(value)]
        return meta, tuple(event for event in events if isinstance(event, Event))

    def _written_by(self, value: bytes | None, kind: Kind) -> Writer:
        """The schema of a record that this code can read. Raises Undecodable, and what asking the log raises."""
        writer = self.catalog.find(framed(value))
        if writer is None or writer.kind is not kind:
            raise Undecodable(f"the schema id names no {kind.value} of this code", "unknown-schema")
        if writer.needs_newer_code:
            why = writer.unresolved or f"this code has no such {kind.value}"
            raise NewerSchema(f"{writer.category}.{writer.name} (schema {writer.id}) is of newer code: {why}")
        if writer.cls is None:
            raise Undecodable(f"the schema id names no {kind.value} of this code", "unknown-schema")
        return writer

    def upcast(self, value: bytes | None) -> list[bytes]:
        """A retired event as the records that today's code would have written for it. Raises Undecodable.

        Each has the stored envelope, byte for byte, and the body of one event of today, so rows and columns read the
        same.
        """
        _, found = self.read_event(value)
        assert value is not None
        assert isinstance(found, Event)
        head = value[FRAME_BYTES : EVENT.read(value)[1]]
        return [self._with_body(head, event) for event in self.catalog.todays(found)]

    def _with_body(self, head: bytes, event: Event) -> bytes:
        writer = self.catalog.current(type(event))
        try:
            return frame(writer.id, head, writer.body.write(msgspec.structs.astuple(canonical(event))))
        except BadValue as problem:
            raise UpcastFailed(f"{writer.name}: {problem.field}: {problem.message}") from problem
        except _UNWRITABLE as problem:
            raise UpcastFailed(f"{writer.name}: {problem}") from problem


def encode_rejection(meta: Meta | Values, rejection: Rejection) -> bytes:
    """The record of a command's rejection. Its texts never make it fail: a rejection must always be written."""
    texts = (rejection.command, rejection.code, rejection.message)
    return _encode(REJECTION_WRITER, EVENT, meta, tuple(writable(text) for text in texts))


def encode_claim(claim: Claim) -> bytes:
    """The record with which a handler takes over a partition."""
    return frame(CLAIM_WRITER.id, CLAIMED.write(claim))


def encode_voiding(voiding: Voiding) -> bytes:
    """The record with which an operator cancels a claim."""
    return frame(VOIDING_WRITER.id, VOIDED.write(voiding))


def read_envelope(value: bytes | None) -> Claim | Voiding | Meta:
    """The envelope that the log's rules need, under any schema. Raises Undecodable for a foreign record."""
    number = framed(value)
    assert value is not None
    if number == CLAIM_WRITER.id:
        return envelope.as_claim(_decode(CLAIM_WRITER, CLAIMED, value)[0])
    if number == VOIDING_WRITER.id:
        return envelope.as_voiding(_decode(VOIDING_WRITER, VOIDED, value)[0])
    return envelope.as_meta(_head(EVENT, value))


def read_meta(value: bytes | None) -> Meta | None:
    """The envelope of an event or rejection; None for any other record."""
    try:
        found = read_envelope(value)
    except Undecodable:
        return None
    return found if isinstance(found, Meta) else None


def read_command_envelope(value: bytes | None) -> CommandMeta:
    """The envelope of a command; its body may be unreadable. Raises Undecodable."""
    framed(value)
    assert value is not None
    return envelope.as_command_meta(_head(COMMAND, value))


def read_fields(writer: Writer, value: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of the envelope (ids as bytes) and of the body, of a record with a sound frame. Raises Undecodable."""
    kind = {Kind.CLAIM: CLAIMED, Kind.VOIDING: VOIDED, Kind.COMMAND: COMMAND}.get(writer.kind, EVENT)
    head, fields = _decode(writer, kind, value)
    return kind.named(head), fields


def _of_today(fields: dict[str, Any], writer: Writer, today: Writer) -> dict[str, Any]:
    """The fields that today's class has. The class itself fills in those added since."""
    if writer.id == today.id:
        return fields
    return {field["name"]: fields[field["name"]] for field in today.fields if field["name"] in fields}


def _head(kind: Envelope, value: bytes) -> Values:
    try:
        return kind.read(value)[0]
    except _UNREADABLE as problem:
        raise Undecodable(f"no readable envelope: {problem}", "no-envelope") from problem


def _decode(writer: Writer, kind: Envelope, value: bytes) -> tuple[Values, dict[str, Any]]:
    try:
        head, at = kind.read(value)
        fields, end = writer.body.read(value, at)
    except _UNREADABLE as problem:
        raise Undecodable(f"{writer.name}: {problem}", "malformed") from problem
    if end != len(value):
        raise Undecodable(f"{counted(len(value) - end, 'bytes')} after the record", "trailing")
    return head, fields


def _encode(writer: Writer, kind: Envelope, head: Meta | CommandMeta | Values, values: tuple[Any, ...]) -> bytes:
    try:
        return frame(writer.id, kind.write(head), writer.body.write(values))
    except _UNWRITABLE as problem:
        raise BadValue(f"{writer.name}: {problem}") from problem


def writable(text: str) -> str:
    """The text shortened, and without characters that Avro or Postgres cannot hold."""
    return text[:_MOST_OF_A_MESSAGE].replace("\0", "\ufffd").encode(errors="replace").decode()
