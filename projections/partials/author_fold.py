"""An author's `evolve` over the events of one stream: the state after each is what its row reads back. Pure.

Invariant: no state depends on where a batch ends. So each event gets an arithmetic context of its own, and each state
is fixed to what its columns hold before the next event meets it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import setcontext
from functools import cache
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import astuple

from refold.projections.declaring.declaration import Entity
from refold.projections.errors import EventFailed
from refold.projections.partials.held_values import Sound, checked, sound_of
from refold.projections.tables.layout import Layout
from refold.schemas.arithmetic import AUTHORS, authors_arithmetic
from refold.schemas.contracts import Event

_NOTHING: tuple[Any, ...] = ()
_NO_ROW = -1


@dataclass(frozen=True, slots=True)
class HeldRow:
    """One row: its state (None: no event since the last delete), its place, and the place of the last delete."""

    state: msgspec.Struct | None
    version: int
    deleted: int = 0


NEW = HeldRow(None, 0)
Step = tuple[int, int, int, Event]
"""An event with the row of its record in the batch, its place in its stream, and the last place of its record."""


class Ran(NamedTuple):
    """The row after the last whole record, and the record that failed, if one did."""

    held: HeldRow
    row: int = _NO_ROW
    failed: EventFailed | None = None


@dataclass(frozen=True)
class AuthorFold:
    """What the author of an evolved entity declared, and a quick check for each field of its state."""

    layout: Layout
    state: type[msgspec.Struct]
    fold: Callable[[Any, Any], msgspec.Struct]
    deleted_when: type[Event] | None
    sound: tuple[Sound, ...]

    def run(self, held: HeldRow, steps: Iterable[Step], tell: Callable[[int], None] | None = None) -> Ran:
        """Fold the steps of one stream, in order, up to the first record that fails; one fails as a whole.

        Records that the row holds already are passed over. `tell` is told the row of each other one before its fold.
        """
        state, version, deleted = held.state, held.version, held.deleted
        fold, deleted_when, stored, context = self.fold, self.deleted_when, self._stored, AUTHORS.copy
        whole, at, before = (state, version, deleted), _NO_ROW, _NOTHING
        with authors_arithmetic():
            for row, place, last, event in steps:
                if last <= version:
                    continue
                if row != at:
                    whole, at = (state, version, deleted), row
                    if tell is not None:
                        tell(row)
                if deleted_when is not None and isinstance(event, deleted_when):
                    state, version, deleted, before = None, place, place, _NOTHING
                    continue
                setcontext(context())
                try:
                    made = fold(state, event)
                except Exception as problem:  # an author's code may raise anything; it parks the stream, nothing else
                    failed = EventFailed(0, f"{type(problem).__name__}: {problem}")
                    failed.__cause__ = problem
                    return Ran(HeldRow(*whole), row, failed)
                try:
                    state, before = stored(made, before)
                except EventFailed as failed:
                    return Ran(HeldRow(*whole), row, failed)
                version = place
        return Ran(HeldRow(state, version, deleted))

    def _stored(self, state: msgspec.Struct, before: tuple[Any, ...]) -> tuple[msgspec.Struct, tuple[Any, ...]]:
        """The state as it reads back from its row, and its values. `before`: those of the state before it, if known.

        Raises EventFailed.
        """
        if type(state) is self.state:
            values = astuple(state)
            for value, old, sound in zip(values, before or values, self.sound, strict=True):
                if (value is not old or not before) and value is not None and not sound(value):
                    break
            else:
                return state, values
        elif not isinstance(state, self.state):
            raise EventFailed(0, f"evolve gave {type(state).__name__}, not {self.state.__name__}")
        return self._fixed(state), _NOTHING

    def _fixed(self, state: msgspec.Struct) -> msgspec.Struct:
        changes = {}
        for part in self.layout.columns:
            if part.doc is not None:
                value = getattr(state, part.name)
                fixed = checked(part, value)
                if fixed is not value:
                    changes[part.name] = fixed
        return msgspec.structs.replace(state, **changes) if changes else state


@cache
def author_fold(layout: Layout) -> AuthorFold:
    """The fold of an evolved entity, made once for each layout."""
    assert isinstance(layout.model, Entity)
    assert layout.model.evolve is not None
    rules = layout.model.evolve
    parts = {part.name: part for part in layout.columns}
    sound = tuple(sound_of(parts[name]) for name in rules.state.__struct_fields__)
    return AuthorFold(layout, rules.state, rules.fold, layout.model.deleted_when, sound)
