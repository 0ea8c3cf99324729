"""Applies the rules to a chunk record by record: small live chunks, and chunks in which not all records count."""

from collections.abc import Callable, Sequence

from refold.schemas.codec import Codec, Rejection, read_envelope
from refold.schemas.contracts import Event
from refold.schemas.errors import NewerSchema, Undecodable
from refold.schemas.identity import outcome_key
from refold.schemas.meta import Claim, Meta, Voiding
from refold.streams.chunk import Chunk, Place
from refold.streams.domain import AnyDecider
from refold.streams.rules.effects import Before, Columns, Effects, Folded, FoldStream, Void, state_after
from refold.streams.rules.judge import Envelope, Group, Tables, judge

TakenOut = Callable[[Place, int, Claim], bool]
"""Whether a later voiding in the partition names the claim at an offset."""


class ByRows:
    """A chunk's envelopes. `streams` and `keys`: the rows of the tables that the rules need."""

    def __init__(self, chunk: Chunk, category: str, codec: Codec, taken_out: TakenOut) -> None:
        assert chunk.keys is not None, "the core reads keys"
        self._chunk, self._codec, self._taken_out = chunk, codec, taken_out
        self._envelopes = [_envelope(value, key) for value, key in zip(chunk.values, chunk.keys, strict=True)]
        ours = [envelope for envelope in self._envelopes if isinstance(envelope, Meta)]
        self.streams: Sequence[str] = list({envelope.stream for envelope in ours})
        self.keys: Sequence[bytes] = [outcome_key(category, e.stream, e.command_id.bytes) for e in ours if e.index == 0]

    def fold(self, decider: AnyDecider, before: Before, refold: FoldStream) -> Folded:
        """The chunk's effects, up to a claim of newer rules that is not taken out."""
        chunk, category = self._chunk, decider.category.name
        tables = Tables(
            version=lambda stream: before.streams[stream].version if stream in before.streams else 0,
            known=lambda stream, command_id: outcome_key(category, stream, command_id.bytes) in before.known,
        )
        verdict = judge(
            self._envelopes,
            category,
            before.state,
            tables,
            lambda row, claim: self._taken_out(chunk.place, chunk.start + row, claim),
        )
        taken = chunk.upto(chunk.start + verdict.taken)
        counted = {row for group in verdict.groups for row in group.rows}
        voids = _voids(self._envelopes[: verdict.taken], counted, chunk.start)
        if not verdict.groups:
            return Folded(taken, verdict.state, None, voids, verdict.newer)
        groups = [_CountedGroup(chunk, group, self._envelopes, self._codec) for group in verdict.groups]
        effects = Effects(
            category,
            chunk.part,
            _outcomes(groups, category),
            _streams(groups, decider, before, refold),
            _offsets(groups),
        )
        return Folded(taken, verdict.state, effects, voids, verdict.newer)


class _CountedGroup:
    """A group that took effect: its command's envelope, its records' offsets, and their events of today."""

    def __init__(self, chunk: Chunk, group: Group, envelopes: Sequence[Envelope], codec: Codec) -> None:
        first, last = envelopes[group.rows[0]], envelopes[group.rows[-1]]
        assert isinstance(first, Meta)
        assert isinstance(last, Meta)
        self.first, self.version = first, last.version
        self.offsets = [chunk.start + row for row in group.rows]
        self.bodies = [_body(codec, chunk.values[row]) for row in group.rows]

    @property
    def records(self) -> int:
        """The number of its events in the log, before upcasting; none for a rejection."""
        return len(self.offsets) if self.first.is_event else 0

    @property
    def events(self) -> list[Event | NewerSchema | None]:
        """Today's events, None for an unreadable one; empty for a rejection."""
        if not self.first.is_event:
            return []
        return [event for b in self.bodies for event in (b if isinstance(b, tuple) else (_not_read(b),))]

    @property
    def rejection(self) -> Rejection | None:
        body = self.bodies[0]
        return body if isinstance(body, Rejection) else None


def _outcomes(groups: Sequence[_CountedGroup], category: str) -> Columns:
    firsts = [group.first for group in groups]
    rejections = [group.rejection for group in groups]
    return {
        "key": [outcome_key(category, first.stream, first.command_id.bytes) for first in firsts],
        "command_id": [first.command_id.bytes for first in firsts],
        "stream": [first.stream for first in firsts],
        "body_hash": [first.body_hash for first in firsts],
        "code": [rejection.code if rejection else None for rejection in rejections],
        "message": [rejection.message if rejection else None for rejection in rejections],
        "base_version": [first.base_version for first in firsts],
        "events": [group.records for group in groups],
        "first_offset": [group.offsets[0] for group in groups],
        "next_offset": [group.offsets[-1] + 1 for group in groups],
    }


def _by_stream(groups: Sequence[_CountedGroup]) -> dict[str, list[_CountedGroup]]:
    found: dict[str, list[_CountedGroup]] = {}
    for group in groups:
        if group.records:
            found.setdefault(group.first.stream, []).append(group)
    return found


def _streams(groups: Sequence[_CountedGroup], decider: AnyDecider, before: Before, refold: FoldStream) -> Columns:
    streams = _by_stream(groups)
    states = [
        state_after(decider, stream, [event for group in its for event in group.events], before, refold)
        for stream, its in streams.items()
    ]
    return {
        "stream": list(streams),
        "version": [its[-1].version for its in streams.values()],
        "state": [state for state, _ in states],
        "state_fingerprint": [fingerprint for _, fingerprint in states],
    }


def _offsets(groups: Sequence[_CountedGroup]) -> Columns:
    streams = _by_stream(groups)
    offsets = [[offset for group in its for offset in group.offsets] for its in streams.values()]
    return {
        "stream": list(streams),
        "first_version": [its[0].first.version for its in streams.values()],
        "offsets": ["{" + ",".join(map(str, found)) + "}" for found in offsets],
    }


def _body(codec: Codec, value: bytes | None) -> tuple[Event, ...] | Rejection | NewerSchema | None:
    try:
        return codec.read_events(value)[1]
    except NewerSchema as problem:
        return problem
    except Undecodable:
        return None


def _not_read(body: Rejection | NewerSchema | None) -> NewerSchema | None:
    return body if isinstance(body, NewerSchema) else None


def _voids(envelopes: Sequence[Envelope], counted: set[int], start: int) -> list[Void]:
    """Ranges of neighbours that do not count for the same reason. Claims are left out: every reader knows them."""
    ranges: list[Void] = []
    for row, envelope in enumerate(envelopes):
        if row in counted or isinstance(envelope, Claim):
            continue
        reason, offset = _reason(envelope), start + row
        if ranges and ranges[-1][1] == offset - 1 and ranges[-1][2] == reason:
            ranges[-1] = (ranges[-1][0], offset, reason)
        else:
            ranges.append((offset, offset, reason))
    return ranges


def _reason(envelope: Meta | Voiding | None) -> str:
    return "void" if isinstance(envelope, Meta) else "foreign" if envelope is None else "control"


def _envelope(value: bytes | None, key: bytes | None) -> Envelope:
    """The envelope; None for a foreign record: unreadable, or its key is not its stream (a wrong partition)."""
    try:
        envelope = read_envelope(value)
    except Undecodable:
        return None
    if isinstance(envelope, Meta) and (key is None or key != envelope.stream.encode()):
        return None
    return envelope
