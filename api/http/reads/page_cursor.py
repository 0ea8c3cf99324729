"""Cursors of answers that are found in the log: the question they belong to, a number, positions, and a word to remember."""

from collections.abc import Mapping

import msgspec

from refold.api.errors import CursorInvalid, Fault
from refold.api.http.reads.opaque import opaque, revealed
from refold.streams.chunk import Place

_Held = tuple[str, int, list[tuple[str, int, int]], str]


def written(start: int, positions: Mapping[Place, int], binding: str, prefix: str, word: str = "") -> str:
    """The cursor as a client gets it. Topics lack their prefix, as in position tokens."""
    places = [(topic.removeprefix(prefix), part, at) for (topic, part), at in sorted(positions.items())]
    return opaque(msgspec.json.encode([binding, start, places, word]))


def read(text: str, binding: str, prefix: str) -> tuple[int, dict[Place, int], str]:
    """The number, the positions and the word. Raises CursorInvalid for a cursor of another question."""
    try:
        bound_to, start, places, word = msgspec.json.decode(revealed(text), type=_Held)
    except (ValueError, msgspec.MsgspecError):
        bound_to, start, places, word = "", 0, [], ""
    if bound_to != binding or start < 0 or any(at < 0 for *_, at in places):
        message = "the cursor is not one of this question: follow `next` as it is"
        raise CursorInvalid(message, Fault("cursor", CursorInvalid.code, message))
    return start, {(prefix + topic, part): at for topic, part, at in places}, word
