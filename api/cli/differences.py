"""Rows that differ between two tables, as lines of a table."""

from collections.abc import Sequence

from refold.api.cli.output import print_table, say
from refold.projections.replay.compare import LISTED, Difference

_SHOWN, _SHOWN_LINES = 20, 100


def print_differences(listed: Sequence[Difference], differing: int, other: str = "log", title: str = "") -> None:
    """Print the first rows that differ, with each differing column, beside those that are served.

    `differing`: how many there are in all. `other`: the title of the values that are not served. `title`: of the table.
    """
    print_table([row for found in listed[:_SHOWN] for row in _rows_of(found, other)][:_SHOWN_LINES], title)
    if differing > _SHOWN:
        say(f"{_SHOWN} of {differing:,} rows that differ; --json has up to {LISTED:,}.")


def _rows_of(found: Difference, other: str) -> list[dict[str, str | None]]:
    """A line for each differing column; a single line for a row that one side lacks."""
    key = ", ".join(f"{name}={'null' if value is None else value}" for name, value in found.key.items())
    if found.kind != "changed":
        return [{"row": key, "differs": found.kind, "column": "", "served": "", other: ""}]
    return [
        {"row": key, "differs": found.kind, "column": name, "served": _shown(served), other: _shown(log)}
        for name, (served, log) in found.columns.items()
    ]


def _shown(value: str | None) -> str:
    return "null" if value is None else value[:200]
