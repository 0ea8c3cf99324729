"""What a partition's claims and voidings come to, without its events; and how a claim is taken out. Pure.

The epoch of a partition, and where its readers stand, hang on claims and voidings alone: a gap or a group that does not count ends
a writer, and leaves the epoch.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from refold.schemas.meta import RULES, Claim, Voiding
from refold.streams.rules.judge import (
    FAR_EPOCH,
    MOST_AHEAD,
    ClaimState,
    claimed,
    counts,
    fallen_back,
    falls_back,
    names,
)

Controls = Sequence[tuple[int, Claim | Voiding]]
"""The claims and voidings of a partition, with their offsets, in order."""


@dataclass(frozen=True)
class Counted:
    """A claim that counts, its offset, and the epoch before it."""

    offset: int
    claim: Claim
    epoch_before: int


@dataclass(frozen=True)
class Way:
    """How a claim is taken out: the epoch that its voiding says, None where its rules are newer."""

    counted: Counted
    epoch: int | None


@dataclass(frozen=True)
class ClaimsPast:
    """Where a partition's readers stand after its claims and voidings.

    `far`: the first claim that jumped out of reach, while nobody has taken it out; `newer`: the claim of newer rules at which readers
    stand. `taken_out`: by the offset of each claim that is out of count, the offset of the voiding that did it.
    """

    state: ClaimState
    in_force: Counted | None
    far: Counted | None
    newer: Counted | None
    taken_out: Mapping[int, int] = field(default_factory=dict)

    def ways(self) -> list[Way]:
        """Every claim that can be taken out now.

        A voiding takes the epoch after the one before it, as a claim would: a handler that has claimed that one, and whose claim came
        to lie behind the forged one, sees by it that it has lost.
        """
        ways = [Way(self.far, min(self.far.epoch_before + 1, FAR_EPOCH - 1))] if self.far else []
        return ways + ([Way(self.newer, None)] if self.newer else [])


def claims_past(controls: Controls) -> ClaimsPast:
    """Fold them by the rules, up to a claim of newer rules that nobody has taken out."""
    state, taken_out = ClaimState(), dict[int, int]()
    in_force: Counted | None = None
    far: Counted | None = None
    for number, (offset, record) in enumerate(controls):
        if isinstance(record, Claim):
            if not counts(state, record):
                continue
            counted = Counted(offset, record, state.epoch)
            if record.rules > RULES:
                voided_at = _voided_at(controls[number + 1 :], counted)
                if voided_at is None:
                    return ClaimsPast(state, in_force, far, counted, taken_out)
                taken_out[offset] = voided_at
                continue
            if far is None and record.epoch >= FAR_EPOCH and record.epoch > state.epoch + MOST_AHEAD:
                far = counted
            state, in_force = claimed(state, record), counted
        elif falls_back(state, record):
            if far is not None:
                taken_out[far.offset] = offset
            state, in_force, far = fallen_back(state, record), None, None
    return ClaimsPast(state, in_force, far, None, taken_out)


def _voided_at(behind: Iterable[tuple[int, Claim | Voiding]], counted: Counted) -> int | None:
    found = ((at, other) for at, other in behind if isinstance(other, Voiding))
    return next((at for at, voiding in found if names(voiding, counted.offset, counted.claim)), None)
