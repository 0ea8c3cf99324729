"""Output of commands: data on stdout as table or JSON; progress on stderr, in place on a terminal, else as lines."""

import json
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from refold.api.embedded.jars import Report
from refold.schemas.errors import RefoldError
from refold.streams import journal

LAST_WORDS = "refold.end"
"""Name of the logger for a process's last words."""
SAID = logging.INFO
_log, _ends = logging.getLogger("refold.says"), logging.getLogger(LAST_WORDS)
_log.setLevel(SAID)  # The user asked for a command's output, so it is shown at any level that libraries set.
_PIPED = 200
"""Width in columns of output that is not a terminal: no window cuts it, and wrapped names could not be searched for."""
data = Console(width=None if sys.stdout.isatty() else _PIPED)
progress = Console(stderr=True, highlight=False, emoji=False)
_UNSEEN = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))}
"""Control characters that a terminal obeys instead of showing, except tab and newline."""


def say(text: str) -> None:
    """Print one line of progress; if lines are JSON, it is JSON too."""
    if journal.is_json():
        _log.log(SAID, "%s", text)
    else:
        _print(text)


def say_why(error: RefoldError) -> None:
    """Print the error that ends a command. A process that runs on logs its errors instead."""
    words = f"{error.code}: {error.message.rstrip('.')}. {error.remedy}".rstrip()
    if journal.is_service():
        _ends.error("%s", words, extra=journal.about(error))
    else:
        _print(f"refold: {words}")


def _print(text: str) -> None:
    progress.print(text.translate(_UNSEEN), markup=False, soft_wrap=True)


@contextmanager
def reporting(what: str) -> Iterator[Report]:
    """Report the steps of a longer task: one changing line on a terminal; otherwise, and later, plain lines."""
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
    sys.stdout.write(json.dumps(value, indent=2, default=as_text) + "\n")


def as_text(value: object) -> str:
    """A value as the HTTP API writes it: times are RFC 3339, decimals exact; anything that it has not is its own text."""
    return str(msgspec.to_builtins(value)) if isinstance(value, datetime | date) else str(value)


def print_table(rows: Sequence[Mapping[str, object]], title: str = "") -> None:
    """Rows with the same keys as a table on stdout."""
    names = tuple(rows[0]) if rows else ()
    print_rows(names, [[None if value is None else str(value) for value in row.values()] for row in rows], title)


def print_rows(names: Sequence[str], rows: Iterable[Sequence[str | None]], title: str = "") -> None:
    """Print texts as a table on stdout, letter for letter: no markup, no emoji, no control characters."""
    table = Table(title=shown(title) if title else None)
    for name in names:
        table.add_column(shown(name), overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else shown(value) for value in row))
    data.print(table)


def print_tree(title: str, lines: Iterable[tuple[int, str]]) -> None:
    """Print lines with their depths as a tree on stdout, letter for letter."""
    branches = [Tree(shown(title))]
    for depth, text in lines:
        del branches[depth + 1 :]
        branches.append(branches[-1].add(shown(text)))
    data.print(branches[0])


def shown(text: str, style: str = "") -> Text:
    """A text for a terminal, letter for letter: no markup, no emoji, no control characters."""
    return Text(text.translate(_UNSEEN), style)
