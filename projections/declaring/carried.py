"""What an earlier event of the same stream said, as a value of a later one: its column, its type, and where it stands."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from dataclasses import fields as fields_in
from typing import Any

from refold.projections.declaring.conditions import Condition, Value
from refold.projections.declaring.field_types import CARRIED, EventType, common_type
from refold.projections.declaring.sql_types import ColumnType
from refold.projections.errors import BadDeclaration
from refold.schemas.contracts import Event
from refold.schemas.upcast import upcasts_of

Typed = tuple[ColumnType, bool]
TypeOf = Callable[[EventType, Value, str, int], Typed]
"""`value_types.value_type`, which reads the value within."""


@dataclass(frozen=True)
class Carried(Value):
    """A value of the stream's latest event of some types, up to and including the event that is gathered."""

    types: tuple[type[Event], ...]
    value: Value

    @property
    def column(self) -> str:
        """Name of the column that holds it: equal for equal values."""
        return f"{CARRIED}{','.join(kind.__name__ for kind in self.types)} {self.value!r}"


def carried_within(said: Any) -> Iterator[Carried]:
    """Every carried value in a value or a condition."""
    match said:
        case Carried():
            yield said
        case tuple():
            for part in said:
                yield from carried_within(part)
        case Value() | Condition():
            for part in fields_in(said):
                yield from carried_within(getattr(said, part.name))


def carried_type(kind: EventType, said: Carried, where: str, depth: int, type_of: TypeOf) -> Typed:
    """The type of a carried value; it may always be null: no such event may have come before. Raises BadDeclaration."""
    if next(carried_within(said.value), None) is not None:
        raise BadDeclaration(f"{where}: carried() takes a value of the earlier event itself, not what is carried to it")
    if not said.types or not all(isinstance(one, type) and issubclass(one, Event) for one in said.types):
        raise BadDeclaration(f"{where}: carried() names a type of events, or a tuple of some, before the value")
    if kind.is_rejection:
        raise BadDeclaration(
            f"{where}: nothing is carried to rejections: they do not wait with their stream, so a rebuild could carry more"
        )
    known, retired = kind.category.events, upcasts_of(kind.category)
    for one in said.types:
        if one in retired.by_class:
            todays = ", ".join(sorted(new.__name__ for new in retired.types(one)))
            raise BadDeclaration(f"{where}: {one.__name__} is retired: carry from {todays}, as which it is read")
        if one not in known:
            raise BadDeclaration(
                f"{where}: no stream of {kind.category.name} has {one.__name__}: a value is carried within one stream"
            )
    found = [type_of(EventType(kind.category, one), said.value, where, depth + 1)[0] for one in said.types]
    return common_type(found, where), True
