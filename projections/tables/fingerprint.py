"""The fingerprint of a declaration: equal for equal meaning. Descriptions, links and indexes are left out: they change no row."""

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import polars as pl

from refold.projections.declaring.declaration import Entity, Evolve, Model, Rollup, View, handled
from refold.projections.declaring.payload import payload_types, stored_fields
from refold.projections.declaring.served_types import served_type
from refold.projections.declaring.sql_types import TEXT
from refold.projections.errors import BadDeclaration
from refold.projections.tables.layout import Merge, Stored, layout_of
from refold.projections.tables.memories import read_types
from refold.schemas.contracts import Category
from refold.schemas.upcast import upcasts_of

ENGINE = 2
"""Version of the engine, raised when it folds the same declaration into other rows: every table is then rebuilt."""
_OF_NO_ROW = {"doc", "docs", "description", "key_doc", "key_docs", "units", "links", "indexes"}


def fingerprint(model: Model) -> str:
    """16 hex digits over the gathers, the columns' types, and the source of `evolve` and of the upcasters involved."""
    columns = [_column(part) for part in layout_of(model).stored]
    said = [
        ENGINE,
        _said(model),
        columns,
        _upcasters(model),
        *_evolved_types(model),
        *_bounded_keys(model),
        *_payloads(model),
    ]
    text = json.dumps(said, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def view_fingerprint(view: View) -> str:
    """16 hex digits over a declared SQL view, its descriptions included, since making a view again costs nothing."""
    said = [ENGINE, view.sql, [[name, *column] for name, column in view.columns.items()], view.key, view.reads]
    if any(served_type(kind).array for kind, _ in view.columns.values()):
        said.append("arrays count from 1")  # arrays once began where the SQL's did: views from then are made again
    if view.units:
        said.append(sorted(view.units.items()))
    text = json.dumps([said, view.description], default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _column(part: Stored) -> tuple[str | None, ...]:
    """The column's part. Wide sums and `evolve`'s decimals once lost digits: tables from then are rebuilt."""
    exact = part.is_wide or (part.merge is Merge.REPLACE and isinstance(part.type.dtype, pl.Decimal))
    return (part.name, part.type.sql, part.merge.value, part.order, *(["exact"] if exact else []), *_members(part))


def _members(part: Stored) -> list[str]:
    return [] if part.members is None else [part.members.sql]


def _upcasters(model: Model) -> list[Any]:
    """The upcasters that lead to events that the model gathers or carries from. Others of the category change none of its rows."""
    kinds = read_types(model)
    categories = sorted({kind.category.name: kind.category for kind in kinds}.items())
    found = [
        [name, upcasts_of(category).identity(kind.event for kind in kinds if kind.category == category)]
        for name, category in categories
    ]
    return [[name, steps] for name, steps in found if steps]


def _evolved_types(model: Model) -> list[list[str]]:
    """All event types of an evolved model's category: `evolve` sees each, so code that lacks one folds other rows."""
    if not isinstance(model, Entity) or model.evolve is None:
        return []
    return [[kind.event.__name__ for kind in handled(model)]]


def _bounded_keys(model: Model) -> list[str]:
    """A mark of bounded key texts. Long ones were once kept whole: in such a table one key would get two rows."""
    return ["bounded keys"] if isinstance(model, Rollup) and TEXT in {k.type for k in layout_of(model).keys} else []


def _payloads(model: Model) -> list[Any]:
    """The fields of each type whose payload the model holds: a new one, with its default, is in the rows of old events, too."""
    found = sorted([kind.event.__name__, stored_fields(kind)] for kind in payload_types(model))
    return [["payloads", *found]] if found else []


def _source(code: Any) -> str:
    try:
        return inspect.getsource(code)
    except (OSError, TypeError) as problem:
        name = getattr(code, "__qualname__", repr(code))
        raise BadDeclaration(
            f"evolve: {name} has no readable source code, from which Refold makes the fold's fingerprint: {problem}"
        ) from problem


def _counts(value: object, name: str) -> bool:
    """Whether a field changes rows. Declarations of before there were shown columns keep their fingerprints."""
    return name not in _OF_NO_ROW and (name != "shown" or bool(getattr(value, name)))


def _said(value: Any) -> Any:
    match value:
        case Evolve():
            said: Any = [_source(value.fold), _source(value.state)]
        case Category():
            said = value.name
        case Enum() if not isinstance(value, str | int):
            said = repr(value.value)  # the value that is compared
        case type():
            said = value.__name__
        case Mapping():
            said = {name: _said(part) for name, part in value.items()}
        case tuple():
            said = [_said(part) for part in value]
        case _ if is_dataclass(value):
            said = [
                type(value).__name__,
                {f.name: _said(getattr(value, f.name)) for f in fields(value) if _counts(value, f.name)},
            ]
        case _:
            said = repr(value)
    return said
