"""Where the columns of a read model come from: the events and fields that each one gathers, in words. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from functools import cache

from refold.projections.declaring.declaration import Entity, EventType, Evolve, Model, Rollup, handled
from refold.projections.declaring.expressions import (
    Both,
    ByEvent,
    Calendar,
    Compare,
    Condition,
    Day,
    Either,
    Expression,
    Field,
)
from refold.projections.declaring.gathering import Column
from refold.projections.declaring.sql_types import ENVELOPE_TYPES
from refold.projections.tables.declared import Declared, declared

_SIGNS = {"eq": "=", "ne": "<>", "gt": ">", "ge": ">=", "lt": "<", "le": "<=", "in": "in"}


@dataclass(frozen=True)
class Origin:
    """Events that a column is made from. `gather`: count, sum, min, max, first, last, key, evolve, or delete."""

    gather: str
    events: tuple[str, ...]
    """As `category.Event`."""
    value: str | None = None
    """The field or expression that is gathered."""
    condition: str | None = None
    """Only events for which it holds are gathered."""


@dataclass(frozen=True)
class Lineage:
    """The origins of a model's columns by name, or the SQL of a declared view and the read models that it reads."""

    columns: Mapping[str, Origin]
    deleted_by: str | None = None
    """The event after which the row is hidden."""
    reads: tuple[str, ...] = ()
    sql: str | None = None


@cache
def lineages(domains: tuple[str, ...]) -> Mapping[tuple[str, str], Lineage]:
    """The lineage of every read model that the domains declare, by domain and name."""
    return lineages_of(declared(domains))


def lineages_of(found: Declared) -> Mapping[tuple[str, str], Lineage]:
    """The lineage of every declared read model, by domain and name."""
    tables = {name: _of_table(layout.model) for name, layout in found.layouts.items()}
    views = {(view.domain, view.name): Lineage({}, reads=view.reads, sql=view.sql) for view in found.views}
    return tables | views


def _of_table(model: Model) -> Lineage:
    every = _names(handled(model))
    if isinstance(model, Rollup):
        keys = {name: Origin("key", every, _expression(part.value)) for name, part in model.key.items()}
        return Lineage({**keys, **_gathered(model.columns)})
    keys = {model.key_name: Origin("key", every, "the stream's id")}
    deleted = model.deleted_when
    named = None if deleted is None else f"{model.category.name}.{deleted.__name__}"
    return Lineage({**keys, **_of_entity(model, every)}, deleted_by=named)


def _of_entity(model: Entity, every: tuple[str, ...]) -> dict[str, Origin]:
    if model.evolve is None:
        return _gathered(model.columns)
    return dict.fromkeys(model.evolve.state.__struct_fields__, Origin("evolve", every, _function(model.evolve)))


def _function(evolve: Evolve) -> str:
    return f"{evolve.fold.__module__}.{evolve.fold.__qualname__}"


def _gathered(columns: Mapping[str, Column]) -> dict[str, Origin]:
    return {
        name: Origin(
            column.gather,
            _names(column.of.types),
            None if column.value is None else _expression(column.value),
            None if column.of.condition is None else _condition(column.of.condition),
        )
        for name, column in columns.items()
    }


def _names(kinds: Sequence[EventType]) -> tuple[str, ...]:
    return tuple(f"{kind.category.name}.{kind.event.__name__}" for kind in kinds)


def _expression(value: Expression) -> str:
    match value:
        case Field(name):
            return _field(name)
        case Day(Field(name)):
            return f"day of {_field(name)}"
        case Calendar(Field(name), unit, zone):
            return f"{unit} of {_field(name)}" + (f" in {zone}" if zone else "")
        case ByEvent(words):
            return ", ".join(f"{kind.__name__}: {word}" for kind, word in words)


def _field(name: str) -> str:
    """A field of the event, or of its envelope."""
    return f"envelope.{name.removeprefix('m_')}" if name in ENVELOPE_TYPES else name


def _condition(said: Condition) -> str:
    match said:
        case Compare(name, operator, value):
            return f"{_field(name)} {_SIGNS[operator]} {_constant(value)}"
        case Both(left, right):
            return f"{_within(left)} and {_within(right)}"
        case Either(left, right):
            return f"{_within(left)} or {_within(right)}"
    raise AssertionError(said)


def _within(said: Condition) -> str:
    return _condition(said) if isinstance(said, Compare) else f"({_condition(said)})"


def _constant(value: object) -> str:
    match value:
        case tuple():
            return f"({', '.join(map(_constant, value))})"
        case Enum():
            return _constant(value.value)
        case bool():
            return str(value).lower()
        case str():
            return "'" + value.replace("'", "''") + "'"
        case date() | datetime():
            return value.isoformat()
        case _:
            return str(value)
