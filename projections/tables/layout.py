"""A declaration as the columns of its table: their names, types, and rules for merging two partial results."""

import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property

import polars as pl

from refold.projections.declaring.aggregates import aggregate, order_column
from refold.projections.declaring.declaration import Entity, Model, Rollup, handled
from refold.projections.declaring.field_types import common_type
from refold.projections.declaring.formulas import typed
from refold.projections.declaring.gathering import Column, Computed, Events, Picked, counted_columns, counted_of
from refold.projections.declaring.sql_types import BIGINT, LONG_DIGITS, TEXT, ColumnType, decimal, of_python, sum_of
from refold.projections.declaring.value_types import value_type
from refold.projections.errors import BadDeclaration
from refold.projections.tables.derived import Derived
from refold.projections.tables.picked import COUNT, VALUE

_KEYS, _COLUMNS = 32, 1600
VERSION, DELETED = "_version", "_deleted"
SIDE = "Values"
"""A name of our own, of side tables: authors' names have no upper case."""


class Merge(Enum):
    """How the values of two partial results of one row merge. All rules but REPLACE are commutative and associative."""

    ADD = "add"
    LEAST = "least"
    GREATEST = "greatest"
    EARLIER = "earlier"  # the value with the smaller order column
    LATER = "later"
    UNION = "union"  # a partial holds a set of values; the table holds their number, and a side table the values
    COUNTED = "counted"  # the same with a number beside each value; the table holds the sum of the numbers
    PICK = "pick"  # picked in the table from the counted values of the column `order`; null in a partial
    REPLACE = "replace"  # the newer row as a whole: for `evolve`, where order is total


@dataclass(frozen=True)
class Stored:
    """A column of a table. `order` names the hidden column that decides between two values.

    A column without `doc` is hidden. `members`: the type of the values of a set (UNION, COUNTED), whose number has `type`.
    """

    name: str
    type: ColumnType
    merge: Merge
    doc: str | None = None
    order: str | None = None
    required: bool = False
    members: ColumnType | None = None

    @property
    def held(self) -> pl.DataType:
        """The Polars type of the column in a partial."""
        if self.members is None:
            return self.type.dtype
        is_counted = self.merge is Merge.COUNTED
        return pl.List(pl.Struct({VALUE: self.members.dtype, COUNT: pl.Int64()}) if is_counted else self.members.dtype)

    @property
    def is_wide(self) -> bool:
        """Whether sums may exceed 38 digits. Sums of numbers up to 19 digits cannot: no log has 10^19 events."""
        return self.merge is Merge.ADD and self.type.digits > LONG_DIGITS


Shown = Stored | Derived
"""A column that readers see."""


