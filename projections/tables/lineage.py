"""Where the columns of a read model come from: the events and fields that each one gathers, in words. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from refold.projections.declaring.declaration import Entity, EventType, Evolve, Model, Rollup, handled
from refold.projections.declaring.gathering import Column, Computed, Picked
from refold.projections.tables.declared import Declared, declared
from refold.projections.tables.said import condition_words, expression_words, term_words


@dataclass(frozen=True)
class Origin:
    """Events that a column is made from. `gather`: count, sum, min, max, first, last, avg, stddev, variance, any, all, distinct, quantile, most_common, key, evolve, shown, or delete."""

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
        keys = {name: Origin("key", every, expression_words(part.value)) for name, part in model.key.items()}
        return Lineage({**keys, **_gathered(model.columns), **_shown(model)})
    keys = {model.key_name: Origin("key", every, "the stream's id")}
    deleted = model.deleted_when
    named = None if deleted is None else f"{model.category.name}.{deleted.__name__}"
    return Lineage({**keys, **_of_entity(model, every), **_shown(model)}, deleted_by=named)


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
            _value(column),
            None if column.of.condition is None else condition_words(column.of.condition),
        )
        for name, column in columns.items()
    }


def _value(column: Column) -> str | None:
    """The value that is gathered, of a quantile with its share, or the condition of which an any or all tells."""
    if isinstance(column, Computed) and column.given is not None:
        return condition_words(column.given)
    words = None if column.value is None else expression_words(column.value)
    if isinstance(column, Picked) and column.share is not None:
        return f"{words} at {Decimal(column.share.numerator) / column.share.denominator:f}"
    return words


def _shown(model: Model) -> dict[str, Origin]:
    """Columns that no event is gathered into: arithmetic between others."""
    return {name: Origin("shown", (), term_words(shown.formula.term)) for name, shown in model.shown.items()}


def _names(kinds: Sequence[EventType]) -> tuple[str, ...]:
    return tuple(f"{kind.category.name}.{kind.event.__name__}" for kind in kinds)
