"""What an author gathers from events: which events, under which condition, and what a column or a part of a key makes of them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from refold.projections.declaring.conditions import Condition
from refold.projections.declaring.expressions import Expression, Field
from refold.projections.declaring.field_types import EventType
from refold.projections.errors import BadDeclaration
from refold.schemas.contracts import Category, Command, Event
from refold.schemas.rejections import RejectedCommand
from refold.schemas.upcast import upcasts_of

Gather = Literal[
    "count",
    "sum",
    "min",
    "max",
    "first",
    "last",
    "value",
    "avg",
    "stddev",
    "variance",
    "any",
    "all",
    "distinct",
    "quantile",
    "most_common",
    "counted",
]
"""`value`: that of the one event of the row, in an event table. Of `avg` to `all` a row holds parts (`aggregates`).

`counted`: the values from which a quantile or most common one is picked, which no author names.
"""
_PLACES = 9
"""Most decimal places of a quantile. With them, ranks among any number of events that fits in memory have 64 bits."""


@dataclass(frozen=True)
class Events:
    """Events of given types, of one or several categories, optionally under a condition. Its methods make columns.

    A column of a plain field may leave out `doc`: its text is the field's own, which for a sum, min or max says so.
    """

    types: tuple[EventType, ...]
    condition: Condition | None = None

    def __or__(self, other: "Events") -> "Events":
        if self.condition != other.condition:
            raise BadDeclaration("put the condition behind the union: (a | b).where(…)")
        return replace(self, types=self.types + other.types)

    def where(self, condition: Condition) -> "Events":
        """Only the events for which the condition holds."""
        _condition(condition, "where()")
        return replace(self, condition=condition if self.condition is None else self.condition & condition)

    def count(self, doc: str) -> "Column":
        """The number of events."""
        return Column("count", self, None, doc)

    def sum(self, of: str | Expression, doc: str = "") -> "Column":
        """The exact sum of whole or decimal numbers; 0 without events."""
        return Column("sum", self, _expression(of), doc)

    def min(self, of: str | Expression, doc: str = "") -> "Column":
        """The least value; null without events."""
        return Column("min", self, _expression(of), doc)

    def max(self, of: str | Expression, doc: str = "") -> "Column":
        """The greatest value; null without events."""
        return Column("max", self, _expression(of), doc)

    def first(self, of: str | Expression, doc: str = "") -> "Column":
        """The field's value in the earliest event; null if it is null there."""
        return Column("first", self, _expression(of), doc)

    def last(self, of: str | Expression, doc: str = "") -> "Column":
        """The field's value in the latest event; null if it is null there."""
        return Column("last", self, _expression(of), doc)

    def distinct(self, of: str | Expression, doc: str) -> "Column":
        """The exact number of different values that are not null; 0 without events.

        The values lie in a table of their own beside the model's.
        """
        return Column("distinct", self, _expression(of), doc)

    def quantile(self, of: str | Expression, q: float | Decimal, doc: str) -> "Picked":
        """The least value that at least the share `q` (0 to 1) of the values do not exceed; null without values.

        It is one of the values, as of SQL's `percentile_disc`. The values lie in a table of their own, with their counts.
        """
        return Picked("quantile", self, _expression(of), doc, _share(q))

    def median(self, of: str | Expression, doc: str) -> "Picked":
        """The quantile 0.5: the middle value, of an even number of values the lower one of the middle two."""
        return self.quantile(of, 0.5, doc)

    def most_common(self, of: str | Expression, doc: str) -> "Picked":
        """The value that occurs most often, of several such ones the least; null without values."""
        return Picked("most_common", self, _expression(of), doc)

    def avg(self, of: str | Expression, doc: str, scale: int | None = None) -> "Computed":
        """The average of the values that are not null, rounded to `scale` places; null without any.

        Without `scale` it has two places more than the values.
        """
        return Computed("avg", self, _expression(of), doc, scale)

    def stddev(self, of: str | Expression, doc: str, scale: int | None = None) -> "Computed":
        """The standard deviation of a sample, as SQL's `stddev`; null for fewer than two values."""
        return Computed("stddev", self, _expression(of), doc, scale)

    def variance(self, of: str | Expression, doc: str, scale: int | None = None) -> "Computed":
        """The variance of a sample, as SQL's `variance`; null for fewer than two values."""
        return Computed("variance", self, _expression(of), doc, scale)

    def any(self, condition: Condition, doc: str) -> "Computed":
        """Whether the condition holds for one event at least; false without events."""
        return Computed("any", self, None, doc, given=_condition(condition, "any()"))

    def all(self, condition: Condition, doc: str) -> "Computed":
        """Whether the condition holds for every event; true without events."""
        return Computed("all", self, None, doc, given=_condition(condition, "all()"))


