"""Goes over a partition of events and compares it with the core's tables. Pure: records and rows come from the caller.

It judges no record: the tables say which ones do not count, and all others must add up to exactly the rows that there are.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from refold.schemas.codec import read_envelope
from refold.schemas.errors import Undecodable
from refold.schemas.identity import outcome_key
from refold.schemas.meta import Claim, Meta, Voiding
from refold.schemas.plurals import counted
from refold.streams.chunk import Chunk
from refold.streams.operation.audit.ledger import Audit, EventLedger, Finding

Ranges = Sequence[tuple[int, int, str]]
"""First and last offset of records that do not count, and the reason; in order."""


@dataclass(frozen=True)
class OutcomeRow:
    """A row of outcomes, as far as the log can tell it."""

    key: bytes
    stream: str
    command_id: UUID
    first_offset: int
    next_offset: int
    events: int


@dataclass
class _Group:
    """The records of one command that count."""

    stream: str
    first_offset: int
    next_offset: int
    records: int
    count: int
    events: int


class EventsAudit:
    """One partition of a category's events, from offset 0 to the core's position."""

    def __init__(self, audit: Audit, category: str, topic: str, part: int, ranges: Ranges) -> None:
        self.ledger = EventLedger(topic, part)
        self._audit, self._category = audit, category
        self._ranges, self._range = ranges, 0
        self._groups: dict[bytes, _Group] = {}
        self._offsets: dict[str, list[int]] = {}

    def add(self, chunk: Chunk) -> None:
        """Take the next records, with their keys."""
        keys = chunk.keys or [None] * len(chunk.values)
        for offset, (value, key) in enumerate(zip(chunk.values, keys, strict=True), chunk.start):
            self.ledger.records += 1
            reason = self._reason(offset)
            if reason:
                self._uncounted(offset, reason)
            else:
                self._counted(offset, value, key)

    def compare_outcomes(self, rows: Iterable[OutcomeRow]) -> None:
        """Compare with the partition's rows of outcomes, each row once."""
        for row in rows:
            group = self._groups.pop(row.key, None)
            if group is None:
                self._find("outcome-without-records", row.first_offset, f"{row.stream}: command {row.command_id}")
            elif (group.first_offset, group.next_offset, group.events) != (
                row.first_offset,
                row.next_offset,
                row.events,
            ):
                said = f"the table says {counted(row.events, 'events')} at {row.first_offset} to {row.next_offset - 1}"
                there = f"the log has {group.events} at {group.first_offset} to {group.next_offset - 1}"
                self._find("outcome-differs", group.first_offset, f"{row.stream}: {said}, {there}")
        for group in self._groups.values():
            self._find(
                "outcome-missing",
                group.first_offset,
                f"{group.stream}: {counted(group.records, 'records')} without an outcome",
            )

    def compare_offsets(self, rows: Iterable[tuple[str, int, list[int]]]) -> None:
        """Compare with the rows of offsets (stream, first version, offsets), each stream's in the order of its versions."""
        reached: dict[str, int] = {}
        for stream, first_version, offsets in rows:
            at = reached.get(stream, 0)
            due = self._offsets.get(stream, [])
            if first_version != at + 1 or due[at : at + len(offsets)] != offsets:
                self._find(
                    "offsets-differ", offsets[0] if offsets else None, f"{stream}: from version {first_version} on"
                )
            reached[stream] = at + len(offsets)
        for stream, due in self._offsets.items():
            if (at := reached.get(stream, 0)) < len(due):
                self._find("offsets-missing", due[at], f"{stream}: from version {at + 1} on")

    def _reason(self, offset: int) -> str:
        while self._range < len(self._ranges) and self._ranges[self._range][1] < offset:
            self._range += 1
        if self._range < len(self._ranges) and self._ranges[self._range][0] <= offset:
            return self._ranges[self._range][2]
        return ""

    def _uncounted(self, offset: int, reason: str) -> None:
        setattr(self.ledger, reason, getattr(self.ledger, reason) + 1)
        if reason == "foreign":
            self._audit.note_foreign(self._finding("foreign", offset, "no record of ours"))

    def _counted(self, offset: int, value: bytes | None, key: bytes | None) -> None:
        try:
            envelope = read_envelope(value)
        except Undecodable as problem:
            self._find(
                "counted-foreign", offset, f"no record of ours ({problem.reason}), and the tables do not leave it out"
            )
            return
        match envelope:
            case Claim():
                self.ledger.claims += 1
            case Voiding():
                self._find("counted-foreign", offset, "a voiding that the tables do not leave out")
            case Meta():
                self._of_command(offset, envelope, key)

    def _of_command(self, offset: int, meta: Meta, key: bytes | None) -> None:
        if key != meta.stream.encode() or meta.category != self._category:
            self._find("counted-foreign", offset, f"{meta.stream}: its key or category is another one")
            return
        self._group(offset, meta)
        if not meta.is_event:
            self.ledger.rejections += 1
            return
        self.ledger.events += 1
        offsets = self._offsets.setdefault(meta.stream, [])
        if meta.version != len(offsets) + 1:
            kind = "version-hole" if meta.version > len(offsets) + 1 else "version-double"
            self._find(kind, offset, f"{meta.stream}: version {meta.version} follows {len(offsets)}")
        offsets.append(offset)

    def _group(self, offset: int, meta: Meta) -> None:
        key = outcome_key(meta.category, meta.stream, meta.command_id.bytes)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(meta.stream, offset, offset, 0, meta.count, 0)
        if meta.index != group.records or meta.count != group.count:
            self._find(
                "command-double", offset, f"{meta.stream}: record {meta.index} of command {meta.command_id} comes again"
            )
        group.records += 1
        group.events += meta.is_event
        group.next_offset = offset + 1

    def _find(self, kind: str, offset: int | None, what: str) -> None:
        self._audit.find(self._finding(kind, offset, what))

    def _finding(self, kind: str, offset: int | None, what: str) -> Finding:
        return Finding(kind, self.ledger.topic, self.ledger.part, offset, what)


def clipped(ranges: Iterable[tuple[int, int, str]], end: int) -> Iterator[tuple[int, int, str]]:
    """The ranges before `end`: a range may have grown since."""
    for first, last, reason in ranges:
        if first < end:
            yield first, min(last, end - 1), reason
