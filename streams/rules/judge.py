"""The rules of the log: decides which records count. Pure; every reader reaches the same verdict from the log alone.

A record counts iff it is the next record of the current writer. A group takes effect whole, and only if its command is
new to the stream and its base version is the stream's version. This module judges record by record; it is the reference
for `judge_columns`. `docs/log-rules.md` states the rules for people; the numbers below are its numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from refold.schemas.meta import RULES, Claim, Meta, Voiding
from refold.streams.errors import NewerRules

BOUNDED_SINCE = 2
"""First version of the rules that bounds a claim's epoch. A partition is under the newest rules that one of its claims
names."""
VOIDED_SINCE = 2
"""Version of the rules that a voiding with an effect brings: the bound holds from there on."""
MOST_AHEAD = 1000
"""Most that a claim's epoch may lie beyond the partition's. A handler claims the next epoch after a folded one: one
ahead."""
FAR_EPOCH = 2**62
"""Least epoch that is out of reach. Handlers count up by one and never get there, so only a forged claim has one."""
Envelope = Claim | Meta | Voiding | None
"""A record as the rules see it. None is a foreign record, without a readable envelope."""
TakenOut = Callable[[int, Claim], bool]
"""Whether a later voiding in the log names the claim of newer rules in this row."""


@dataclass(frozen=True, slots=True)
class ClaimState:
    """The state of a partition's log so far, when no group is open."""

    epoch: int = 0
    rules: int = 1
    writer: UUID | None = None
    next_seq: int = 0
    last_command_offset: int = -1


@dataclass(frozen=True, slots=True)
class Group:
    """The records of one command that took effect: their rows in the chunk, in order."""

    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The effect of a run of records: the state after the first `taken` of them, and the groups that took effect.

    The rows from `taken` on belong to a group that is still open: they are judged again with the records after them. If
    `newer` is set, they follow a claim of rules that this code does not know. Newer code must judge them, or an
    operator takes the claim out.
    """

    state: ClaimState
    taken: int
    groups: list[Group]
    newer: NewerRules | None = None


@dataclass(slots=True)
class Tables:
    """The rows of the tables that the rules need, before the chunk; it grows with the chunk's effects."""

    version: Callable[[str], int]
    known: Callable[[str, UUID], bool]
    versions: dict[str, int] = field(default_factory=dict)
    commands: set[tuple[str, UUID]] = field(default_factory=set)

    def version_of(self, stream: str) -> int:
        return self.versions[stream] if stream in self.versions else self.version(stream)

    def knows(self, stream: str, command_id: UUID) -> bool:
        return (stream, command_id) in self.commands or self.known(stream, command_id)

    def take(self, stream: str, command_id: UUID, version: int) -> None:
        self.versions[stream] = version
        self.commands.add((stream, command_id))


def never(_row: int, _claim: Claim) -> bool:
    """No voiding names any claim."""
    return False


def judge(
    records: Sequence[Envelope], category: str, state: ClaimState, tables: Tables, taken_out: TakenOut = never
) -> Verdict:
    """Apply the rules to the records after `state`, up to a claim of newer rules that is not taken out."""
    groups: list[Group] = []
    open_rows: list[int] = []
    clean, taken = state, 0
    for row, record in enumerate(records):
        if isinstance(record, Claim) and record.rules > RULES:
            if counts(state, record) and not taken_out(row, record):
                return Verdict(clean, taken, groups, _newer(record))
        elif isinstance(record, Claim):
            state, open_rows = (claimed(state, record), []) if counts(state, record) else (state, open_rows)
        elif isinstance(record, Voiding):
            state, open_rows = (fallen_back(state, record), []) if falls_back(state, record) else (state, open_rows)
        elif record is not None and record.writer == state.writer and record.seq >= state.next_seq:
            state, open_rows = _next(state, record, row, open_rows, records, category)
            if open_rows and len(open_rows) == record.count:
                state, group = _closed(state, open_rows, record, tables)
                groups += group
                open_rows = []
        if not open_rows:
            clean, taken = state, row + 1
    return Verdict(clean, taken, groups)


def counts(state: ClaimState, claim: Claim) -> bool:
    """Rule 1: a claim counts iff its epoch is greater, and not far beyond."""
    if claim.epoch <= state.epoch:
        return False
    bounded = max(state.rules, claim.rules) >= BOUNDED_SINCE
    return not bounded or claim.epoch <= state.epoch + MOST_AHEAD


def claimed(state: ClaimState, claim: Claim) -> ClaimState:
    """Rule 1: the effect of a claim that counts; it also voids the open group."""
    rules = max(state.rules, claim.rules)
    return replace(state, epoch=claim.epoch, rules=rules, writer=claim.writer, next_seq=0)


def _newer(claim: Claim) -> NewerRules:
    return NewerRules(f"a claim of epoch {claim.epoch} says rules {claim.rules}, this code knows {RULES}")


def falls_back(state: ClaimState, voiding: Voiding) -> bool:
    """Rule 5: a voiding has an effect iff the epoch is out of reach, and its own is in reach and far from that."""
    if voiding.epoch is None or not 0 <= voiding.epoch < FAR_EPOCH <= state.epoch:
        return False
    return voiding.epoch + MOST_AHEAD < state.epoch


def names(voiding: Voiding, offset: int, claim: Claim) -> bool:
    """Rule 6: whether a later voiding takes out the claim of newer rules at an offset."""
    return voiding.epoch is None and (voiding.offset, voiding.writer) == (offset, claim.writer)


def fallen_back(state: ClaimState, voiding: Voiding) -> ClaimState:
    """Rule 5: the effect of a voiding: it ends the claim, and also voids the open group."""
    assert voiding.epoch is not None
    return replace(state, epoch=voiding.epoch, rules=max(state.rules, VOIDED_SINCE), writer=None, next_seq=0)


def _next(
    state: ClaimState, record: Meta, row: int, open_rows: list[int], records: Sequence[Envelope], category: str
) -> tuple[ClaimState, list[int]]:
    """Rules 3 and 4: a gap ends the claim; so does a record that does not continue its group."""
    first = records[open_rows[0]] if open_rows else record
    assert isinstance(first, Meta)
    if record.seq > state.next_seq or not _continues(record, first, len(open_rows), category):
        return replace(state, writer=None), []
    return replace(state, next_seq=state.next_seq + 1), [*open_rows, row]


def _continues(record: Meta, first: Meta, index: int, category: str) -> bool:
    """Whether the record is the index-th of the group that `first` began."""
    version = record.base_version + index + 1 if record.is_event else record.base_version
    return (
        record.index == index
        and 0 <= index < record.count
        and record.category == category
        and record.version == version
        and (record.is_event or record.count == 1)
        and (
            record.count,
            record.stream,
            record.command_id,
            record.base_version,
            record.command_offset,
            record.body_hash,
        )
        == (first.count, first.stream, first.command_id, first.base_version, first.command_offset, first.body_hash)
    )


def _closed(state: ClaimState, rows: list[int], last: Meta, tables: Tables) -> tuple[ClaimState, list[Group]]:
    """Rule 4: a known command or a wrong base version ends the claim (the belt); else the group takes effect whole."""
    if tables.knows(last.stream, last.command_id) or tables.version_of(last.stream) != last.base_version:
        return replace(state, writer=None), []
    tables.take(last.stream, last.command_id, last.version)
    return replace(state, last_command_offset=last.command_offset), [Group(tuple(rows))]