@dataclass(frozen=True, eq=False)
class Layout:
    """A model's table: key columns, gathered columns, hidden columns. Made once for each model.

    `gathers`: what each gathered column gathers, those of `derived` and `picks` by their hidden parts. `side`: the name of
    a side table, if this is the layout of one.
    """

    model: Model
    keys: tuple[Stored, ...]
    columns: tuple[Stored, ...]
    gathers: Mapping[str, Column] = field(default_factory=dict)
    derived: tuple[Derived, ...] = ()
    picks: Mapping[str, Picked] = field(default_factory=dict)
    side: str | None = None

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def table_name(self) -> str:
        """The table's name in a build's schema."""
        return self.side or self.name

    @cached_property
    def sets(self) -> tuple[Stored, ...]:
        """The columns of which a side table holds the values."""
        return tuple(part for part in self.columns if part.members is not None)

    @cached_property
    def sides(self) -> tuple["Layout", ...]:
        """A table for each set, beside the model's in each build: a row for each value of each row, with its number if it is counted."""
        return tuple(_side(self, part, f"{SIDE}{number}") for number, part in enumerate(self.sets, 1))

    @property
    def tables(self) -> tuple["Layout", ...]:
        """The model's table and those beside it."""
        return self, *self.sides

    @property
    def key_names(self) -> list[str]:
        return [part.name for part in self.keys]

    @property
    def stored(self) -> tuple[Stored, ...]:
        return self.keys + self.columns

    @property
    def names(self) -> list[str]:
        """The names of the stored columns."""
        return [part.name for part in self.stored]

    @property
    def shown(self) -> list[Shown]:
        """What readers see, in the order of the declaration."""
        return [*self.keys, *self.shown_columns]

    @cached_property
    def shown_columns(self) -> list[Shown]:
        """What readers see besides the key."""
        places = {name: place for place, name in enumerate(self.model.columns)}
        found: list[Shown] = [part for part in self.columns if part.doc is not None]
        return sorted([*found, *self.derived], key=lambda part: places.get(part.name, len(places)))

    def part(self, name: str) -> Stored:
        """A stored column by name."""
        return next(part for part in self.stored if part.name == name)

    @property
    def deletes(self) -> bool:
        """Whether rows may be hidden: one is while no event has followed its last delete."""
        return self.side is None and isinstance(self.model, Entity) and self.model.deleted_when is not None

    @property
    def by_stream(self) -> bool:
        """Whether the whole key is the id of a stream."""
        return isinstance(self.model, Entity)

    @property
    def appends(self) -> bool:
        """Whether each event that counts has a row of its own, which no other event changes."""
        return isinstance(self.model, Rollup) and self.model.row_events is not None

    @property
    def evolves(self) -> bool:
        return isinstance(self.model, Entity) and self.model.evolve is not None


def layout_of(model: Model) -> Layout:
    """The table of a declaration.

    Raises BadDeclaration for an impossible column type, or if Postgres has no room for the columns.
    """
    layout = _laid_out(model)
    for number, most, what in ((len(layout.keys), _KEYS, "key columns"), (len(layout.stored), _COLUMNS, "columns")):
        if number > most:
            raise BadDeclaration(
                f"{model.name}: {number} {what}, hidden ones included; a table of Postgres has at most {most}"
            )
    return layout


def _laid_out(model: Model) -> Layout:
    if isinstance(model, Rollup):
        keys = tuple(_rollup_key(model, name) for name in model.key)
        return _with_derived(model, keys, TEXT)
    keys = (Stored(model.key_name, TEXT, Merge.LEAST, model.key_doc, required=True),)
    hidden: list[Stored] = []
    if model.evolve is not None or model.deleted_when is not None:
        hidden.append(Stored(VERSION, BIGINT, Merge.GREATEST, required=True))
    if model.deleted_when is not None:
        hidden.append(Stored(DELETED, BIGINT, Merge.GREATEST, required=True))
    if model.evolve is None:
        return _with_derived(model, keys, BIGINT, hidden)
    columns = _evolved(model)
    return Layout(model, keys, (*columns, *hidden), {}, (*_computed(model, [*keys, *columns]),))


def _with_derived(
    model: Model, keys: tuple[Stored, ...], order_type: ColumnType, hidden: Sequence[Stored] = ()
) -> Layout:
    gathers, derived, picks = dict[str, Column](), list[Derived](), dict[str, Picked]()
    for name, column in model.columns.items():
        if isinstance(column, Computed):
            found = aggregate(name, column, f"{model.name}.{name}")
            gathers |= found.parts
            derived.append(Derived(name, found.type, column.doc, found.formula, tuple(found.parts)))
        elif isinstance(column, Picked):
            picks[name] = column
        else:
            gathers[name] = column
    counted = counted_columns(picks.values())
    hides = {*counted, *(name for one in derived for name in one.parts)}
    columns = _gathered(model, gathers | counted, hides, order_type)
    columns += [_picked(name, one, columns, counted) for name, one in picks.items()]
    computed = _computed(model, [*keys, *columns])
    return Layout(model, keys, (*columns, *hidden), gathers | counted, (*derived, *computed), picks)


