"""Read models as authors declare them, in typed, frozen classes. `retail/projections.py` shows all of them.

A declaration says what a row is (its key) and what each column gathers from which events. Its only code is `evolve`,
which is pure. One engine runs it, live and in a replay, so a table is a function of the declaration and the log.
"""

import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from refold.projections.declaring.aggregates import aggregate
from refold.projections.declaring.constants import check_texts, check_units
from refold.projections.declaring.expressions import Expression
from refold.projections.declaring.field_types import (
    EventType as EventType,  # noqa: PLC0414 - all others import it from here
)
from refold.projections.declaring.field_types import common_type
from refold.projections.declaring.formulas import ShownColumn, check_scale, columns_in
from refold.projections.declaring.gathering import Column, Computed, Events, Key
from refold.projections.declaring.indexes import Indexes, check_indexes
from refold.projections.declaring.links import Link, check_links
from refold.projections.declaring.payload import refuse_payload
from refold.projections.declaring.served_types import served_type
from refold.projections.declaring.sql_types import BOOLEAN, TEXT, ColumnType, of_python, places_fault, sum_of
from refold.projections.declaring.texts import domain_of, stream_name, stream_text, with_texts
from refold.projections.declaring.value_types import check_condition, value_type
from refold.projections.declaring.view_sql import fault_of
from refold.projections.errors import BadDeclaration
from refold.schemas.contracts import Category, Event

_NAME = re.compile(r"[a-z][a-z0-9_]{0,50}")
"""Names of models and columns. Our own names begin with `_`; with our suffixes a name still fits 63 bytes."""
SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
"""Columns that Postgres itself adds to each table."""
_SQL_TYPE = re.compile(r"[a-z_][a-z0-9_ ]*(\(\d{1,4}(, ?\d{1,4})?\))?( with(out)? time zone)?(\[\])*", re.IGNORECASE)


@dataclass(frozen=True)
class Evolve:
    """Columns by Python: `fold(state, event)` returns the next state (None before the first event).

    Its fields are the columns.
    """

    state: type[msgspec.Struct]
    fold: Callable[[Any, Any], msgspec.Struct]
    docs: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Rollup:
    """A row for each value of a key, over any events. `domain`: by default that of its events; `shown`: columns computed from others; `units`: the unit of a column's values, such as EUR or kg; `links`: to other read models."""

    name: str
    domain: str = ""
    description: str
    key: Mapping[str, Key]
    columns: Mapping[str, Column]
    shown: Mapping[str, ShownColumn] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, Link] = field(default_factory=dict)
    indexes: Indexes = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "domain", domain_of(self.name, self.domain, handled(self)))
        names = [*self.key, *self.columns, *self.shown]
        _check_names(self.name, self.domain, names)
        check_units(self.name, self.units, names)
        check_links(self.name, self.links, names)
        check_indexes(self.name, self.indexes, names, self.key)
        if not self.key or not self.columns:
            raise BadDeclaration(f"{self.name}: a rollup has a key and columns")
        object.__setattr__(self, "key", with_texts(self.name, self.key, handled(self)))
        object.__setattr__(self, "columns", with_texts(self.name, self.columns))
        check_texts(self.name, {"it": self.description, **self.key_docs})
        _check_columns(self.name, self.columns)
        _check_shown(self.name, self.shown)
        if self.row_events is not None:
            check_condition(self.name, self.row_events.types, self.row_events.condition)
        for name, part in self.key.items():
            _check_value(f"{self.name}.{name}", handled(self), part.value)

    @property
    def key_docs(self) -> dict[str, str]:
        return {name: part.doc for name, part in self.key.items()}

    @property
    def row_events(self) -> Events | None:
        """The events that have a row each, if the model is an event table; None if rows gather events."""
        return None


