"""The rules of the log: which records count. Pure; computed alike by every reader, from the log alone.

A record counts iff it is the next record of the current writer; a group takes effect whole, and only if its command is new to
the stream and its base version is the stream's version. This is the rule record by record, the reference for `fold_columns`.
`docs/log-rules.md` states it for people; the numbers below are those of its rules.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from refold.schemas.meta import RULES, Claim, Meta, Voiding
from refold.streams.errors import NewerRules

BOUNDED_SINCE = 2
"""From these rules on a claim's epoch is bounded. A partition is under the newest rules that one of its claims has said."""
VOIDED_SINCE = 2
"""A voiding with an effect brings these rules with it: the bound holds from there on."""
MOST_AHEAD = 1000
"""How far a claim's epoch may lie beyond the partition's. A handler's is the next one after an epoch that was folded: one ahead."""
FAR_EPOCH = 2**62
"""From here on an epoch is out of reach: a handler claims the next one, and nobody claims so often. Only a forged claim has said it."""
Envelope = Claim | Meta | Voiding | None
"""What the rules see of a record; None is a foreign one, without a readable envelope."""
TakenOut = Callable[[int, Claim], bool]
"""Whether a voiding further on in the log names the claim of newer rules in this row."""


@dataclass(frozen=True, slots=True)
class ClaimState:
    """What a partition's log says so far, at the start of no open group."""

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
    """What a run of records does: the state after the first `taken` of them, and the groups that took effect.

    The rows from `taken` on belong to a group that is still open: they are judged again with what follows them. Where `newer` says
    so, they follow a claim whose rules this code does not know: only newer code can judge them, or an operator takes the claim out.
    """

    state: ClaimState
    taken: int
    groups: list[Group]
    newer: NewerRules | None = None


@dataclass(slots=True)
class Tables:
    """What the rules need to know of the tables before the chunk; grows by what the chunk does."""

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
    """Apply the rules to the records that follow `state`, up to a claim that says newer rules and is not taken out."""
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
    """Rule 1: what a claim that counts does; it voids the open group, too."""
    rules = max(state.rules, claim.rules)
    return replace(state, epoch=claim.epoch, rules=rules, writer=claim.writer, next_seq=0)


def _newer(claim: Claim) -> NewerRules:
    return NewerRules(f"a claim of epoch {claim.epoch} says rules {claim.rules}, this code knows {RULES}")


def falls_back(state: ClaimState, voiding: Voiding) -> bool:
    """Rule 5: where it stands a voiding has an effect iff the epoch is out of reach, and the one that it says is not, and far from it."""
    if voiding.epoch is None or not 0 <= voiding.epoch < FAR_EPOCH <= state.epoch:
        return False
    return voiding.epoch + MOST_AHEAD < state.epoch


def names(voiding: Voiding, offset: int, claim: Claim) -> bool:
    """Rule 6: whether a voiding, which stands further on, takes out the claim of newer rules at an offset."""
    return voiding.epoch is None and (voiding.offset, voiding.writer) == (offset, claim.writer)


def fallen_back(state: ClaimState, voiding: Voiding) -> ClaimState:
    """Rule 5: what a voiding with an effect does: it ends the claim, and voids the open group, too."""
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
