"""One place as a reader holds it."""

from dataclasses import dataclass


@dataclass
class At:
    """Where the reader is in a place: the next offset, which seek brought it there, and whether its fold asked for a pause."""

    offset: int
    generation: int
    assignment: int
    flowing: bool = True
    paused: bool = False
