"""What a build remembers of streams for the values that are carried within them: hidden tables beside the model's.

A memory has a row for each event that a value is carried from, never changed and never taken away. So what a stream said
before any event can be looked up: by the fold, and by whoever explains a row later.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from refold.projections.declaring.carried import Carried, carried_within
from refold.projections.declaring.declaration import EventType, Model, Rollup, handled
from refold.projections.declaring.event_table import EventTable, cell
from refold.projections.declaring.gathering import Computed, Events
from refold.projections.tables.layout import Layout, layout_of
from refold.schemas.contracts import Category

STREAM, VERSION, PART = "stream", "version", "part"
"""Columns of a memory: which event of which stream it remembers."""


@dataclass(frozen=True, eq=False)
class MemoryLayout(Layout):
    """The table of a memory. Its name is of no model: those begin with a letter."""

    number: int = 0

    @property
    def name(self) -> str:
        return f"_carried_{self.number}"


@dataclass(frozen=True, eq=False)
class Memory:
    """What is carried from events of the same types. `cells`: the memory's column of each carried value.

    `sources`: the event types that are remembered. `users`: those to which the values are carried.
    """

    layout: MemoryLayout
    sources: tuple[EventType, ...]
    users: tuple[EventType, ...]
    cells: dict[str, str]
    """The name of an event's column for each column of the memory."""


@cache
def memories_of(layout: Layout) -> tuple[Memory, ...]:
    """The memories that a model needs: one for each choice of event types of a category from which it carries."""
    if isinstance(layout, MemoryLayout):
        return ()
    found: dict[tuple[str, tuple[type, ...]], dict[Carried, dict[EventType, None]]] = {}
    for kind, said in _uses(layout.model):
        group = found.setdefault((kind.category.name, said.types), {})
        group.setdefault(said, {})[kind] = None
    categories = {kind.category.name: kind.category for kind in handled(layout.model)}
    return tuple(
        _memory(number, layout.model.domain, categories[name], group)
        for number, ((name, _), group) in enumerate(found.items())
    )


def read_types(model: Model) -> list[EventType]:
    """The event types that a fold of the model reads: those that it gathers, and those that it carries from."""
    found = dict.fromkeys(handled(model))
    for kind, said in _uses(model):
        found |= {EventType(kind.category, one): None for one in said.types}
    return sorted(found, key=lambda kind: (kind.category.name, kind.event.__name__))


def _uses(model: Model) -> Iterator[tuple[EventType, Carried]]:
    """Each carried value of a declaration, with each type of events to which it is carried."""
    every = handled(model)
    said: list[tuple[list[EventType] | tuple[EventType, ...], Any]] = []
    if isinstance(model, Rollup):
        said += [(every, part.value) for part in model.key.values()]
        if model.row_events is not None:
            said.append((model.row_events.types, model.row_events.condition))
    for column in model.columns.values():
        given = column.given if isinstance(column, Computed) else None
        said.append((column.of.types, (column.value, column.of.condition, given)))
    for kinds, value in said:
        for carried in carried_within(value):
            for kind in kinds:
                yield kind, carried


def _memory(number: int, domain: str, category: Category, group: dict[Carried, dict[EventType, None]]) -> Memory:
    names = {f"v{place}": said for place, said in enumerate(group)}
    sources = tuple(EventType(category, one) for one in next(iter(group)).types)
    table = EventTable(
        name="memory",
        domain=domain,
        description="What is carried.",
        of=Events(sources),
        stream=(STREAM, "Its stream."),
        version=(VERSION, "Its place there."),
        part=(PART, "Its number among the events of one upcast."),
        columns={name: cell(said.value, "What is carried.") for name, said in names.items()},
    )
    laid = layout_of(table)
    users = tuple(dict.fromkeys(kind for kinds in group.values() for kind in kinds))
    layout = MemoryLayout(table, laid.keys, laid.columns, laid.gathers, laid.derived, number=number)
    return Memory(layout, sources, users, {name: said.column for name, said in names.items()})