@dataclass(frozen=True, kw_only=True)
class Entity:
    """A row for each stream of one category. After `deleted_when` the row is hidden, and only later events count.

    `key_name`, `key_doc`: by default name and text of the field by which the category's commands name the stream.
    """

    name: str
    domain: str = ""
    description: str
    category: Category
    key_name: str = ""
    key_doc: str = ""
    columns: Mapping[str, Column] = field(default_factory=dict)
    evolve: Evolve | None = None
    deleted_when: type[Event] | None = None
    shown: Mapping[str, ShownColumn] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, Link] = field(default_factory=dict)
    indexes: Indexes = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "domain", self.domain or self.category.domain)
        object.__setattr__(self, "key_name", self.key_name or stream_name(self.name, self.category))
        if self.key_doc == "":
            object.__setattr__(self, "key_doc", stream_text(self.name, self.category))
        gathered = self.columns if self.evolve is None else self.evolve.state.__struct_fields__
        names = [*gathered, *self.shown]
        _check_names(self.name, self.domain, [self.key_name, *names])
        check_units(self.name, self.units, [self.key_name, *names])
        check_links(self.name, self.links, [self.key_name, *names])
        check_indexes(self.name, self.indexes, [self.key_name, *names], [self.key_name])
        if (self.evolve is None) == (not self.columns):
            raise BadDeclaration(f"{self.name}: an entity has either columns or evolve")
        object.__setattr__(self, "columns", with_texts(self.name, self.columns))
        check_texts(self.name, {"it": self.description, **self.key_docs})
        _check_columns(self.name, self.columns)
        _check_shown(self.name, self.shown)
        if self.evolve is not None:
            _check_evolve(self.name, self.evolve)
        if any(kind.category != self.category for kind in handled(self)):
            raise BadDeclaration(f"{self.name}: an entity gathers events of its own category only")
        if any(kind.is_rejection for kind in handled(self)):
            raise BadDeclaration(
                f"{self.name}: an entity gathers no rejections, since a rejected command changes no stream, and may name one"
                ' that never began; count them in a rollup: key={"stream": key(STREAM, "Its stream.")}'
            )
        if self.deleted_when is not None and self.deleted_when not in self.category.events:
            raise BadDeclaration(f"{self.name}: {self.deleted_when.__name__} is no event of {self.category.name}")

    @property
    def key_docs(self) -> dict[str, str]:
        return {self.key_name: self.key_doc}


@dataclass(frozen=True, kw_only=True)
class View:
    """An SQL query over read models and views of the domain (`reads`), shown as a view beside them.

    `columns`: Postgres type and text of each. `key`: the columns that identify a row.
    """

    name: str
    domain: str
    description: str
    columns: Mapping[str, tuple[str, str]]
    key: tuple[str, ...]
    reads: tuple[str, ...]
    sql: str
    units: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, Link] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_view_columns(self.name, self.columns, self.key)
        _check_names(self.name, self.domain, list(self.columns))
        check_units(self.name, self.units, self.columns)
        check_links(self.name, self.links, self.columns)
        strange = [name for name in self.key if name not in self.columns]
        if strange or not self.key or len(set(self.key)) != len(self.key):
            named = f"names {', '.join(strange)}" if strange else "names a column twice" if self.key else "is empty"
            raise BadDeclaration(f"{self.name}: its key {named}; it is some of {', '.join(self.columns)}")
        if not _are_names(self.reads):
            raise BadDeclaration(f"{self.name}: `reads` is a tuple of the read models and views that its SQL reads")
        if (fault := fault_of(self.sql)) is not None:
            raise BadDeclaration(f"{self.name}: {fault}")
        check_texts(self.name, {"it": self.description, **{name: doc for name, (_, doc) in self.columns.items()}})
        for name, (kind, _) in self.columns.items():
            if not _SQL_TYPE.fullmatch(kind):
                raise BadDeclaration(f"{self.name}.{name}: {kind!r} is no name of a Postgres type")
            _check_type(f"{self.name}.{name}", kind)
            if (fault := places_fault(kind)) is not None:
                raise BadDeclaration(f"{self.name}.{name}: {fault}")


Model = Rollup | Entity
ReadModel = Rollup | Entity | View


