"""Reads retired events as today's events, by the authors' upcasters: pure functions that each take one stored event.

An upcaster's signature is its declaration: `def split(old: Relabelled) -> tuple[Rebranded, Repacked]` names the retired
class and the classes that it may return. The log is never rewritten: every reader of a retired event calls this module.
"""

import inspect
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from refold.schemas.arithmetic import authors_arithmetic
from refold.schemas.contracts import MAX_EVENTS_PER_COMMAND, Category, Event, Upcaster
from refold.schemas.errors import BadUpcaster, UpcastFailed

MOST_EVENTS = MAX_EVENTS_PER_COMMAND
"""Most events that an upcaster may return: as many as a command may write."""


@dataclass(frozen=True)
class Upcast:
    """An upcaster and its signature: the retired class, and the classes that it may return."""

    old: type[Event]
    new: tuple[type[Event], ...]
    apply: Upcaster

    def made(self, event: Event) -> tuple[Event, ...]:
        """The events that it returns for one event. Raises UpcastFailed."""
        try:
            with authors_arithmetic():
                found = self.apply(event)
                made = (found,) if isinstance(found, Event) else tuple(found)
        except Exception as problem:  # authors' code: any exception holds this event's stream, nothing else
            raise UpcastFailed(f"{self.name}: {type(problem).__name__}: {problem}") from problem
        if not made:
            raise UpcastFailed(f"{self.name} gave no event for {self.old.__name__}")
        if strange := {type(one).__name__ for one in made if type(one) not in self.new}:
            raise UpcastFailed(f"{self.name} gave {', '.join(sorted(strange))}, which its signature does not name")
        return made

    @property
    def name(self) -> str:
        return getattr(self.apply, "__qualname__", repr(self.apply))


class Upcasts:
    """The checked upcasters of one category. Each leads to today's events, directly or through other retired types."""

    def __init__(self, category: Category) -> None:
        """Raises BadUpcaster."""
        self._category = category.name
        found = [_read(category, apply) for apply in category.upcasters]
        self.by_class: Mapping[type[Event], Upcast] = {upcast.old: upcast for upcast in found}
        names = [cls.__name__ for cls in (*category.classes, *(upcast.old for upcast in found))]
        if twice := {name for name in names if names.count(name) > 1}:
            raise BadUpcaster(
                f"{category.name}: {', '.join(sorted(twice))} is retired twice, or is an event of today or a command, too"
            )
        for upcast in found:
            for cls in upcast.new:
                if cls not in category.events and cls not in self.by_class:
                    raise BadUpcaster(f"{category.name}: {upcast.name} gives {cls.__name__}, no event of the category")
        self._todays = {upcast.old: self._types(upcast, ()) for upcast in found}

    @property
    def retired(self) -> tuple[type[Event], ...]:
        """The classes that are still read but no longer written."""
        return tuple(self.by_class)

    def types(self, old: type[Event]) -> frozenset[type[Event]]:
        """Today's types as which an event of a retired type may be read."""
        return self._todays[old]

    def todays(self, event: Event) -> tuple[Event, ...]:
        """The event itself, or the events that its upcasters return, in order. Raises UpcastFailed."""
        upcast = self.by_class.get(type(event))
        if upcast is None:
            return (event,)
        found = tuple(today for made in upcast.made(event) for today in self.todays(made))
        if len(found) > MOST_EVENTS:
            raise UpcastFailed(f"{upcast.name} leads to {len(found)} events; {MOST_EVENTS} are allowed")
        return found

    def identity(self, types: Iterable[type[Event]]) -> list[tuple[str, list[str], str]]:
        """Names and source of the upcasters that can return events of these types. They differ if the upcasters do."""
        wanted = set(types)
        steps = {step for old, todays in self._todays.items() if todays & wanted for step in self._chain(old)}
        return sorted((s.old.__name__, [c.__name__ for c in s.new], inspect.getsource(s.apply)) for s in steps)

    def _chain(self, old: type[Event]) -> Iterator[Upcast]:
        if upcast := self.by_class.get(old):
            yield upcast
            for cls in upcast.new:
                yield from self._chain(cls)

    def _types(self, upcast: Upcast, before: tuple[type[Event], ...]) -> frozenset[type[Event]]:
        way = (*before, upcast.old)
        found: set[type[Event]] = set()
        for cls in upcast.new:
            if cls in way:
                names = " to ".join(step.__name__ for step in (*way, cls))
                raise BadUpcaster(f"{self._category}: the upcasters go round in a circle: {names}")
            found |= self._types(self.by_class[cls], way) if cls in self.by_class else {cls}
        return frozenset(found)


@cache
def upcasts_of(category: Category) -> Upcasts:
    """The upcasters of a category. Raises BadUpcaster."""
    return Upcasts(category)


def _read(category: Category, apply: Upcaster) -> Upcast:
    """An upcaster, read from its signature. Raises BadUpcaster."""
    where = f"{category.name}: {getattr(apply, '__qualname__', repr(apply))}"
    try:
        names = list(inspect.signature(apply).parameters)
        hints = typing.get_type_hints(apply)
    except (TypeError, ValueError, NameError) as problem:
        raise BadUpcaster(f"{where} has no readable signature: {problem}") from problem
    if len(names) != 1 or not {*names, "return"} <= hints.keys():
        raise BadUpcaster(f"{where} is not of the form (old: RetiredEvent) -> Event, or a tuple of them")
    old, new = list(_events(hints[names[0]])), list(dict.fromkeys(_events(hints["return"])))
    if len(old) != 1 or not new or None in (*old, *new):
        raise BadUpcaster(f"{where} does not name the retired event and what comes of it by their classes")
    return Upcast(typing.cast("type[Event]", old[0]), tuple(cls for cls in new if cls is not None), apply)


def _events(hint: object) -> Iterator[type[Event] | None]:
    """The event classes that a type hint names; None for anything else."""
    parts = [part for part in typing.get_args(hint) if part is not Ellipsis]
    if parts:
        for part in parts:
            yield from _events(part)
    else:
        is_event = isinstance(hint, type) and issubclass(hint, Event) and hint is not Event
        yield typing.cast("type[Event]", hint) if is_event else None
