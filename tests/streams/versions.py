"""Two releases of one small domain: the later adds an optional field, an event type, a command and an upcaster."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from refold.projections.declaring.declaration import Rollup
from refold.projections.declaring.gathering import events, key
from refold.projections.tables.declared import Declared, declared_of
from refold.schemas.avro import schema_of
from refold.schemas.catalog import Catalog
from refold.schemas.contracts import Category, Command, Event
from refold.streams.decider import Decider
from refold.streams.domain import Domains

NOTES = "diary.notes"
Note = Annotated[str, Meta(description="Its stream.")]
Text = Annotated[str, Meta(description="What it says.")]
Mood = Annotated[str | None, Meta(description="How it was said.")]


class State(msgspec.Struct, frozen=True):
    """How many lines a note has, and how many of them were said in a mood, are pinned, or were struck out."""

    lines: int = 0
    moods: int = 0
    pins: int = 0
    struck: int = 0


class AddLine(Command):
    """Add a line."""

    stream_field = "note"
    note: Note
    text: Text


class LineAdded(Event):
    """A line was added."""

    text: Text


class LineStruck(Event):
    """A line was struck out."""

    text: Text


class StrikeLine(Command):
    """Strike a line out."""

    stream_field = "note"
    note: Note
    text: Text


def _decide(command: Any, _: State) -> Event:
    return LineAdded(text=command.text) if isinstance(command, AddLine) else LineStruck(text=command.text)


def _evolve(state: State, event: Any) -> State:
    if isinstance(event, LineAdded):
        return msgspec.structs.replace(state, lines=state.lines + 1)
    return msgspec.structs.replace(state, struck=state.struck + 1)


@dataclass(frozen=True)
class Release:
    """One release's code: its classes by name, its domains, and its read models."""

    classes: Mapping[str, type[Any]]
    domains: Domains
    declared: Declared

    def make(self, name: str, **fields: Any) -> Any:
        """An event or a command of this release."""
        return self.classes[name](**fields)


def _release(category: Category, decider: Decider[Any, Any, Any], retired: tuple[type[Event], ...] = ()) -> Release:
    frozen = [schema_of(cls, NOTES) for cls in (*category.classes, *retired)]
    domains = Domains(("diary",), {NOTES: category}, {NOTES: decider}, {}, Catalog([category], frozen))
    added = next(cls for cls in category.events if cls.__name__ == "LineAdded")
    lines = Rollup(
        name="lines",
        domain="diary",
        description="Lines by text.",
        key={"text": key("text", "The text.")},
        columns={"lines": events(category, added).count("How many.")},
    )
    return Release({cls.__name__: cls for cls in category.classes}, domains, declared_of([lines]))


def older() -> Release:
    """Lines are added and struck out."""
    category = Category(NOTES, (AddLine, StrikeLine), (LineAdded, LineStruck))
    return _release(category, Decider(category, State(), _decide, _evolve))


def newer() -> Release:
    """A line may have a mood, notes are pinned, and a line that is struck out has a reason: LineStruck is retired."""
    old_struck, old_strike = LineStruck, StrikeLine
    classes = _newer_classes()
    add_line, pin_note = classes["AddLine"], classes["PinNote"]
    line_added, note_pinned, line_removed = classes["LineAdded"], classes["NotePinned"], classes["LineRemoved"]

    def decide(command: Any, _: State) -> Event:
        match command:
            case add_line():
                return line_added(text=command.text, mood=command.mood)  # type: ignore[no-any-return]  # made by msgspec.defstruct, so Any
            case pin_note():
                return note_pinned(by=command.by)  # type: ignore[no-any-return]  # as above
        return line_removed(text=command.text, reason="none")  # type: ignore[no-any-return]  # as above

    def evolve(state: State, event: Any) -> State:
        match event:
            case line_added():
                moods = state.moods + (event.mood is not None)
                return msgspec.structs.replace(state, lines=state.lines + 1, moods=moods)
            case note_pinned():
                return msgspec.structs.replace(state, pins=state.pins + 1)
        return msgspec.structs.replace(state, struck=state.struck + 1)

    def removed(old: Any) -> Any:
        return line_removed(text=old.text, reason="unknown")

    removed.__annotations__ = {"old": old_struck, "return": line_removed}
    removed.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # an upcaster's signature is its declaration
        [inspect.Parameter("old", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=old_struck)],
        return_annotation=line_removed,
    )
    category = Category(NOTES, (add_line, pin_note, old_strike), (line_added, note_pinned, line_removed), (removed,))
    return _release(category, Decider(category, State(), decide, evolve), (old_struck,))


def _newer_classes() -> dict[str, type[Any]]:
    """Those that have the names of the older release's stand in a scope of their own."""

    class AddLine(Command):
        """Add a line."""

        stream_field = "note"
        note: Note
        text: Text
        mood: Mood = None

    class PinNote(Command):
        """Pin a note."""

        stream_field = "note"
        note: Note
        by: Annotated[str, Meta(description="Who pins it.")]

    class LineAdded(Event):
        """A line was added."""

        text: Text
        mood: Mood = None

    class NotePinned(Event):
        """A note was pinned."""

        by: Annotated[str, Meta(description="Who pinned it.")]

    class LineRemoved(Event):
        """A line was struck out, for a reason."""

        text: Text
        reason: Annotated[str, Meta(description="Why.")]

    return {cls.__name__: cls for cls in (AddLine, PinNote, LineAdded, NotePinned, LineRemoved)}
