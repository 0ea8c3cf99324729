"""What commands print: data on stdout, as a table or as JSON; progress on stderr, in place on a terminal, as lines elsewhere."""

import json
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table
from rich.text import Text

from refold.api.embedded.jars import Report
from refold.schemas.errors import RefoldError
from refold.streams import journal

LAST_WORDS = "refold.end"
"""The logger of what a process ends by."""
SAID = logging.INFO
_log, _ends = logging.getLogger("refold.says"), logging.getLogger(LAST_WORDS)
_log.setLevel(SAID)  # a command is asked for, and so is what it says, whatever level libraries are heard at
_PIPED = 200
"""Columns of what is no terminal: nobody's window cuts it, and folded names cannot be searched for."""
data = Console(width=None if sys.stdout.isatty() else _PIPED)
progress = Console(stderr=True, highlight=False, emoji=False)
_UNSEEN = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))}
"""Characters that a terminal obeys instead of showing them, but for tab and newline."""


def say(text: str) -> None:
    """One line of progress; where lines are JSON, it is one of these."""
    if journal.is_json():
        _log.log(SAID, "%s", text)
    else:
        _print(text)


def say_why(error: RefoldError) -> None:
    """The last words of a command that ends by an error. A process that runs on logs them."""
    words = f"{error.code}: {error.message.rstrip('.')}. {error.remedy}".rstrip()
    if journal.is_service():
        _ends.error("%s", words, extra=journal.about(error))
    else:
        _print(f"refold: {words}")


def _print(text: str) -> None:
    progress.print(text.translate(_UNSEEN), markup=False, soft_wrap=True)


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
    names = tuple(rows[0]) if rows else ()
    print_rows(names, [[None if value is None else str(value) for value in row.values()] for row in rows], title)


def print_rows(names: Sequence[str], rows: Iterable[Sequence[str | None]], title: str = "") -> None:
    """Texts as a table on stdout, letter for letter: no markup, no emoji, nothing that a terminal obeys."""
    table = Table(title=_shown(title) if title else None)
    for name in names:
        table.add_column(_shown(name), overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else _shown(value) for value in row))
    data.print(table)


def _shown(text: str) -> Text:
    return Text(text.translate(_UNSEEN))
