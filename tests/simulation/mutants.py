"""Mutants: the shipped code with one rule taken out, as a patch of the function that holds the rule.

A checker that never failed proves nothing: the simulation must catch every mutant.
"""

import inspect
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from refold.projections.live.limits import FoldLimits
from refold.projections.partials.row_batch import RowReader
from refold.streams.handler.handler import Handler
from refold.streams.handler.holder import Holder
from refold.streams.rules import judge
from refold.streams.worker.intake import Intake
from tests.simulation.folds import SimulatedCore, SimulatedModels
from tests.simulation.world import SimulatedTables


class Edit:
    """Replace texts in the source of one function or method."""

    def __init__(self, owner: Any, name: str, *changes: tuple[str, str]) -> None:
        self.owner, self.name, self.changes = owner, name, changes

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The function with the other texts, while the block runs."""
        found = inspect.getattr_static(self.owner, self.name)
        function = found.__func__ if isinstance(found, staticmethod) else found
        source = textwrap.dedent(inspect.getsource(function)).removeprefix("@staticmethod\n")
        for old, new in self.changes:
            assert old in source, f"{self.name} has changed: {old!r} is not in it any more"
            source = source.replace(old, new)
        scope: dict[str, Any] = {}
        exec(compile(source, f"<mutant of {self.name}>", "exec"), function.__globals__, scope)
        mutant = staticmethod(scope[self.name]) if isinstance(found, staticmethod) else scope[self.name]
        with patch.object(self.owner, self.name, mutant):
            yield


@dataclass(frozen=True)
class Mutant:
    """One rule taken out. `ban` are faults left out, to show that it needs none of them."""

    name: str
    edits: Sequence[Edit]
    ban: Sequence[str] = ()

    @contextmanager
    def applied(self) -> Iterator[None]:
        """All its edits at once."""
        with ExitStack() as stack:
            for edit in self.edits:
                stack.enter_context(edit.applied())
            yield


_NO_GUARD = Edit(
    Holder, "usable", (" and row is not None and row.writer == self.writer and row.next_seq >= self.floor", "")
)
_NEVER_OVERDUE = ("if self._is_overdue(now):", "if False:")
_ERROR_IGNORED = ("if self._log.failed():", "if self._log.failed() and False:")

MUTANTS = (
    Mutant("no seq check", [Edit(judge, "judge", ("record.seq >= state.next_seq", "True")), Edit(judge, "_next", ("record.seq > state.next_seq or ", ""))]),
    Mutant("no epoch check", [Edit(judge, "counts", ("if claim.epoch <= state.epoch:", "if False:"))]),
    Mutant("epoch >= instead of >", [Edit(judge, "counts", ("if claim.epoch <= state.epoch:", "if claim.epoch < state.epoch:"))]),
    Mutant("no bound on epochs", [Edit(judge, "counts", ("return not bounded or", "return True or"))]),
    Mutant("the bound only under a claim's own rules", [Edit(judge, "counts", ("max(state.rules, claim.rules)", "claim.rules"))]),
    Mutant("no group completeness", [Edit(judge, "judge", ("if open_rows and len(open_rows) == record.count:", "if open_rows:"))]),
    Mutant("a claim leaves the open group pending", [Edit(judge, "judge", ("(claimed(state, record), [])", "(claimed(state, record), open_rows)"))]),
    Mutant("a voiding of any epoch counts", [Edit(judge, "falls_back", ("not 0 <= voiding.epoch < FAR_EPOCH <= state.epoch", "voiding.epoch < 0"))]),
    Mutant("a voiding of an epoch out of reach does not count", [Edit(judge, "falls_back", ("return voiding.epoch", "return False and voiding.epoch"))]),
    Mutant("a voiding leaves the writer", [Edit(judge, "fallen_back", ("writer=None, ", ""))]),
    Mutant("a voiding leaves the open group pending", [Edit(judge, "judge", ("(fallen_back(state, record), [])", "(fallen_back(state, record), open_rows)"))]),
    Mutant("a voiding brings no bound", [Edit(judge, "fallen_back", ("max(state.rules, VOIDED_SINCE)", "state.rules"))]),
    Mutant("a claim of newer rules is passed", [Edit(judge, "judge", (" and not taken_out(row, record)", " and False"))]),
    Mutant("a claim of newer rules that is taken out counts", [Edit(judge, "judge", ("and record.rules > RULES:", "and record.rules > RULES and not taken_out(row, record):"))]),
    Mutant("a voiding is taken at its offset, whatever claim it names", [Edit(judge, "names", ("(voiding.offset, voiding.writer) == (offset, claim.writer)", "voiding.offset == offset"))]),
    Mutant("a voiding is taken at its word, wherever the claim lies", [Edit(judge, "names", ("(voiding.offset, voiding.writer) == (offset, claim.writer)", "voiding.writer == claim.writer"))]),
    Mutant("a claim out of reach waits for a row that shows it", [Edit(Holder, "observe", (" or (row.rules >= RULES and self.epoch > row.epoch + MOST_AHEAD)", ""), _NEVER_OVERDUE)]),
    Mutant("a claim that is never shown is waited for, however long", [Edit(Holder, "observe", _NEVER_OVERDUE)]),
    Mutant("overlay evicted on append, not once counted", [Edit(Holder, "_evict", ("self._order and self._order[0][0] < row.next_seq", "self._order"), ("self.floor = max(self.floor, seq + 1)", "pass"))]),
    Mutant("starts before its claim is folded", [Edit(Holder, "observe", ("row.writer == self.writer:", "(row.writer == self.writer or self.mode is Mode.WAITING):")), _NO_GUARD], ("restore",)),
    Mutant("outcome looked up only in the overlay", [Edit(Handler, "_decide", ("key not in seen.outcomes and ", ""))]),
    Mutant("outcome looked up only in Postgres", [Edit(Handler, "_decide", (" and not held.holder.has_decided(key)", ""))]),
    Mutant("compare-and-set removed", [Edit(SimulatedCore, "follows", ("tables.position == chunk.start", "True"))]),
    Mutant("compare-and-set written as an upsert", [Edit(SimulatedCore, "follows", ("tables.position == chunk.start", "tables.position in (0, chunk.start)"))]),
    Mutant("an open group forgotten at a chunk's end", [Edit(judge, "judge", ("        if not open_rows:\n            clean", "        if True:\n            clean"))]),
    Mutant("no guard: Postgres older than what a live handler saw", [_NO_GUARD]),
    Mutant("no guard, no restore, the row read again between snapshot and decision", [_NO_GUARD, Edit(Handler, "_decide", ("    if held.holder.observe", "    self._look()\n    if held.holder.observe"))], ("restore",)),
    Mutant("guard without the floor", [Edit(Holder, "usable", (" and row.next_seq >= self.floor", ""))]),
    Mutant("guard and data in two reads", [Edit(SimulatedTables, "_snapshot", ("Snapshot(seen.claim,", "Snapshot(self._world.postgres.claim,"))]),
    Mutant("writer id reused over claims", [Edit(Holder, "claim", ("UUID(int=self._rng.getrandbits(128), version=4)", "UUID(int=id(self))"))]),
    Mutant("append error ignored", [Edit(Handler, "wake", _ERROR_IGNORED), Edit(Handler, "_work", _ERROR_IGNORED), Edit(Holder, "observe", _NEVER_OVERDUE)]),
    Mutant("resume from memory, not from the row", [Edit(Handler, "_begin", ("row.last_command_offset + 1)\n", "self._reader.next or row.last_command_offset + 1)\n"))]),
    Mutant("running handler never looks at its claim", [Edit(Holder, "observe", ("row.epoch >= self.epoch or", "(row.epoch >= self.epoch and self.mode is Mode.WAITING) or"), _NEVER_OVERDUE)]),
    Mutant("a lost race for an epoch is waited for", [Edit(Holder, "observe", ("row.epoch >= self.epoch or", "(row.epoch >= self.epoch and self.mode is Mode.OWNING) or"), _NEVER_OVERDUE)]),
    Mutant("idle fold never reads its position again", [Edit(Intake, "_compare", ("if (self._reader.position(place) if at.reached is None else at.reached) != position:", "if False:"))]),
    Mutant("a gap does not end the claim", [Edit(judge, "_next", ("if record.seq > state.next_seq or not", "if record.seq > state.next_seq:\n        return state, open_rows\n    if not"))]),
    Mutant("models read past the core", [Edit(FoldLimits, "offered", ("chunk.upto(self.core.get(chunk.place, 0))", "chunk"))]),
    Mutant("models count what is void", [Edit(RowReader, "read", ("if any(first <= offset <= last for first, last in ranges):", "if False:"))]),
    Mutant("models without compare-and-set", [Edit(SimulatedModels, "follows", ("tables.models_at == chunk.start", "True"))]),
    Mutant("models reach as far as the core stands, not as the chunk goes", [Edit(SimulatedModels, "apply", ("models_at=chunk.end", "models_at=before.position"))]),
    Mutant("belt instead of guard, but the claim goes on", [_NO_GUARD, Edit(judge, "_closed", ("replace(state, writer=None), []", "state, []"))]),
)  # fmt: skip
