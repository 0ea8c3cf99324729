"""A declaration as the columns of its table: their names, types, and rules for merging two partial results."""

import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property

import polars as pl

from refold.projections.declaring.aggregates import aggregate
from refold.projections.declaring.declaration import Entity, Model, Rollup, handled
from refold.projections.declaring.field_types import common_type
from refold.projections.declaring.formulas import typed
from refold.projections.declaring.gathering import Column, Computed, Events
from refold.projections.declaring.sql_types import BIGINT, LONG_DIGITS, TEXT, ColumnType, decimal, of_python, sum_of
from refold.projections.declaring.value_types import value_type
from refold.projections.errors import BadDeclaration
from refold.projections.tables.derived import Derived

_KEYS, _COLUMNS = 32, 1600
VERSION, DELETED = "_version", "_deleted"
SIDE, VALUE = "Values", "Value"
"""Names of our own, of a side table and its column: authors' names have no upper case."""


class Merge(Enum):
    """How the values of two partial results of one row merge. All rules but REPLACE are commutative and associative."""

    ADD = "add"
    LEAST = "least"
    GREATEST = "greatest"
    EARLIER = "earlier"  # the value with the smaller order column
    LATER = "later"
    UNION = "union"  # a partial holds a set of values; the table holds their number, and a side table the values
    REPLACE = "replace"  # the newer row as a whole: for `evolve`, where order is total


@dataclass(frozen=True)
class Stored:
    """A column of a table. `order` names the hidden column that decides between two values.

    A column without `doc` is hidden. `members`: the type of the values of a set (UNION), whose number has `type`.
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
        return self.type.dtype if self.members is None else pl.List(self.members.dtype)

    @property
    def is_wide(self) -> bool:
        """Whether sums may exceed 38 digits. Sums of numbers up to 19 digits cannot: no log has 10^19 events."""
        return self.merge is Merge.ADD and self.type.digits > LONG_DIGITS


Shown = Stored | Derived
"""A column that readers see."""


@dataclass(frozen=True, eq=False)
class Layout:
    """A model's table: key columns, gathered columns, hidden columns. Made once for each model.

    `gathers`: what each gathered column gathers, those of `derived` by their hidden parts. `side`: the name of a side table,
    if this is the layout of one.
    """

    model: Model
    keys: tuple[Stored, ...]
    columns: tuple[Stored, ...]
    gathers: Mapping[str, Column] = field(default_factory=dict)
    derived: tuple[Derived, ...] = ()
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
        return tuple(part for part in self.columns if part.merge is Merge.UNION)

    @cached_property
    def sides(self) -> tuple["Layout", ...]:
        """A table for each set, beside the model's in each build: a row for each value of each row, and nothing else."""
        return tuple(
            Layout(self.model, (*self.keys, _value(part)), (), side=f"{SIDE}{number}")
            for number, part in enumerate(self.sets, 1)
        )

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
        return isinstance(self.model, Entity) and self.model.deleted_when is not None

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


def order_column(column: Column, columns: Iterable[Column]) -> str | None:
    """The hidden order column of a first or last. Columns that choose alike among the same events share it."""
    if column.gather not in {"first", "last"}:
        return None
    alike = list(dict.fromkeys((c.gather, c.of) for c in columns if c.gather in {"first", "last"}))
    return f"_{column.gather}_{alike.index((column.gather, column.of)) + 1}"


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
    gathers, derived = dict[str, Column](), list[Derived]()
    for name, column in model.columns.items():
        if isinstance(column, Computed):
            found = aggregate(name, column, f"{model.name}.{name}")
            gathers |= found.parts
            derived.append(Derived(name, found.type, column.doc, found.formula, tuple(found.parts)))
        else:
            gathers[name] = column
    columns = _gathered(model, gathers, {name for one in derived for name in one.parts}, order_type)
    computed = _computed(model, [*keys, *columns])
    return Layout(model, keys, (*columns, *hidden), gathers, (*derived, *computed))


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
    if column.gather == "distinct":
        return Stored(name, BIGINT, Merge.UNION, column.doc, required=True, members=kind)
    if column.gather == "sum":
        return Stored(name, sum_of(kind, where), Merge.ADD, column.doc, required=True)
    # A minimum and the like has no value before its first event. A row of an event table has its event.
    required = column.of == _events_of_rows(model) and not any(nullable for _, nullable in typed_values)
    return Stored(name, kind, _MERGES[column.gather], column.doc, order, required=required)


def _events_of_rows(model: Model) -> Events | None:
    """The types of an event table's rows, without their condition."""
    of = model.row_events if isinstance(model, Rollup) else None
    return None if of is None else Events(of.types)


def _value(part: Stored) -> Stored:
    """The column of a set's values in its side table."""
    assert part.members is not None
    return Stored(VALUE, part.members, Merge.LEAST, required=True)


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
