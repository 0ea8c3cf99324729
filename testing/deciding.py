"""Given, when, then: what rules decide, and with what a reactor answers."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, overload
from uuid import UUID

from refold.reactors import Reactor, Seen
from refold.schemas.contracts import Command, Event, publishing
from refold.schemas.identity import event_uuid
from refold.streams import Decider, Rejected
from refold.streams.reactors.reactor import MAX_COMMANDS_PER_EVENT
from refold.testing.happening import Happened, sound, stored
from refold.testing.purity import Impure, pure

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
"""When an event occurs, if a test does not say."""


@dataclass(frozen=True)
class Refusal:
    """A rejection that a test expects: its code, and its sentence if the test names one."""

    code: str
    message: str | None = None


def rejected(code: str, message: str | None = None) -> Refusal:
    """What `then` expects of rules that refuse: `.then(rejected("copy-lent"))`."""
    return Refusal(code, message)


@dataclass(frozen=True)
class Decided:
    """What rules decided: events or a rejection. `then` compares."""

    answer: tuple[Event, ...] | Rejected

    def then(self, *expected: Event | Refusal) -> None:
        """Raises AssertionError unless exactly this was decided. Nothing expected: no event, and no rejection."""
        answer, wanted = self.answer, expected
        if len(wanted) == 1 and isinstance(wanted[0], Refusal):
            assert isinstance(answer, Rejected), f"decided {answer}, not the rejection {wanted[0].code}"
            found = Refusal(answer.code, answer.message if wanted[0].message is not None else None)
            assert found == wanted[0]
            return
        assert not isinstance(answer, Rejected), f"rejected: {answer.code}: {answer.message}"
        assert answer == wanted


@dataclass(frozen=True)
class Answered:
    """The commands with which a reactor answered."""

    answer: tuple[Command, ...]

    def then(self, *expected: Command) -> None:
        """Raises AssertionError unless exactly these commands were the answer, in this order."""
        assert self.answer == expected


@dataclass(frozen=True)
class GivenRules:
    """Rules and the state after some events."""

    rules: Decider[Any, Any, Any]
    state: Any

    def when(self, command: Command | Event) -> Decided:
        """Decide a command, or publish a fact. Raises Impure, and BadValue for what breaks its contract."""
        if isinstance(command, Event) and type(command) in self.rules.category.facts:
            command = publishing(command, "stream-1")
        if type(command) not in self.rules.category.commands:
            raise TypeError(f"{type(command).__name__} is no command of {self.rules.category.name}")
        assert isinstance(command, Command)
        answer = pure(self.rules.decide)(sound(command), self.state)
        if isinstance(answer, Rejected):
            return Decided(answer)
        events = answer if isinstance(answer, tuple) else (answer,)
        for number, event in enumerate(events):
            _writable(self.rules, event, number)
        return Decided(events)


@dataclass(frozen=True)
class GivenReactor:
    """A reactor and the events of its stream so far."""

    reactor: Reactor
    events: tuple[Event, ...]

    def when(
        self,
        event: Event,
        *,
        stream: str = "stream-1",
        at: datetime = AT,
        actor: str | None = None,
        correlation_id: str | None = None,
    ) -> Answered:
        """Let the reactor see one more event of the stream. Raises Impure, BadValue."""
        reactor, version = self.reactor, len(self.events) + 1
        name = reactor.category.name
        seen = Seen(name, stream, version, event_uuid(name, stream, UUID(int=version), 0), at, actor, correlation_id)
        if not isinstance(event, reactor.reads):
            return Answered(())
        state = _folded(reactor, [*self.events, event])
        commands = pure(reactor.react, tuple)(sound(event), state, seen)
        if len(commands) > MAX_COMMANDS_PER_EVENT:
            raise AssertionError(
                f"{len(commands)} commands for one event; at most {MAX_COMMANDS_PER_EVENT} are allowed"
            )
        return Answered(tuple(sound(command) for command in commands))


@overload
def given(rules: Decider[Any, Any, Any], *events: Event) -> GivenRules: ...


@overload
def given(rules: Reactor, *events: Event) -> GivenReactor: ...


def given(rules: Decider[Any, Any, Any] | Reactor, *events: Event) -> GivenRules | GivenReactor:
    """Rules or a reactor, and the events of a stream so far: `given(RULES, Lent(…)).when(TakeBack(…)).then(Returned(…))`.

    `when` gives what `then` compares; its `answer` is for other asserts. Each function is called twice and watched, and each state is
    stored and read again. Raises Impure, and BadValue for an event that breaks its contract.
    """
    if isinstance(rules, Reactor):
        for event in events:
            sound(event)
        return GivenReactor(rules, events)
    for event in events:
        if type(event) not in rules.category.events:
            raise TypeError(f"{type(event).__name__} is no event of {rules.category.name}")
    return GivenRules(rules, _folded(rules, events))


def _folded(rules: Decider[Any, Any, Any] | Reactor, events: Iterable[Event]) -> Any:
    """The state after the events, stored and read again after each of them."""
    watched = replace(rules, evolve=pure(rules.evolve))
    state = rules.initial
    for event in events:
        state = watched.fold((sound(event),), state)
        again = rules.load(rules.dump(state))
        if again != state:
            raise Impure(f"the state is another one once it was stored:\n  {state}\n  {again}")
        state = again
    return state


def _writable(rules: Decider[Any, Any, Any], event: Event, number: int) -> None:
    """Raises BadValue if the log would not take an event that was decided."""
    if type(event) not in rules.category.events:
        raise TypeError(f"decide gave {event!r:.100}, which is no event of {rules.category.name}")
    stored(rules.category, Happened("stream-1", AT, event), number + 1, number)
