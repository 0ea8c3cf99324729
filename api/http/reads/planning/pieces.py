"""Pieces of a statement's text, with the numbers of the values that they bind.

A statement is made once for all queries of one shape. So a piece holds no value, only the number of each, in the order in which
`%s` stands in its text; a value may be bound at several places.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Piece(NamedTuple):
    """SQL with `%s` for each of `slots`."""

    text: str
    slots: tuple[int, ...] = ()


def joined(separator: str, pieces: Iterable[Piece]) -> Piece:
    """The pieces, one after the other."""
    held = list(pieces)
    return Piece(separator.join(piece.text for piece in held), tuple(slot for piece in held for slot in piece.slots))


def put(template: str, *pieces: Piece | str) -> Piece:
    """The template with a piece for each `{}`, in order. The template binds no value itself."""
    held = [Piece(piece) if isinstance(piece, str) else piece for piece in pieces]
    return Piece(
        template.format(*(piece.text for piece in held)), tuple(slot for piece in held for slot in piece.slots)
    )


class Numbers:
    """Gives out the numbers of values, in the order in which a query's values are read."""

    def __init__(self, first: int = 0) -> None:
        self._next = first

    def value(self, cast: str) -> Piece:
        """The next value, as a type that our own code names."""
        self._next += 1
        return Piece(f"%s::{cast}", (self._next - 1,))


def slot(number: int) -> Piece:
    """A number of rows that is bound as the value of this number."""
    return Piece("%s::bigint", (number,))


def identifier(*names: str) -> str:
    """A declared name as SQL."""
    return ".".join('"' + name.replace('"', '""').replace("%", "%%") + '"' for name in names)


def literal(text: str) -> str:
    """A text of our own as SQL."""
    return "'" + text.replace("'", "''").replace("%", "%%") + "'"
