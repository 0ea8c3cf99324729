"""The contract of a domain's rules: three pure functions, without clock, I/O or randomness."""

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Generic, TypeVar

import msgspec
import msgspec.inspect

from refold.schemas.arithmetic import AUTHORS, authors_arithmetic, in_authors_arithmetic
from refold.schemas.contracts import Category, Command, Event, FactCommand, fact_of
from refold.schemas.upcast import upcasts_of
from refold.streams.state_bytes import dumped, may_hold_times

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
    """The rules of a category: `decide(command, state)` gives events or a rejection, `evolve(state, event)` folds."""

    category: Category
    initial: State
    decide: Callable[[C, State], Decision]
    evolve: Callable[[State, E], State]
    fingerprint: str = field(init=False)
    times: bool = field(init=False, repr=False, compare=False)
    """Whether states may hold times."""
    ask: Callable[[C, State], Decision] = field(init=False, repr=False, compare=False)
    """`decide` as the author wrote it. Like `go_on` it is for callers that are in `authors_arithmetic` already."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "fingerprint", _fingerprint(type(self.initial), self.evolve, self.category))
        object.__setattr__(self, "times", may_hold_times(held_by(type(self.initial))))
        object.__setattr__(self, "ask", _facts_as_they_are(self.decide) if self.category.facts else self.decide)
        object.__setattr__(self, "decide", in_authors_arithmetic(self.ask))

    def fold(self, events: tuple[Any, ...], state: State | None = None) -> State:
        """The state after the events, from `state` or from the beginning."""
        with authors_arithmetic():
            return self.go_on(events, self.initial if state is None else state)

    def go_on(self, events: tuple[Any, ...], state: State) -> State:
        """The same for callers that are in `authors_arithmetic` already."""
        for event in events:
            state = self.evolve(state, event)
        return state

    def dump(self, state: State) -> bytes:
        """The state as the bytes that the core's tables hold."""
        return dumped(state, holds_times=self.times)

    def load(self, stored: bytes | None) -> State:
        """The state from its stored bytes; None gives the initial state."""
        return self.initial if stored is None else msgspec.json.decode(stored, type=type(self.initial))


def _facts_as_they_are(decide: Callable[[Any, Any], Decision]) -> Callable[[Any, Any], Decision]:
    """The author's rule for commands, and none for facts: each becomes its event."""

    @wraps(decide)
    def ask(command: Any, state: Any) -> Decision:
        return fact_of(command) if isinstance(command, FactCommand) else decide(command, state)

    return ask


class Nothing(msgspec.Struct, frozen=True):
    """The state of a category without rules."""


def facts_alone(category: Category) -> Decider[Nothing, Command, Event]:
    """The rules of a category that has facts and no commands of the author's: none."""
    return Decider(category, Nothing(), _none, _nothing)


def _none(command: Command, _: Nothing) -> Decision:
    return Rejected("decide-failed", f"no rule decides {type(command).__name__}")


def _nothing(state: Nothing, _: Event) -> Nothing:
    return state


def _fingerprint(state: type, evolve: Callable[..., Any], category: Category) -> str:
    """The hash of the code that folds a category. A new one makes its stored states stale: they are folded again."""
    text = repr(described(state)) + inspect.getsource(evolve) + sums_of(state)
    if within := structs_within(state):
        text += repr(within)
    if category.upcasters:
        text += repr(upcasts_of(category).identity(category.events))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sums_of(state: type) -> str:
    """The precision of a state's decimals, empty if it has none. States of another precision may be rounded."""
    return f"decimals of {AUTHORS.prec} digits" if "Decimal" in repr(held_by(state)) else ""


def held_by(state: type) -> list[Any]:
    """The types within a state, at any depth."""
    return [described(state), structs_within(state)]


def described(struct: Any) -> list[tuple[str, str, str]]:
    """Name, type and default of each field of a struct or its class: they decide how its stored bytes are read."""
    return [(f.encode_name, str(f.type), repr(f.default)) for f in msgspec.structs.fields(struct)]


def structs_within(state: type) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Name and fields of every struct within a state's fields, since its stored bytes are read by them too."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    left, seen = _parts(msgspec.inspect.type_info(state)), set[int]()
    while left:
        node = left.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, msgspec.inspect.StructType) and node.cls is not state:
            found[str(node.cls)] = described(node.cls)
        left += _parts(node)
    return sorted(found.items())


def _parts(node: Any) -> list[Any]:
    """The types that a type is made of."""
    held = [getattr(node, name) for name in node.__struct_fields__]
    flat = [item for value in held for item in (value if isinstance(value, tuple) else (value,))]
    return [item for item in flat if isinstance(item, msgspec.inspect.Type | msgspec.inspect.Field)]
