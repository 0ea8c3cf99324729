"""Two releases of one domain as packages; the later adds an optional field, event type, command and upcaster."""

from pathlib import Path

_HEAD = '''
from typing import Annotated

from msgspec import Meta

from refold.schemas.contracts import Category, Command, Event

Note = Annotated[str, Meta(description="Its stream.")]
Text = Annotated[str, Meta(description="What it says.")]


class LineStruck(Event):
    """A line was struck out."""

    text: Text


class StrikeLine(Command):
    """Strike a line out."""

    stream_field = "note"
    note: Note
    text: Text


class AddLine(Command):
    """Add a line."""

    stream_field = "note"
    note: Note
    text: Text
{mood}

class LineAdded(Event):
    """A line was added."""

    text: Text
{mood}
'''
_MOOD = '    mood: Annotated[str | None, Meta(description="How it was said.")] = None\n'
_OLD_SCHEMAS = (
    _HEAD.format(mood="")
    + '\nCATEGORIES = (NOTES,) = (Category("diary.notes", (AddLine, StrikeLine), (LineAdded, LineStruck)),)\n'
)
_NEW_SCHEMAS = (
    _HEAD.format(mood=_MOOD)
    + '''
class PinNote(Command):
    """Pin a note."""

    stream_field = "note"
    note: Note


class NotePinned(Event):
    """A note was pinned."""

    by: Annotated[str, Meta(description="Who pinned it.")]


class LineRemoved(Event):
    """A line was struck out, for a reason."""

    text: Text
    reason: Annotated[str, Meta(description="Why.")]


def removed(old: LineStruck) -> LineRemoved:
    return LineRemoved(text=old.text, reason="unknown")


CATEGORIES = (NOTES,) = (
    Category("diary.notes", (AddLine, PinNote, StrikeLine), (LineAdded, NotePinned, LineRemoved), (removed,)),
)
'''
)
_RULES = '''
import msgspec

from diary.schemas import *
from diary.schemas import NOTES
from refold.streams.decider import Decider


class State(msgspec.Struct, frozen=True):
    """How many lines were added, struck out, and how often the note was pinned."""

    lines: int = 0
    struck: int = 0
    pins: int = 0


def decide(command, state):
    {decide}


def evolve(state, event):
    {evolve}


DECIDERS = (Decider(NOTES, State(), decide, evolve),)
'''
_OLD_DECIDE = "return LineAdded(text=command.text) if isinstance(command, AddLine) else LineStruck(text=command.text)"
_OLD_EVOLVE = (
    "return State(state.lines + isinstance(event, LineAdded), state.struck + isinstance(event, LineStruck), state.pins)"
)
_NEW_DECIDE = """
    if isinstance(command, AddLine):
        return LineAdded(text=command.text, mood=command.mood)
    return NotePinned(by="me") if isinstance(command, PinNote) else LineRemoved(text=command.text, reason="none")
""".strip()
_NEW_EVOLVE = """
    return State(
        state.lines + isinstance(event, LineAdded),
        state.struck + isinstance(event, LineRemoved),
        state.pins + isinstance(event, NotePinned),
    )
""".strip()
_MODELS = """
from diary.schemas import NOTES, LineAdded
from refold.projections.declaring.declaration import Rollup
from refold.projections.declaring.gathering import events, key

added = events(NOTES, LineAdded)
READ_MODELS = (
    Rollup(name="lines", domain="diary", description="Lines by text.", key={"text": key("text", "T.")},
           columns={"lines": added.count("How many.")}),
)
"""


def write(room: Path) -> None:
    """The packages `old/diary` and `new/diary`, whose schemas are not frozen yet."""
    for version, schemas, decide, evolve in (
        ("old", _OLD_SCHEMAS, _OLD_DECIDE, _OLD_EVOLVE),
        ("new", _NEW_SCHEMAS, _NEW_DECIDE, _NEW_EVOLVE),
    ):
        package = room / version / "diary"
        (package / "schemas").mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "schemas" / "__init__.py").write_text(schemas)
        (package / "streams.py").write_text(_RULES.format(decide=decide, evolve=evolve))
        (package / "projections.py").write_text(_MODELS)
