"""The parts of a trace: commands, their events, and the reactors' answers to these, as a tree."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from refold.projections.explaining.steps import RowRecord
from refold.projections.tables.layout import Layout
from refold.schemas.meta import CommandMeta, Meta

ACCEPTED, REJECTED, PENDING, WAITING, PARKED = "accepted", "rejected", "pending", "waiting", "parked"
"""A command's outcome; PENDING: in the log and not decided. Of a reaction also: its reactor has not come to the event, or waits."""


@dataclass(frozen=True)
class OutcomeRow:
    """A row of `refold.outcomes`."""

    category: str
    stream: str
    command_id: UUID
    code: str | None
    message: str | None
    base_version: int
    events: int
    part: int
    first_offset: int


@dataclass(frozen=True)
class RowTouched:
    """A row of a read model that an event is added to."""

    layout: Layout
    key: tuple[Any, ...]


@dataclass
class TracedEvent:
    """An event, the rows that it changes, and the answers to it. `record` is None if the event cannot be read."""

    part: int
    offset: int
    version: int
    record: RowRecord | None
    rows: list[RowTouched] = field(default_factory=list)
    reactions: list["Reaction"] = field(default_factory=list)


@dataclass
class TracedCommand:
    """A command and what came of it. `name` and `fields` are None where the command cannot be read."""

    category: str
    stream: str
    command_id: UUID
    status: str
    outcome: OutcomeRow | None = None
    name: str | None = None
    fields: Any = None
    meta: Meta | CommandMeta | None = None
    events: list[TracedEvent] = field(default_factory=list)
    cut: str | None = None
    """Why its events are not followed: the trace's limit, or it stands further above."""


@dataclass
class Reaction:
    """A reactor's answer to an event: a command, or the reason why there is none yet."""

    reactor: str
    status: str
    command: TracedCommand | None = None
    code: str | None = None


@dataclass
class Trace:
    """All that an id led to. `cut`: reasons why it is not whole; `searched_from`: the first offsets that a search of the log read, if there was one."""

    asked: str
    read_as: str
    roots: list[TracedCommand] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    left: dict[tuple[str, int], int] = field(default_factory=dict)
    """Offsets before which the log is not searched yet."""

    @property
    def complete(self) -> bool:
        return not self.cut and not self.left


Step = tuple[int, TracedCommand | TracedEvent | Reaction]
"""A part of a trace with its depth."""


def in_order(roots: list[TracedCommand], depth: int = 0) -> Iterator[Step]:
    """Each part of the tree, causes before effects."""
    for command in roots:
        yield depth, command
        for event in command.events:
            yield depth + 1, event
            for reaction in event.reactions:
                yield depth + 2, reaction
                if reaction.command is not None:
                    yield from in_order([reaction.command], depth + 3)