def _computed(model: Model, stored: Sequence[Stored]) -> list[Derived]:
    """The columns that arithmetic between shown ones gives. Raises BadDeclaration."""
    types = {part.name: part.type for part in stored if part.doc is not None}
    found = []
    for name, one in model.shown.items():
        formula = replace(one.formula, term=typed(one.formula.term, types, f"{model.name}.{name}"))
        found.append(Derived(name, decimal(formula.scale), one.doc, formula))
    return found


def _rollup_key(model: Rollup, name: str) -> Stored:
    part = model.key[name]
    found = [value_type(kind, part.value, f"{model.name}.{name}") for kind in handled(model)]
    required = not any(nullable for _, nullable in found)
    return Stored(
        name, common_type([kind for kind, _ in found], f"{model.name}.{name}"), Merge.LEAST, part.doc, required=required
    )


def _gathered(model: Model, gathers: Mapping[str, Column], hidden: set[str], order_type: ColumnType) -> list[Stored]:
    columns, orders = [], {}
    for name, column in gathers.items():
        order = order_column(column, gathers.values())
        part = _stored(model, name, column, order)
        columns.append(replace(part, doc=None) if name in hidden else part)
        if order is not None:
            merge = Merge.LEAST if column.gather == "first" else Merge.GREATEST
            orders[order] = Stored(order, order_type, merge)
    return [*columns, *orders.values()]


_MERGES = {"value": Merge.LEAST, "min": Merge.LEAST, "max": Merge.GREATEST, "first": Merge.EARLIER, "last": Merge.LATER}


def _stored(model: Model, name: str, column: Column, order: str | None) -> Stored:
    where = f"{model.name}.{name}"
    if column.gather == "count":
        return Stored(name, BIGINT, Merge.ADD, column.doc, required=True)
    assert column.value is not None
    typed_values = [value_type(t, column.value, where) for t in column.of.types]
    kind = common_type([found for found, _ in typed_values], where)
    if column.gather in {"distinct", "counted"}:
        merge = Merge.UNION if column.gather == "distinct" else Merge.COUNTED
        return Stored(name, BIGINT, merge, column.doc, required=True, members=kind)
    if column.gather == "sum":
        return Stored(name, sum_of(kind, where), Merge.ADD, column.doc, required=True)
    # A minimum and the like has no value before its first event. A row of an event table has its event.
    required = column.of == _events_of_rows(model) and not any(nullable for _, nullable in typed_values)
    return Stored(name, kind, _MERGES[column.gather], column.doc, order, required=required)


def _events_of_rows(model: Model) -> Events | None:
    """The types of an event table's rows, without their condition."""
    of = model.row_events if isinstance(model, Rollup) else None
    return None if of is None else Events(of.types)


def _side(layout: Layout, part: Stored, name: str) -> Layout:
    """The side table of a set's values."""
    assert part.members is not None
    value, count = (
        Stored(VALUE, part.members, Merge.LEAST, required=True),
        Stored(COUNT, BIGINT, Merge.ADD, required=True),
    )
    return Layout(layout.model, (*layout.keys, value), (count,) if part.merge is Merge.COUNTED else (), side=name)


def _picked(name: str, column: Picked, stored: Iterable[Stored], counted: Mapping[str, Column]) -> Stored:
    """A column that is picked, beside the one of its counted values."""
    order = next(of for of, one in counted.items() if one == counted_of(column))
    kind = next(part.members for part in stored if part.name == order)
    assert kind is not None
    return Stored(name, kind, Merge.PICK, column.doc, order)


def _evolved(model: Entity) -> list[Stored]:
    assert model.evolve is not None
    hints = typing.get_type_hints(model.evolve.state, include_extras=True)
    missing = set(model.evolve.state.__struct_fields__) - set(model.evolve.docs)
    if missing:
        raise BadDeclaration(f"{model.name}: no text for {', '.join(sorted(missing))}")
    return [
        Stored(name, of_python(hints[name], f"{model.name}.{name}"), Merge.REPLACE, model.evolve.docs[name])
        for name in model.evolve.state.__struct_fields__
    ]
