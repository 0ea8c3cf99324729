"""One record and its bytes: Confluent header (0, 4-byte schema id), then the Avro body. The exact way, record by record.

`columns` reads many records at once, and comes here with each one that it is not sure of.
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
        """An envelope, or its values, and an event. Raises BadValue for a field that has no place in its type or a record over 1 MiB, EventRetired."""
        return _encode(self.catalog.current(type(event)), EVENT, meta, msgspec.structs.astuple(event))

    def command(self, meta: CommandMeta, command: Command) -> bytes:
        """Raises BadValue as `event` does."""
        return _encode(self.catalog.current(type(command)), COMMAND, meta, msgspec.structs.astuple(command))

    def read_command(self, value: bytes | None) -> tuple[CommandMeta, Command]:
        """A whole command. Raises Undecodable (with `reason`; NewerSchema among them) or BadValue (a bound that msgspec checks)."""
        head, command, _ = self.read_command_under(value)
        return envelope.as_command_meta(head), command

    def read_command_under(self, value: bytes | None) -> tuple[Values, Command, bytes]:
        """The same, the envelope as its values in the order of `COMMAND.names`; and the body's hash.

        That of newer code's command is over the body as it was sent, with what this code does not have: whoever sends it again
        finds its outcome, whichever code decided it.
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
        """A whole event or rejection; an event of a retired type as its own class. Raises Undecodable."""
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
        """A rejection, or the events of today that a stored one is: itself, or what is upcast from it. Raises Undecodable."""
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
        """The records that would stand in the log had today's code written a retired event. Raises Undecodable.

        Each is the stored envelope, byte by byte, and the body of one event of today: rows and columns cannot but read the
        same of it.
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
    """The record that says a command was refused. Never fails for its texts: a refusal must always find a place."""
    texts = (rejection.command, rejection.code, rejection.message)
    return _encode(REJECTION_WRITER, EVENT, meta, tuple(writable(text) for text in texts))


def encode_claim(claim: Claim) -> bytes:
    """The record with which a handler takes over a partition."""
    return frame(CLAIM_WRITER.id, CLAIMED.write(claim))


def encode_voiding(voiding: Voiding) -> bytes:
    """The record with which an operator takes a claim out of count."""
    return frame(VOIDING_WRITER.id, VOIDED.write(voiding))


def read_envelope(value: bytes | None) -> Claim | Voiding | Meta:
    """What the log's rules need, whatever schema the rest has. Raises Undecodable: a foreign record."""
    number = framed(value)
    assert value is not None
    if number == CLAIM_WRITER.id:
        return envelope.as_claim(_decode(CLAIM_WRITER, CLAIMED, value)[0])
    if number == VOIDING_WRITER.id:
        return envelope.as_voiding(_decode(VOIDING_WRITER, VOIDED, value)[0])
    return envelope.as_meta(_head(EVENT, value))


def read_command_envelope(value: bytes | None) -> CommandMeta:
    """The envelope of a command whose body may be unreadable. Raises Undecodable."""
    framed(value)
    assert value is not None
    return envelope.as_command_meta(_head(COMMAND, value))


def read_fields(writer: Writer, value: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of the envelope (ids as bytes) and of the body, of a record whose frame is sound. Raises Undecodable."""
    kind = {Kind.CLAIM: CLAIMED, Kind.VOIDING: VOIDED, Kind.COMMAND: COMMAND}.get(writer.kind, EVENT)
    head, fields = _decode(writer, kind, value)
    return kind.named(head), fields


def _of_today(fields: dict[str, Any], writer: Writer, today: Writer) -> dict[str, Any]:
    """Only the fields that today's class has; it fills in those added since by itself."""
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
        raise Undecodable(f"{len(value) - end} bytes behind the record", "trailing")
    return head, fields


def _encode(writer: Writer, kind: Envelope, head: Meta | CommandMeta | Values, values: tuple[Any, ...]) -> bytes:
    try:
        return frame(writer.id, kind.write(head), writer.body.write(values))
    except _UNWRITABLE as problem:
        raise BadValue(f"{writer.name}: {problem}") from problem


def writable(text: str) -> str:
    """What Avro and Postgres can both hold of a text."""
    return text[:_MOST_OF_A_MESSAGE].replace("\0", "\ufffd").encode(errors="replace").decode()