def handled(model: Model) -> list[EventType]:
    """The event types that a model reads, each once."""
    found = {kind: None for column in model.columns.values() for kind in column.of.types}
    if isinstance(model, Rollup) and model.row_events is not None:
        found |= dict.fromkeys(model.row_events.types)
    if isinstance(model, Entity):
        if model.evolve is not None:
            found |= {EventType(model.category, event): None for event in model.category.events}
        if model.deleted_when is not None:
            found[EventType(model.category, model.deleted_when)] = None
    return sorted(found, key=lambda kind: (kind.category.name, kind.event.__name__))


def _are_names(names: object) -> bool:
    return isinstance(names, tuple) and bool(names) and all(isinstance(name, str) for name in names)


def _check_names(name: str, domain: str, columns: list[str]) -> None:
    for word in (name, domain, *columns):
        if not _NAME.fullmatch(word):
            raise BadDeclaration(f"{name}: {word!r} is no name in lower case, at most 51 characters")
    if taken := SYSTEM_COLUMNS.intersection(columns):
        raise BadDeclaration(
            f"{name}: no column can be called {', '.join(sorted(taken))}: each table of Postgres has it"
        )
    if len(set(columns)) != len(columns):
        raise BadDeclaration(f"{name}: a column is declared twice")


def _check_view_columns(name: str, columns: Mapping[str, object], key: object) -> None:
    """Raise BadDeclaration where a text stands for a tuple: its letters would be taken one by one."""
    for column, said in columns.items():
        if not isinstance(said, tuple) or len(said) != 2:
            raise BadDeclaration(
                f'{name}.{column}: a column is a type and a text, such as ("bigint", "Its text."), not {said!r:.100}'
            )
    if not isinstance(key, tuple):
        raise BadDeclaration(f'{name}: its key is a tuple of columns, such as ("day",), not {key!r:.100}')


def _check_type(where: str, kind: str) -> None:
    try:
        served_type(kind)
    except BadDeclaration as problem:
        raise BadDeclaration(f"{where}: {problem.message}") from None


def _check_columns(name: str, columns: Mapping[str, Column]) -> None:
    check_texts(name, {column_name: column.doc for column_name, column in columns.items()})
    for column_name, column in columns.items():
        where = f"{name}.{column_name}"
        check_condition(where, column.of.types, column.of.condition)
        if isinstance(column, Computed):
            if column.given is not None:
                check_condition(where, column.of.types, column.given)
            for part in aggregate(column_name, column, where).parts.values():
                _check_value(where, part.of.types, part.value) if part.value is not None else None
        elif column.gather != "count":
            found = _check_value(where, column.of.types, column.value, in_cell=column.gather == "value")
            if column.gather == "sum":
                sum_of(found, where)
            if column.gather == "quantile" and found in (TEXT, BOOLEAN):
                raise BadDeclaration(f"{where}: only numbers, dates and times have a quantile, not {found.sql}")


def _check_shown(name: str, shown: Mapping[str, ShownColumn]) -> None:
    check_texts(name, {column_name: column.doc for column_name, column in shown.items()})
    for column_name, column in shown.items():
        where = f"{name}.{column_name}"
        check_scale(where, column.formula.scale)
        if not list(columns_in(column.formula.term, where)):
            raise BadDeclaration(f"{where}: it is computed from no column")


def _check_value(
    where: str, kinds: Sequence[EventType], value: Expression | None, *, in_cell: bool = False
) -> ColumnType:
    """The one type of an expression over some types of events. Raises BadDeclaration."""
    if not in_cell:
        refuse_payload(value, where)
    return common_type([value_type(kind, value, where)[0] for kind in kinds], where)


def _check_evolve(name: str, evolve: Evolve) -> None:
    try:
        hints = typing.get_type_hints(evolve.state, include_extras=True)
    except (NameError, TypeError) as problem:
        raise BadDeclaration(f"{name}: the types of {evolve.state.__name__} cannot be read: {problem}") from problem
    for field_name in evolve.state.__struct_fields__:
        of_python(hints[field_name], f"{name}.{field_name}")
        if field_name not in evolve.docs:
            raise BadDeclaration(f"{name}: no text for {field_name}")
    check_texts(name, evolve.docs)
