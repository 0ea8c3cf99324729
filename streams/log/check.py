"""Reads every stored record with today's readers and upcasters, and reports unreadable ones and whether they matter.

An unreadable event that counts would stop or park its readers: a failure. One that does not count (`refold.voids`) is
skipped by all. A broken command is no failure: a rejection answers it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import psycopg

from refold.schemas.catalog import Kind, Writer
from refold.schemas.columns.decoder import Bad, ColumnDecoder, Heads, read_heads, unreadable
from refold.schemas.columns.upcast import todays_events
from refold.schemas.errors import NewerSchema
from refold.streams.chunk import Chunk
from refold.streams.domain import Domains
from refold.streams.log.topics import category_of, follow_log
from refold.streams.log.uncoded import uncoded_categories
from refold.streams.log.whole_log import places_of, whole_log
from refold.streams.postgres.connection import Database
from refold.streams.settings import Settings

LISTED = 20
Progress = Callable[[int, int], None]
_AHEAD = 2
_OTHER_SCHEMA = -2
_NAMING_BYTES = 5


@dataclass
class SchemaCount:
    """The log's content under one schema. `id`: -1 for values that name none. `upcast`: records of a retired type."""

    id: int
    kind: str
    schema: str
    records: int = 0
    fell_back: int = 0
    upcast: int = 0
    unreadable: int = 0


@dataclass(frozen=True)
class Unread:
    """A record that today's code cannot read. `standing`: event (it counts), void or command."""

    topic: str
    part: int
    offset: int
    schema: str
    reason: str
    standing: str
    detail: str = ""


@dataclass
class Found:
    """The findings of a check so far. `listed`: each partition's first, and others up to LISTED."""

    records: int = 0
    schemas: dict[int, SchemaCount] = field(default_factory=dict)
    standings: dict[str, int] = field(default_factory=lambda: {"event": 0, "void": 0, "command": 0})
    listed: list[Unread] = field(default_factory=list)
    voids_known: bool = True
    uncoded: dict[str, int] = field(default_factory=dict)
    """Categories that the log has but no code, with their count of records; none of those is read."""

    @property
    def failed(self) -> int:
        """Number of events that count but cannot be read."""
        return self.standings["event"]

    def in_order(self) -> list[Unread]:
        """The listed records, by place and offset."""
        return sorted(self.listed, key=lambda one: (one.topic, one.part, one.offset))

    def add(self, unread: Unread) -> None:
        """Count an unreadable record, and list it if there is room."""
        self.standings[unread.standing] += 1
        seen = {(other.topic, other.part, other.standing) for other in self.listed}
        if len(self.listed) < LISTED or (unread.topic, unread.part, unread.standing) not in seen:
            self.listed.append(unread)


class LogCheck:
    """Decodes chunks by columns and collects findings. `db` is None if no Postgres answers."""

    def __init__(self, prefix: str, domains: Domains, db: Database | None) -> None:
        self._prefix, self._catalog, self._db = prefix, domains.catalog, db
        self._decoder = ColumnDecoder(domains.catalog, thin=False)
        self.found = Found(voids_known=db is not None)

    def check(self, chunk: Chunk) -> None:
        """Decode every record of a chunk."""
        heads = read_heads(chunk.values)
        self._catalog.know(heads.present)
        bad = unreadable(chunk.values, heads, self._catalog)
        for number in heads.present:
            count = self._count(number)
            count.records += len(heads.rows_of(number))
            if number in self._catalog.by_id:
                bad += self._decode(self._catalog.by_id[number], chunk, heads, count)
        self.found.records += len(chunk.values)
        if bad:
            self._note(chunk, heads, sorted(bad, key=lambda one: one.row))

    def _decode(self, writer: Writer, chunk: Chunk, heads: Heads, count: SchemaCount) -> list[Bad]:
        category, rows = category_of(self._prefix, chunk.topic), heads.rows_of(writer.id)
        if (writer.kind is Kind.COMMAND) != _is_commands(chunk.topic) or writer.category not in (category, "refold"):
            return [Bad(row, "wrong-topic") for row in rows.tolist()]
        if writer.cls is None and writer.kind in (Kind.EVENT, Kind.COMMAND):
            if writer.newer:
                return [Bad(row, NewerSchema.code, writer.unresolved) for row in rows.tolist()]
            return [Bad(row, "no-class") for row in rows.tolist()]
        if writer.kind is Kind.EVENT:
            only = Heads(np.where(heads.schema_ids == writer.id, writer.id, _OTHER_SCHEMA))
            todays = todays_events(self._decoder, category, self._types(category), chunk.values, only)
            count.upcast += todays.upcast
            count.fell_back += todays.fell_back
            return todays.bad
        decoded = self._decoder.read(writer.id, chunk.values, heads)
        count.fell_back += decoded.fell_back
        return decoded.bad

    def _types(self, category: str) -> list[str]:
        return [event.__name__ for event in self._catalog.categories[category].events]

    def _count(self, number: int) -> SchemaCount:
        writer = self._catalog.by_id.get(number)
        made = (
            SchemaCount(number, writer.kind.value, f"{writer.category}.{writer.name}")
            if writer
            else SchemaCount(number, "unknown", "-")
        )
        return self.found.schemas.setdefault(number, made)

    def _note(self, chunk: Chunk, heads: Heads, bad: Sequence[Bad]) -> None:
        voids = [] if _is_commands(chunk.topic) else self._voids(chunk)
        for one in bad:
            offset, count = chunk.start + one.row, self.found.schemas[int(heads.schema_ids[one.row])]
            count.unreadable += 1
            void = any(first <= offset <= last for first, last in voids)
            standing = "command" if _is_commands(chunk.topic) else "void" if void else "event"
            name = self._announced(chunk.values[one.row])
            self.found.add(Unread(chunk.topic, chunk.part, offset, name, one.reason, standing, one.detail))

    def _announced(self, value: bytes | None) -> str:
        """The schema that the first bytes name, whatever follows them."""
        if value is None or len(value) < _NAMING_BYTES or value[0]:
            return "-"
        number = int.from_bytes(value[1:_NAMING_BYTES])
        writer = self._catalog.by_id.get(number)
        return f"{writer.category}.{writer.name}" if writer else f"id {number}"

    def _voids(self, chunk: Chunk) -> list[tuple[int, int]]:
        """The ranges of the chunk's offsets that the core found not to count."""
        if self._db is None:
            return []
        try:
            rows = self._db.execute(
                "SELECT first_offset, last_offset FROM refold.voids"
                " WHERE topic = %s AND part = %s AND first_offset < %s AND last_offset >= %s",
                (chunk.topic, chunk.part, chunk.end, chunk.start),
            ).fetchall()
        except psycopg.Error:
            self._db, self.found.voids_known = None, False
            return []
        return [(int(first), int(last)) for first, last in rows]


def check_log(settings: Settings, domains: Domains, db: Database | None, progress: Progress) -> Found:
    """Read and decode the whole log up to its current end. Raises KafkaUnavailable, LogTrimmed, LogHole."""
    follow_log(settings, domains)
    check = LogCheck(settings.topic_prefix, domains, db)
    check.found.uncoded = uncoded_categories(settings, domains)
    pending: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="check") as checking:
        for chunk, done, whole in whole_log(settings, places_of(settings, domains)):
            pending.append(checking.submit(check.check, chunk))
            if len(pending) > _AHEAD:
                pending.popleft().result()
            progress(done, whole)
        for rest in pending:
            rest.result()
    return check.found


def _is_commands(topic: str) -> bool:
    return topic.endswith(".commands")
