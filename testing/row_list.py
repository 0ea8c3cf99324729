"""Rows with the names of their key, and how they differ from the rows that a test expects."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

Row = dict[str, Any]
_MOST = 20
"""Differences that are told; of more the number is."""


class RowList(list[Row]):
    """A list of rows that knows which columns name a row."""

    def __init__(self, key: Sequence[str], rows: Iterable[Row]) -> None:
        super().__init__(rows)
        self.key = tuple(key)


def told(left: object, right: object) -> list[str] | None:
    """How two sides of an equation differ if one of them is what `rows` found."""
    if isinstance(left, RowList) and isinstance(right, list):
        return differences(left, right)
    if isinstance(right, RowList) and isinstance(left, list):
        return differences(right, left)
    return None


def differences(found: RowList, expected: Sequence[object]) -> list[str] | None:
    """A line for each difference. None if what is expected are no rows with the key, so that no row can be found by it."""
    rows = [row for row in expected if isinstance(row, dict) and all(name in row for name in found.key)]
    if len(rows) != len(expected):
        return None
    ours, theirs = _by_key(found, found.key), _by_key(rows, found.key)
    if len(ours) != len(found) or len(theirs) != len(rows):
        return None
    lines = [
        *(f"missing: {_whole(row, found.key)}" for key, row in theirs.items() if key not in ours),
        *(f"not expected: {_whole(row, found.key)}" for key, row in ours.items() if key not in theirs),
        *(line for key, row in theirs.items() if key in ours for line in _of_row(found.key, ours[key], row)),
    ]
    if not lines:
        lines = ["the same rows in another order: rows come sorted by key"]
    told = lines[:_MOST] + ([f"… and {len(lines) - _MOST} more"] if len(lines) > _MOST else [])
    return [f"{len(found)} rows, and {len(rows)} were expected", *told]


def _by_key(rows: Iterable[Row], key: Sequence[str]) -> dict[str, Row]:
    """The rows by key, as text: a value of a test may be no key of a dict."""
    return {repr([row[name] for name in key]): row for row in rows}


def _of_row(key: Sequence[str], found: Row, expected: Row) -> Iterator[str]:
    named = ", ".join(f"{name}={found[name]!r}" for name in key)
    for column in dict.fromkeys([*found, *expected]):
        if column not in expected:
            yield f"{named}: {column} is {found[column]!r}, and no value was expected"
        elif column not in found:
            yield f"{named}: there is no column {column}"
        elif found[column] != expected[column]:
            yield f"{named}: {column} is {found[column]!r}, and {expected[column]!r} was expected"


def _whole(row: Row, key: Sequence[str]) -> str:
    """The row's key, and its other columns, as a test would write them."""
    named, others = (
        ", ".join(f"{name}={row[name]!r}" for name in names)
        for names in (key, [name for name in row if name not in key])
    )
    return f"the row with {named}: {others}" if others else f"the row with {named}"
