"""The fingerprint of a declaration: equal for equal meaning. Texts are left out: a better description is not another table."""

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import polars as pl

from refold.projections.declaring.declaration import Entity, Evolve, Model, Rollup, View, handled
from refold.projections.declaring.served_types import served_type
from refold.projections.declaring.sql_types import TEXT
from refold.projections.errors import BadDeclaration
from refold.projections.tables.layout import Merge, Stored, layout_of
from refold.schemas.contracts import Category
from refold.schemas.upcast import upcasts_of

ENGINE = 2
"""Raised when the engine gives the same declaration other rows: every table is then built anew."""
_TEXTS = {"doc", "docs", "description", "key_doc", "key_docs"}


def fingerprint(model: Model) -> str:
    """16 hex digits over what the model gathers, its columns' types, and the source of `evolve` and of upcasters on the way."""
    columns = [_column(part) for part in layout_of(model).stored]
    said = [ENGINE, _said(model), columns, _upcasters(model), *_evolved_types(model), *_bounded_keys(model)]
    text = json.dumps(said, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def view_fingerprint(view: View) -> str:
    """16 hex digits over all that a declared SQL view says, its texts too: showing them costs nothing."""
    said = [ENGINE, view.sql, [[name, *column] for name, column in view.columns.items()], view.key, view.reads]
    if any(served_type(kind).array for kind, _ in view.columns.values()):
        said.append("arrays count from 1")  # once they began where the SQL's did: such a view is made again
    text = json.dumps([said, view.description], default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _column(part: Stored) -> tuple[str | None, ...]:
    """Sums of many digits, and decimals of `evolve`, lost digits once: tables from then are built anew."""
    exact = part.is_wide or (part.merge is Merge.REPLACE and isinstance(part.type.dtype, pl.Decimal))
    return (part.name, part.type.sql, part.merge.value, part.order, *(["exact"] if exact else []))


def _upcasters(model: Model) -> list[Any]:
    """Those that lead to events that the model gathers: another of the same category changes none of its rows."""
    kinds = handled(model)
    categories = sorted({kind.category.name: kind.category for kind in kinds}.items())
    found = [
        [name, upcasts_of(category).identity(kind.event for kind in kinds if kind.category == category)]
        for name, category in categories
    ]
    return [[name, steps] for name, steps in found if steps]


def _evolved_types(model: Model) -> list[list[str]]:
    """`evolve` is given every event of its category: code that lacks one of the types would fold other rows."""
    if not isinstance(model, Entity) or model.evolve is None:
        return []
    return [[kind.event.__name__ for kind in handled(model)]]


def _bounded_keys(model: Model) -> list[str]:
    """Long texts of keys were whole once: such a table would have two rows of one key."""
    return ["bounded keys"] if isinstance(model, Rollup) and TEXT in {k.type for k in layout_of(model).keys} else []


def _source(code: Any) -> str:
    try:
        return inspect.getsource(code)
    except (OSError, TypeError) as problem:
        name = getattr(code, "__qualname__", repr(code))
        raise BadDeclaration(f"evolve: {name} has no source, which tells one fold from another: {problem}") from problem


def _said(value: Any) -> Any:
    match value:
        case Evolve():
            said: Any = [_source(value.fold), _source(value.state)]
        case Category():
            said = value.name
        case Enum() if not isinstance(value, str | int):
            said = repr(value.value)  # as which it is compared
        case type():
            said = value.__name__
        case Mapping():
            said = {name: _said(part) for name, part in value.items()}
        case tuple():
            said = [_said(part) for part in value]
        case _ if is_dataclass(value):
            said = [
                type(value).__name__,
                {f.name: _said(getattr(value, f.name)) for f in fields(value) if f.name not in _TEXTS},
            ]
        case _:
            said = repr(value)
    return said
