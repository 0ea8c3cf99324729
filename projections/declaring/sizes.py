"""How large a declared value or condition is: everything that reads one visits each part, as often as it stands in it."""

from dataclasses import fields as fields_in
from typing import Any

from refold.projections.declaring.conditions import Condition, Value
from refold.projections.errors import BadDeclaration

MOST_PARTS = 2000
"""Most values and conditions within one. A variable that stands twice in each of 20 lines stands there a million times."""


def refuse_large(said: Any, where: str) -> None:
    """Raise BadDeclaration for a value or a condition of too many parts."""
    if _parts(said, {}) > MOST_PARTS:
        raise BadDeclaration(
            f"{where}: it has more than {MOST_PARTS} values and conditions, with those that stand in it several times"
        )


def _parts(said: Any, known: dict[int, int]) -> int:
    """The number of parts; `known` has those of the objects that were counted already."""
    if isinstance(said, tuple):
        return sum(_parts(part, known) for part in said)
    if not isinstance(said, Value | Condition):
        return 0
    if id(said) not in known:
        inner = (_parts(getattr(said, part.name), known) for part in fields_in(said))
        known[id(said)] = 1 + sum(inner)
    return known[id(said)]
