"""The fingerprint of a declaration: equal for equal meaning. Texts are left out: a better description is not another table."""

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec

from refold.projections.declaration import Evolve, Model
from refold.projections.layout import layout_of
from refold.schemas.contracts import Category

ENGINE = 1
"""Raised when the engine gives the same declaration other rows: every table is then built anew."""
_TEXTS = {"doc", "docs", "description", "key_doc", "key_docs"}


def fingerprint(model: Model) -> str:
    """16 hex digits over what the model gathers, the types of its columns, and the source of its `evolve`."""
    columns = [(part.name, part.type.sql, part.merge.value, part.order) for part in layout_of(model).stored]
    text = json.dumps([ENGINE, _said(model), columns], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _said(value: Any) -> Any:
    if isinstance(value, Evolve):
        return [_source(value.fold), _source(value.state)]
    if isinstance(value, Category):
        return value.name
    if isinstance(value, type):
        return value.__name__
    if is_dataclass(value):
        return [
            type(value).__name__,
            {f.name: _said(getattr(value, f.name)) for f in fields(value) if f.name not in _TEXTS},
        ]
    if isinstance(value, Mapping):
        return {name: _said(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [_said(part) for part in value]
    return value if isinstance(value, msgspec.Struct | str | int | bool | None) else repr(value)


def _source(code: Any) -> str:
    return inspect.getsource(code)
