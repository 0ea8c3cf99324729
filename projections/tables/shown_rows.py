"""A row of a partial as readers see it: without hidden columns, with computed ones, and with the number of each set's values."""

from collections.abc import Mapping
from typing import Any

from refold.projections.tables.derived import Derived, value_in
from refold.projections.tables.layout import Layout, Shown


def shown_in(layout: Layout, row: Mapping[str, Any]) -> dict[str, Any]:
    """What readers see of a row of a partial."""
    row = _counted(layout, row)
    return {part.name: _value_in(part, row) for part in layout.shown}


def shown_columns_in(layout: Layout, row: Mapping[str, Any]) -> dict[str, Any]:
    """The same without the key."""
    row = _counted(layout, row)
    return {part.name: _value_in(part, row) for part in layout.shown_columns}


def _value_in(part: Shown, row: Mapping[str, Any]) -> Any:
    return value_in(part, row) if isinstance(part, Derived) else row[part.name]


def _counted(layout: Layout, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row with the number of each set's values."""
    return {**row, **{part.name: len(row[part.name]) for part in layout.sets}} if layout.sets else row