def events(category: Category, *types: type[Event]) -> Events:
    """Events of a category, of the given types."""
    unknown = [t.__name__ for t in types if t not in category.events]
    retired = upcasts_of(category)
    for old in (t for t in types if t in retired.by_class):
        todays = ", ".join(sorted(t.__name__ for t in retired.types(old)))
        raise BadDeclaration(f"{old.__name__} of {category.name} is retired: gather {todays}, as which it is read")
    if unknown or not types:
        raise BadDeclaration(f"{category.name} has no event {', '.join(unknown) or '(none was named)'}")
    return Events(tuple(EventType(category, t) for t in types))


def rejections(category: Category, *commands: type[Command]) -> Events:
    """Rejections of a category's commands, all or those of the given types: `command`, `code` and `message`."""
    if unknown := [c.__name__ for c in commands if c not in category.commands]:
        raise BadDeclaration(f"{category.name} has no command {', '.join(unknown)}")
    found = Events((EventType(category, RejectedCommand),))
    return found.where(Field("command").is_in(*(c.__name__ for c in commands))) if commands else found


@dataclass(frozen=True)
class Column:
    """A column: what it gathers, the events that it gathers from, and its text for people (empty: that of its field)."""

    gather: Gather
    of: Events
    value: Expression | None
    doc: str


@dataclass(frozen=True)
class Computed(Column):
    """A column that is computed from hidden ones. `scale`: its places; `given`: the condition of an any or all."""

    scale: int | None = None
    given: Condition | None = None


@dataclass(frozen=True)
class Picked(Column):
    """A column that is picked from the counted values of its row. `share`: that of a quantile; None: the most common value."""

    share: Fraction | None = None


def counted_columns(picks: Iterable[Picked]) -> dict[str, Column]:
    """The hidden columns of counted values. Columns that are picked from the same values share them."""
    alike = dict.fromkeys(map(counted_of, picks))
    return {f"_values_{number}": one for number, one in enumerate(alike, 1)}


def counted_of(pick: Picked) -> Column:
    """What gathers the values from which a column is picked."""
    return Column("counted", pick.of, pick.value, "")


@dataclass(frozen=True)
class Key:
    """A column of a rollup's key. `doc`: its text for people; empty: that of its field."""

    value: Expression
    doc: str


def key(value: str | Expression, doc: str = "") -> Key:
    """A key column: a field or an expression of every event that the rollup gathers. A field needs no text, it has one."""
    return Key(_expression(value), doc)


def _expression(of: str | Expression) -> Expression:
    return Field(of) if isinstance(of, str) else of


def _share(q: object) -> Fraction:
    """A quantile's share, exactly as it is written. Raises BadDeclaration."""
    is_number = isinstance(q, int | float | Decimal) and not isinstance(q, bool) and Decimal(str(q)).is_finite()
    if not is_number or not 0 <= Decimal(str(q)) <= 1:
        raise BadDeclaration(f"quantile() takes a share from 0 to 1, such as 0.9, not {q!r:.100}")
    share = Fraction(str(q))
    if 10**_PLACES % share.denominator:
        raise BadDeclaration(f"quantile() takes a share of at most {_PLACES} decimal places, not {q!r:.100}")
    return share


def _condition(said: object, where: str) -> Condition:
    if not isinstance(said, Condition):
        raise BadDeclaration(f"{where} takes a condition such as field('x').eq(1), not {said!r}")
    return said
