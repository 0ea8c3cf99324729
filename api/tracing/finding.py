"""Finds the commands that an id names: by the outcomes, among commands not decided yet, and in the log by their correlation."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from uuid import UUID

import polars as pl
import psycopg

from refold.api.tracing.steps import OutcomeRow
from refold.schemas.codec import read_command_envelope, read_envelope
from refold.schemas.columns.binary_column import BinaryColumn
from refold.schemas.errors import Undecodable
from refold.schemas.identity import command_uuid
from refold.schemas.meta import CommandMeta, Meta
from refold.streams.chunk import Chunk, Place
from refold.streams.core.limits import core_positions
from refold.streams.domain import Domains
from refold.streams.kafka.log_reader import LogReader
from refold.streams.kafka.offsets import LATEST, asker, offsets
from refold.streams.log.stretch import read_until
from refold.streams.log.topics import commands_topic, events_topic
from refold.streams.postgres.connection import Database

BLOCK, READ_RECORDS = 100_000, 50_000
MOST_PENDING = 20_000
"""Most commands of a partition that are not decided and are searched."""
_ASK_S, _SILENCE_S = 5.0, 15.0
_COLUMNS = "category, stream, command_id, code, message, base_version, events, part, first_offset"
_BY_ID = f"SELECT {_COLUMNS} FROM refold.outcomes WHERE command_id = %s ORDER BY category, stream LIMIT 100"
_BY_KEY = f"SELECT {_COLUMNS} FROM refold.outcomes WHERE key = ANY(%s::bytea[])"
_IN_TIME = b"SET LOCAL statement_timeout = '2s'"
_DECIDED = "SELECT category, part, last_command_offset FROM refold.claims"


@dataclass(frozen=True)
class FoundCommand:
    """A command that a record of the log names."""

    category: str
    stream: str
    command_id: UUID
    is_answer: bool
    is_asked: bool
    """Whether the id that was asked for is the command's own."""


@dataclass(frozen=True)
class PendingCommand:
    """A command in the log that is not decided."""

    place: Place
    offset: int
    meta: CommandMeta
    value: bytes

    @property
    def name(self) -> tuple[str, str, UUID]:
        """Category, stream and id."""
        return self.meta.category, self.meta.stream, self.meta.command_id


def outcomes_of(db: Database, command_id: UUID) -> list[OutcomeRow]:
    """The outcomes with a command id: one in each stream that it was sent to.

    No index has command ids: it would make every command dearer. So this looks through all outcomes. If they are too many to look
    through in time, it finds none, and the search of the log finds the command.
    """
    try:
        with db.transaction():
            db.execute(_IN_TIME)
            return [OutcomeRow(*row) for row in db.execute(_BY_ID.encode(), (command_id,)).fetchall()]
    except psycopg.errors.QueryCanceled:
        return []


def outcomes_by_key(db: Database, keys: list[bytes]) -> list[OutcomeRow]:
    """The outcomes under some keys."""
    return [OutcomeRow(*row) for row in db.execute(_BY_KEY.encode(), (keys,)).fetchall()] if keys else []


@dataclass(frozen=True)
class LogSearch:
    """Searches the log for an id, as a command's or as a correlation."""

    servers: str
    prefix: str
    domains: Domains

    def pending(self, db: Database, asked: str, command_id: UUID) -> list[PendingCommand]:
        """The commands with this id or correlation that are in the log and not decided."""
        decided = {(commands_topic(self.prefix, name), part): at + 1 for name, part, at in db.execute(_DECIDED)}
        ends = self._ends_of_commands()
        starts = {place: max(decided.get(place, 0), end - MOST_PENDING) for place, end in ends.items()}
        needles = (command_id.bytes, asked.encode())
        found = []
        for chunk in self._chunks(starts, ends):
            for offset, value in _holding(chunk, needles):
                meta = _command(value)
                if meta is not None and (meta.command_id == command_id or meta.correlation_id == asked):
                    found.append(PendingCommand(chunk.place, offset, meta, value))
        return found

    def named(
        self, db: Database, asked: str, ends: Mapping[Place, int] | None, until: float | None
    ) -> tuple[list[FoundCommand], dict[Place, int]]:
        """The commands whose events or rejections have this id or correlation, from the end of the log backwards.

        `ends`: where an earlier search has begun; None for the end. Also returns where this search began; empty if it reached the log's beginning.
        """
        topics, command_id = {events_topic(self.prefix, name) for name in self.domains.categories}, command_uuid(asked)
        left = dict(ends) if ends is not None else core_positions(db)
        left = {place: end for place, end in left.items() if place[0] in topics and end > 0}
        found: dict[FoundCommand, None] = {}
        while left:
            starts = {place: max(0, end - BLOCK) for place, end in left.items()}
            for chunk in self._chunks(starts, left):
                found |= dict.fromkeys(_named(chunk, asked, command_id))
            left = {place: start for place, start in starts.items() if start > 0}
            if until is not None and time.monotonic() > until:
                break
        return list(found), left

    def _ends_of_commands(self) -> dict[Place, int]:
        topics = [commands_topic(self.prefix, name) for name in self.domains.categories]
        with closing(asker(self.servers)) as client:
            there = client.list_topics(timeout=_ASK_S).topics
            places = [(topic, part) for topic in topics if topic in there for part in there[topic].partitions]
            return offsets(client, places, LATEST, _ASK_S)

    def _chunks(self, starts: Mapping[Place, int], ends: Mapping[Place, int]) -> Iterator[Chunk]:
        """The records from starts to ends, some at a time."""
        left = {place: start for place, start in starts.items() if start < ends[place]}
        if left:
            with closing(LogReader(self.servers, left, records=READ_RECORDS)) as reader:
                yield from read_until(reader, {place: ends[place] for place in left}, _SILENCE_S)


def _holding(chunk: Chunk, needles: tuple[bytes, ...]) -> Iterator[tuple[int, bytes]]:
    """The records that hold one of some bytes anywhere: few, and then read one by one."""
    values = chunk.values.series if isinstance(chunk.values, BinaryColumn) else pl.Series(list(chunk.values))
    held = pl.Series([False]).new_from_index(0, len(values))
    for needle in needles:
        held |= values.bin.contains(needle).fill_null(value=False)
    for row in held.arg_true().to_list():
        yield chunk.start + row, bytes(values[row])


def _named(chunk: Chunk, asked: str, command_id: UUID) -> Iterator[FoundCommand]:
    for _, value in _holding(chunk, (asked.encode(), command_id.bytes)):
        try:
            meta = read_envelope(value)
        except Undecodable:
            continue
        if isinstance(meta, Meta) and (meta.correlation_id == asked or meta.command_id == command_id):
            is_answer = (meta.actor or "").startswith("reactor:")
            yield FoundCommand(meta.category, meta.stream, meta.command_id, is_answer, meta.command_id == command_id)


def _command(value: bytes) -> CommandMeta | None:
    try:
        return read_command_envelope(value)
    except Undecodable:
        return None
