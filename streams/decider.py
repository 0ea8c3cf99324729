"""The contract of a domain's rules: three pure functions. No clock, no I/O, no randomness in any of them."""

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from refold.schemas.contracts import Category, Command, Event
from refold.schemas.upcast import upcasts_of

State = TypeVar("State", bound=msgspec.Struct)
C = TypeVar("C", bound=Command)
E = TypeVar("E", bound=Event)


@dataclass(frozen=True)
class Rejected:
    """The domain's refusal of a command: a stable code and a sentence for people."""

    code: str
    message: str


Decision = Event | tuple[Event, ...] | Rejected


@dataclass(frozen=True)
class Decider(Generic[State, C, E]):
    """How one category decides: `decide(command, state)` gives events or a rejection, `evolve(state, event)` folds."""

    category: Category
    initial: State
    decide: Callable[[C, State], Decision]
    evolve: Callable[[State, E], State]
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fingerprint", _fingerprint(type(self.initial), self.evolve, self.category))

    def fold(self, events: tuple[Any, ...], state: State | None = None) -> State:
        """The state after the events, from `state` or from the beginning."""
        state = self.initial if state is None else state
        for event in events:
            state = self.evolve(state, event)
        return state

    def dump(self, state: State) -> bytes:
        """The state as the bytes that the core's tables hold."""
        return msgspec.json.encode(state)

    def load(self, stored: bytes | None) -> State:
        """The state from its stored bytes; none is the initial one."""
        return self.initial if stored is None else msgspec.json.decode(stored, type=type(self.initial))


def _fingerprint(state: type, evolve: Callable[..., Any], category: Category) -> str:
    """A new one makes every stored state of the category stale: the stream is then folded anew."""
    fields = [(f.encode_name, str(f.type), repr(f.default)) for f in msgspec.structs.fields(state)]
    text = repr(fields) + inspect.getsource(evolve)
    if category.upcasters:
        text += repr(upcasts_of(category).identity(category.events))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
