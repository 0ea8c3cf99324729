"""The contract of a reactor: pure functions from an event to commands, without clock, I/O or randomness."""

import hashlib
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from refold.schemas.arithmetic import authors_arithmetic, in_authors_arithmetic
from refold.schemas.contracts import Category, Command, Event
from refold.streams.decider import described, held_by, structs_within, sums_of
from refold.streams.errors import BadReactor
from refold.streams.state_bytes import dumped, may_hold_times

NAME = re.compile(r"[a-z][a-z0-9_]{0,60}")
MAX_COMMANDS_PER_EVENT = 500


class Nothing(msgspec.Struct, frozen=True):
    """The state of a reactor that needs none."""


NOTHING = Nothing()


def unchanged(state: Any, _event: Any) -> Any:
    """The fold of a reactor that needs no state."""
    return state


@dataclass(frozen=True)
class Seen:
    """An event's envelope, as a reactor sees it."""

    category: str
    stream: str
    version: int
    event_id: UUID
    occurred_at: datetime
    actor: str | None
    correlation_id: str | None


@dataclass(frozen=True)
class Reactor:
    """Answers one category's events: `react(event, state, seen)` gives commands, each to the stream that it names.

    `state` is the fold by `evolve` of this stream's events of the types in `reads`, up to and including this event.
    The name is part of every command's id: after a change of the name the same events are answered once more.
    """

    name: str
    category: Category
    reads: tuple[type[Event], ...]
    react: Callable[[Any, Any, Seen], Sequence[Command]]
    initial: msgspec.Struct = NOTHING
    evolve: Callable[[Any, Any], Any] = unchanged
    fingerprint: str = field(init=False)
    times: bool = field(init=False, repr=False, compare=False)
    """Whether states may hold times."""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise BadReactor(f"the reactor {self.name!r} is not named in lower case letters, digits and _")
        if foreign := [event.__name__ for event in self.reads if event not in self.category.events]:
            raise BadReactor(f"the reactor {self.name} reads {', '.join(foreign)}, which {self.category.name} lacks")
        object.__setattr__(self, "fingerprint", self._fingerprint())
        object.__setattr__(self, "times", may_hold_times(held_by(type(self.initial))))
        object.__setattr__(self, "react", in_authors_arithmetic(self.react))

    @property
    def remembers(self) -> bool:
        """Whether the reactor has a state to keep."""
        return not isinstance(self.initial, Nothing)

    def fold(self, events: Sequence[Event], state: Any = None) -> Any:
        """The state after some events of a stream. Events of types that the reactor does not read leave it as it is."""
        state = self.initial if state is None else state
        with authors_arithmetic():
            for event in events:
                if isinstance(event, self.reads):
                    state = self.evolve(state, event)
        return state

    def dump(self, state: Any) -> bytes:
        """The state as bytes for the table."""
        return dumped(state, holds_times=self.times)

    def load(self, stored: bytes) -> Any:
        """The state from its stored bytes."""
        return msgspec.json.decode(stored, type=type(self.initial))

    def _fingerprint(self) -> str:
        """A hash of all that shapes the state. If it changes, stored states are stale, and streams are folded again."""
        fields = described(self.initial)
        reads = sorted(event.__name__ for event in self.reads)
        text = repr((self.category.name, fields, repr(self.initial), reads)) + inspect.getsource(self.evolve)
        text += sums_of(type(self.initial))
        if within := structs_within(type(self.initial)):
            text += repr(within)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
