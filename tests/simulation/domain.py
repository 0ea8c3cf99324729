"""The smallest domain that shows every fault of a write side: a counter whose commands add or need several events."""

from typing import Annotated

import msgspec
from msgspec import Meta

from refold.schemas.avro import schema_of
from refold.schemas.catalog import Catalog
from refold.schemas.contracts import Category, Command, Event
from refold.streams.decider import Decider, Decision, Rejected
from refold.streams.domain import Domains

Text = Annotated[str, Meta(description="Any text.")]
Small = Annotated[int, Meta(description="A small number.", ge=0, le=1000)]
Flag = Annotated[bool, Meta(description="Yes or no.")]


class Add(Command):
    """Add some events to a stream."""

    stream_field = "stream"
    stream: Text
    events: Small
    tag: Text
    needs_some: Flag = False


class Added(Event):
    """One of them; it says what the decider saw."""

    tag: Text
    seen: Small


class Counter(msgspec.Struct, frozen=True):
    """How many there are."""

    count: int = 0


def decide_add(command: Add, counter: Counter) -> Decision:
    """Refuse an empty stream where one is not wanted."""
    if command.needs_some and counter.count == 0:
        return Rejected("empty", "there is nothing yet")
    return tuple(Added(tag=command.tag, seen=counter.count + i) for i in range(command.events))


def evolve_counter(counter: Counter, _event: Added) -> Counter:
    """Count."""
    return Counter(counter.count + 1)


CATEGORY = Category("sim.counter", (Add,), (Added,))
DECIDER = Decider(CATEGORY, Counter(), decide_add, evolve_counter)
CATALOG = Catalog([CATEGORY], [schema_of(cls, CATEGORY.name) for cls in (Add, Added)])
DOMAINS = Domains(("sim",), CATALOG.categories, {CATEGORY.name: DECIDER}, {}, CATALOG)
