"""Reads records of a commands topic as commands to decide. Total: an unreadable record becomes a command to reject."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from refold.schemas.codec import Codec, read_command_envelope
from refold.schemas.contracts import Command, is_stream_id
from refold.schemas.errors import BadValue, NewerSchema, Undecodable
from refold.schemas.identity import raw_hash, unreadable_command_uuid
from refold.streams import journal, metrics
from refold.streams.chunk import Chunk, Place
from refold.streams.decider import Rejected
from refold.streams.handler.decide import UNREADABLE, Incoming
from refold.streams.kafka.partitioner import partition_of
from refold.streams.postgres.set_aside import CODE_KILLS, SetAside, original
from refold.streams.refusals import first_line

_log = logging.getLogger(__name__)
UNKNOWN_NAME = "unknown"
_KEPT = 8192
"""Number of stream keys whose partition is cached. A cache of all of a shop's streams would grow beyond tens of MB."""
_KILLS = Rejected(CODE_KILLS, "the domain's code ends the process on this command")


class CommandReader:
    """Reads the commands of one category."""

    def __init__(self, codec: Codec, category: str, partitions: int) -> None:
        self._codec, self._category, self._partitions = codec, codec.catalog.categories[category], partitions

    def read(self, chunk: Chunk) -> list[Incoming]:
        """The chunk's records as commands, in order. A look-up of a schema in the log may fail: raises its errors."""
        keys: Sequence[bytes | None] = chunk.keys or [None] * len(chunk.values)
        rows = enumerate(zip(chunk.values, keys, strict=True), chunk.start)
        return [self._one(chunk, offset, value, key) for offset, (value, key) in rows]

    def _one(self, chunk: Chunk, offset: int, value: bytes | None, key: bytes | None) -> Incoming:
        try:
            head, command, body_hash = self._codec.read_command_under(_decodable(value))
            command_id, category, stream, expected_version, occurred_at, actor, correlation_id = head
            self._belongs(category, stream, key, chunk.part)
            self._names_its_stream(command, stream)
        except (Undecodable, BadValue) as problem:
            return self._unreadable(chunk, offset, value, key, problem)
        return Incoming(
            type(command).__name__,
            _KILLS if isinstance(value, SetAside) else command,
            command_id,
            body_hash,
            stream,
            offset,
            occurred_at,
            expected_version,
            actor,
            correlation_id,
        )

    def _belongs(self, category: str, stream: str, key: bytes | None, part: int) -> None:
        """Refuse a record whose key or partition is not its stream's: it would be decided out of order."""
        home = _home_of(key, self._partitions) if key == stream.encode() else None
        if home is None or category != self._category.name:
            raise Undecodable("the record's key is not the stream of its envelope", "key")
        if home != part:
            raise Undecodable("the record lies in another partition than its key's", "partition")

    def _names_its_stream(self, command: Command, stream: str) -> None:
        if self._category.stream_of(command) != stream:
            raise BadValue(f"the field {type(command).stream_field} is not the record's stream")

    def _unreadable(
        self, chunk: Chunk, offset: int, value: bytes | None, key: bytes | None, problem: Undecodable | BadValue
    ) -> Incoming:
        """An unreadable command, under its own id if its envelope is sound: so its sender gets the answer.

        Else its id is made from its place. A command of newer code is not rejected, unless it is misplaced.
        """
        reason = problem.reason if isinstance(problem, Undecodable) else problem.code
        rejection: Rejected | NewerSchema = Rejected(UNREADABLE, problem.message)
        try:
            meta = read_command_envelope(value)
            self._belongs(meta.category, meta.stream, key, chunk.part)
            if isinstance(problem, NewerSchema):
                rejection = problem
            else:
                metrics.UNREADABLE.labels(self._category, reason).inc()
        except Undecodable as misplaced:
            metrics.UNREADABLE.labels(self._category, reason).inc()
            rejection = Rejected(UNREADABLE, (misplaced if isinstance(problem, NewerSchema) else problem).message)
            return Incoming(
                name=UNKNOWN_NAME,
                command=rejection,
                command_id=unreadable_command_uuid(chunk.topic, chunk.part, offset).bytes,
                body_hash=raw_hash(original(value)),
                stream=f"~unreadable.{chunk.part}",
                offset=offset,
                occurred_at=chunk.last_at or datetime.now(UTC),
            )
        return Incoming(
            name=UNKNOWN_NAME,
            command=rejection,
            command_id=meta.command_id.bytes,
            body_hash=raw_hash(original(value)),
            stream=meta.stream,
            offset=offset,
            occurred_at=meta.occurred_at,
            actor=meta.actor,
            correlation_id=meta.correlation_id,
        )


@lru_cache(_KEPT)
def _home_of(key: bytes, partitions: int) -> int | None:
    """The partition of a stream's key; None if the key is no stream id."""
    return partition_of(key, partitions) if is_stream_id(key) else None


def _decodable(value: bytes | None) -> bytes | None:
    """The bytes in the log. Raises Undecodable if decoding them kills the process."""
    if isinstance(value, SetAside) and value.reason != CODE_KILLS:
        raise Undecodable("decoding the command kills the process", value.reason)
    return original(value)


def about_command(place: Place, command: Incoming, problem: Exception) -> dict[str, dict[str, Any]]:
    """The log fields of a line about one command."""
    return journal.about(problem, place=place, offset=command.offset, command_id=UUID(bytes=command.command_id))


def say_undecidable(place: Place, command: Incoming, problem: Exception) -> None:
    """Log the command whose failure is about to end the process."""
    words = f"{type(problem).__name__}: {first_line(problem)}"
    told = about_command(place, command, problem)
    _log.error("handler: %s of stream %s cannot be decided: %s", command.name, command.stream, words, extra=told)
