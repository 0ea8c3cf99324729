"""What commands print: data on stdout, as a table or as JSON; progress on stderr, in place on a terminal, as lines elsewhere."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table

from refold.streams.embedded.jars import Report

_PIPED = 200
"""Columns of what is no terminal: nobody's window cuts it, and folded names cannot be searched for."""
data = Console(width=None if sys.stdout.isatty() else _PIPED)
progress = Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """One line of progress."""
    progress.print(text, markup=False, soft_wrap=True)


@contextmanager
def reporting(what: str) -> Iterator[Report]:
    """Report the steps of something that takes a while: one changing line on a terminal, plain lines elsewhere and later."""
    if not progress.is_terminal:
        yield say
        return
    status = progress.status(what)
    underway = True

    def report(text: str) -> None:
        if underway:
            status.update(text)
        else:
            say(text)

    with status:
        try:
            yield report
        finally:
            underway = False


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def print_table(rows: Sequence[Mapping[str, object]], title: str = "") -> None:
    """Rows with the same keys as a table on stdout."""
    table = Table(title=title or None)
    for name in rows[0] if rows else ():
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    data.print(table)
