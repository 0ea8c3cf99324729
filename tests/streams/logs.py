"""Small logs for tests of the log's rules, with letters for writers, commands and streams; and an independent model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from uuid import UUID, uuid5

import msgspec
import polars as pl

from refold.schemas.columns.decoder import ROW
from refold.schemas.identity import event_uuid
from refold.schemas.meta import Claim, Meta, Voiding
from refold.streams.rules.judge import ClaimState, Envelope, Tables, judge, names
from refold.streams.rules.judge_columns import judge_columns

_ENVELOPE_TYPES: dict[str, type[pl.DataType]] = {
    "m_writer": pl.Binary,
    "m_command_id": pl.Binary,
    "m_body_hash": pl.Binary,
    "m_category": pl.String,
    "m_stream": pl.String,
    "m_version": pl.Int64,
    "m_base_version": pl.Int64,
    "m_seq": pl.Int64,
    "m_index": pl.Int32,
    "m_count": pl.Int32,
    "m_command_offset": pl.Int64,
    ROW: pl.UInt32,
}
CATEGORY = "retail.basket"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_SPACE = UUID(int=7)


def named(letter: str) -> UUID:
    """The writer or command of a letter."""
    return uuid5(_SPACE, letter)


def claim(writer: str, epoch: int, rules: int = 1) -> Claim:
    return Claim(writer=named(writer), epoch=epoch, rules=rules, claimed_at=NOW, host="test")


def voiding(writer: str, offset: int, epoch: int | None = None) -> Voiding:
    """What an operator appends to take out the claim of a writer at an offset."""
    return Voiding(
        voiding_id=named(f"voiding of {writer} at {offset}"),
        writer=named(writer),
        offset=offset,
        epoch=epoch,
        voided_at=NOW,
        operator="ops",
        host="test",
        reason="forged",
    )


def record(
    writer: str,
    seq: int,
    command: str,
    stream: str,
    base: int,
    *,
    index: int = 0,
    count: int = 1,
    rejected: bool = False,
    command_offset: int = 0,
) -> Meta:
    """One record of a group."""
    return Meta(
        writer=named(writer),
        command_id=named(command),
        body_hash=named(command).bytes,
        event_id=event_uuid(CATEGORY, stream, named(command), index),
        category=CATEGORY,
        stream=stream,
        version=base if rejected else base + index + 1,
        base_version=base,
        seq=seq,
        index=index,
        count=count,
        command_offset=command_offset,
        occurred_at=NOW,
        recorded_at=NOW,
    )


def group(  # noqa: PLR0917 - short calls in tables of records
    writer: str, seq: int, command: str, stream: str, base: int, count: int, command_offset: int = 0
) -> list[Meta]:
    """A whole group of events."""
    return [
        record(writer, seq + i, command, stream, base, index=i, count=count, command_offset=command_offset)
        for i in range(count)
    ]


@dataclass
class Folded:
    """What a log comes to: the claim state, versions by stream, and the command and rows of each group that took effect."""

    state: ClaimState = field(default_factory=ClaimState)
    versions: dict[str, int] = field(default_factory=dict)
    effects: list[tuple[str, UUID, tuple[int, ...]]] = field(default_factory=list)
    left: int = 0


def by_rows(log: Sequence[Envelope], cuts: Sequence[int] = ()) -> Folded:
    """Fold with the row-wise rule, in chunks that end at `cuts`; what a chunk leaves is put in front of the next."""
    return _fold(log, cuts, columns=False)


def by_columns(log: Sequence[Envelope], cuts: Sequence[int] = ()) -> tuple[Folded, int]:
    """The same with the columnar rule wherever it gives a verdict; also how often it did."""
    folded = _fold(log, cuts, columns=True)
    return folded, _COLUMNAR[-1]


_COLUMNAR: list[int] = []


def _fold(log: Sequence[Envelope], cuts: Sequence[int], *, columns: bool) -> Folded:
    done, known, at, used = Folded(), set[tuple[str, UUID]](), 0, 0
    for end in [*sorted(set(cuts)), len(log)]:
        records = log[at:end]
        whole = _columns(records, done, known) if columns else None
        if whole is not None:
            used += 1
            state, taken, groups = whole
        else:
            tables = Tables(version=lambda s: done.versions.get(s, 0), known=lambda s, c: (s, c) in known)
            verdict = judge(records, CATEGORY, done.state, tables, partial(_taken_out, log, at))
            state, taken, groups = verdict.state, verdict.taken, [g.rows for g in verdict.groups]
        for rows in groups:
            last = records[rows[-1]]
            assert isinstance(last, Meta)
            done.versions[last.stream] = last.version
            known.add((last.stream, last.command_id))
            done.effects.append((last.stream, last.command_id, tuple(at + row for row in rows)))
        done.state, at = state, at + taken
    done.left = len(log) - at
    _COLUMNAR.append(used)
    return done


def _taken_out(log: Sequence[Envelope], start: int, row: int, claim_: Claim) -> bool:
    """The look ahead, to the end of the log."""
    ahead = (other for other in log[start + row + 1 :] if isinstance(other, Voiding))
    return any(names(other, start + row, claim_) for other in ahead)


def _columns(
    records: Sequence[Envelope], done: Folded, known: set[tuple[str, UUID]]
) -> tuple[ClaimState, int, list[tuple[int, ...]]] | None:
    metas = [r for r in records if isinstance(r, Meta)]
    if len(metas) != len(records) or not records:
        return None
    versions = pl.DataFrame(
        list(done.versions.items()), schema={"m_stream": pl.String, "stored": pl.Int64}, orient="row"
    )
    seen = sum((m.stream, m.command_id) in known for m in metas if m.index == 0)
    verdict = judge_columns(envelope_frame(records), CATEGORY, done.state, versions, seen)
    if verdict is None:
        return None
    starts = [row for row, meta in enumerate(metas[: verdict.taken]) if meta.index == 0]
    ends = [*starts[1:], verdict.taken]
    return verdict.state, verdict.taken, [tuple(range(a, b)) for a, b in zip(starts, ends, strict=True)]


def envelope_frame(envelopes: Sequence[Envelope]) -> pl.DataFrame:
    """Envelopes of events and rejections as the columns that `DecodedChunk.envelopes` has."""
    rows = [
        {
            **{f"m_{k}": v for k, v in msgspec.structs.asdict(e).items() if f"m_{k}" in _ENVELOPE_TYPES},
            "m_writer": e.writer.bytes,
            "m_command_id": e.command_id.bytes,
            ROW: row,
        }
        for row, e in enumerate(envelopes)
        if isinstance(e, Meta)
    ]
    return pl.DataFrame(rows, schema=_ENVELOPE_TYPES)


@dataclass
class _Control:
    """What claims and voidings have made of a partition, in the model."""

    epoch: int = 0
    rules: int = 1
    writer: UUID | None = None

    def take(self, r: Claim | Voiding, at: int, log: Sequence[Envelope]) -> str:
        """Whether it counts, is ignored, or stops the reader."""
        if isinstance(r, Voiding):
            if r.epoch is None or r.epoch < 0 or not r.epoch < 2**62 <= self.epoch or self.epoch - r.epoch <= 1000:
                return "ignored"
            self.epoch, self.rules, self.writer = r.epoch, 2, None
            return "counts"
        if r.epoch <= self.epoch or (r.epoch - self.epoch > 1000 and {self.rules, r.rules} != {1}):
            return "ignored"
        if r.rules > 2:
            named = [v for v in log[at + 1 :] if isinstance(v, Voiding) and v.epoch is None]
            return "ignored" if any((v.offset, v.writer) == (at, r.writer) for v in named) else "stops"
        self.epoch, self.rules, self.writer = r.epoch, max(self.rules, r.rules), r.writer
        return "counts"


def model(log: Sequence[Envelope]) -> Folded:
    """The rules once more, as the protocol's executable model states them: one record, one step, nothing shared with the code."""
    out = Folded()
    control, next_seq, last_command = _Control(), 0, -1
    pending: list[tuple[int, Meta]] = []
    known: set[tuple[str, UUID]] = set()
    clean = (0, out.state)
    for at, r in enumerate(log):
        if isinstance(r, Claim | Voiding):
            does = control.take(r, at, log)
            if does == "stops":
                break
            if does == "counts":
                next_seq, pending = 0, []
        elif r is not None and r.writer == control.writer and r.seq >= next_seq:
            expected = [x for _, x in pending[:1]] or [r]
            shape = ("stream", "command_id", "count", "base_version", "command_offset", "body_hash")
            regular = (
                r.seq == next_seq
                and r.category == CATEGORY
                and r.index == len(pending) < r.count
                and all(getattr(r, name) == getattr(expected[0], name) for name in shape)
                and (r.version == r.base_version + r.index + 1 or (r.version == r.base_version and r.count == 1))
            )
            if not regular:
                control.writer, pending = None, []
            else:
                next_seq += 1
                pending.append((at, r))
                if len(pending) == r.count:
                    if (r.stream, r.command_id) in known or out.versions.get(r.stream, 0) != r.base_version:
                        control.writer = None
                    else:
                        known.add((r.stream, r.command_id))
                        out.versions[r.stream] = r.version
                        out.effects.append((r.stream, r.command_id, tuple(i for i, _ in pending)))
                        last_command = r.command_offset
                    pending = []
        if not pending:
            clean = (at + 1, ClaimState(control.epoch, control.rules, control.writer, next_seq, last_command))
    out.state, out.left = clean[1], len(log) - clean[0]
    return out
