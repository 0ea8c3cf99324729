"""Folds a partition's claims and voidings without its events, and shows how a claim can be taken out. Pure.

A partition's epoch, and the place where its readers stop, depend only on claims and voidings. A gap or a group that
does not count ends a writer, but leaves the epoch.
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
"""A partition's claims and voidings with their offsets, in order."""


@dataclass(frozen=True)
class Counted:
    """A claim that counts, its offset, and the epoch before it."""

    offset: int
    claim: Claim
    epoch_before: int


@dataclass(frozen=True)
class Way:
    """A way to take a claim out: the epoch of the voiding, None if the claim's rules are newer."""

    counted: Counted
    epoch: int | None


@dataclass(frozen=True)
class ClaimsPast:
    """The state of a partition's readers after its claims and voidings.

    `far`: the first claim that jumped out of reach and is not taken out. `newer`: the claim of newer rules at which
    readers stop. `taken_out`: for each claim that no longer counts, by its offset, the offset of the voiding that did
    it.
    """

    state: ClaimState
    in_force: Counted | None
    far: Counted | None
    newer: Counted | None
    taken_out: Mapping[int, int] = field(default_factory=dict)

    def ways(self) -> list[Way]:
        """Every claim that can be taken out now.

        A voiding takes the next epoch after the one before the forged claim, as a claim would. A handler may have
        claimed that epoch, with its claim after the forged one: by the voiding it sees that it has lost.
        """
        ways = [Way(self.far, min(self.far.epoch_before + 1, FAR_EPOCH - 1))] if self.far else []
        return ways + ([Way(self.newer, None)] if self.newer else [])


def claims_past(controls: Controls) -> ClaimsPast:
    """Apply the rules to them, up to a claim of newer rules that is not taken out."""
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
