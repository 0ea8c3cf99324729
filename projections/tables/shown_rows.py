"""A row of a partial as readers see it: without hidden columns, with computed and picked ones, and with the number of each set's values."""

from collections.abc import Mapping
from typing import Any

import msgspec

from refold.projections.declaring.sql_types import JSONB
from refold.projections.tables.derived import Derived, value_in
from refold.projections.tables.layout import Layout, Merge, Shown
from refold.projections.tables.picked import picked_of, total_of


def shown_in(layout: Layout, row: Mapping[str, Any]) -> dict[str, Any]:
    """What readers see of a row of a partial."""
    row = _counted(layout, row)
    return {part.name: _value_in(part, row) for part in layout.shown}


def shown_columns_in(layout: Layout, row: Mapping[str, Any]) -> dict[str, Any]:
    """The same without the key."""
    row = _counted(layout, row)
    return {part.name: _value_in(part, row) for part in layout.shown_columns}


def _value_in(part: Shown, row: Mapping[str, Any]) -> Any:
    if isinstance(part, Derived):
        return value_in(part, row)
    value = row[part.name]
    return as_postgres(value) if part.type == JSONB and value is not None else value


def as_postgres(text: str) -> dict[str, Any]:
    """The object that Postgres gives back for our text of JSON: it orders the names by their length first."""
    found: dict[str, Any] = msgspec.json.decode(text)
    return dict(sorted(found.items(), key=lambda one: (len(one[0]), one[0])))


def _counted(layout: Layout, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row with the number of each set's values, and with what is picked from them."""
    if not layout.sets:
        return row
    numbers = {
        part.name: total_of(row[part.name]) if part.merge is Merge.COUNTED else len(row[part.name])
        for part in layout.sets
    }
    picked = {name: picked_of(pick, row[str(layout.part(name).order)]) for name, pick in layout.picks.items()}
    return {**row, **numbers, **picked}
