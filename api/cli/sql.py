"""The command `refold sql`: asks the read models by SQL."""

import json as json_texts
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import Annotated

import psycopg
from cyclopts import Parameter
from psycopg import conninfo

from refold.api.cli.exits import DONE, FAILED
from refold.api.cli.output import print_rows, say
from refold.api.embedded.errors import ExtraMissing
from refold.api.embedded.postgres import wheel_binaries
from refold.api.embedded.servers import analyst_address
from refold.streams.errors import NotConnected
from refold.streams.postgres import session
from refold.streams.postgres.connection import answering, opened
from refold.streams.refusals import first_line
from refold.streams.settings import Settings

Query = Annotated[str | None, Parameter(show_default=False)]
Row = Sequence[str | None]
_SESSION = {
    "client_encoding": "UTF8",
    "default_transaction_read_only": "on",
    "timezone": "UTC",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
}
_BOOLEAN = 16
_NUMBERS = frozenset({20, 21, 23, 26, 700, 701})
"""Type numbers (OIDs) of whole numbers and floats, whose text is a JSON number (except NaN and infinities)."""
_JSON = frozenset({114, 3802})
_WORDS = {"t": "true", "f": "false"}
_NOT_FINITE = frozenset({"NaN", "Infinity", "-Infinity"})
_WIDE = re.compile(r"[^\x00-\x7f]+")


class _Refused(Exception):
    """The refusal of a statement by Postgres or by this command, in one sentence."""


def sql(query: Query = None, /, *, json: bool = False) -> int:
    """Ask the read models by SQL, with the login that may only read; without QUERY open psql, or print the address.

    psql opens in a terminal. Elsewhere, as in `psql "$(refold sql)"`, and where there is no psql, the address is printed.

    Args:
        query: one statement.
        json: print the rows as one JSON document.
    """
    address = analysts_address(Settings.load())
    if query is None:
        program = psql() if sys.stdin.isatty() and sys.stdout.isatty() else None
        if program is not None:
            return _opened(program, address)
        print(address)
        return DONE
    try:
        names, types, rows = _asked(address, query)
        if json:
            print(_document(names, types, rows))
        else:
            print_rows(names, rows)
    except _Refused as refused:
        say(f"refold: {refused}")
        return FAILED
    return DONE


def analysts_address(settings: Settings) -> str:
    """The URL of the login that may only read. Raises NotConnected."""
    address = analyst_address(settings)
    if address is None:
        raise NotConnected(
            "There is no login for analysts: no embedded Postgres runs in the data folder, and `analyst_url` is not set.",
            "Run `refold dev` in another terminal, or set REFOLD_ANALYST_URL (docs/sql.md says how to make the login).",
        )
    return address


def psql() -> str | None:
    """The program psql: the machine's, or the one that came with the embedded Postgres."""
    with suppress(ExtraMissing):
        return shutil.which("psql") or str(wheel_binaries() / "psql")
    return None


def _opened(program: str, address: str) -> int:
    """Run psql in this terminal. The password goes by the environment, since other users see the arguments."""
    parts = conninfo.conninfo_to_dict(address)
    password = parts.pop("password", None)
    secret = {} if password is None else {"PGPASSWORD": str(password)}
    return subprocess.run(
        [program, conninfo.make_conninfo("", **parts)], env=os.environ | secret, check=False
    ).returncode


def _asked(address: str, query: str) -> tuple[list[str], list[int], list[Row]]:
    """The columns, their types, and the rows as Postgres prints them: Python has no infinite day and no 24:00.

    Raises _Refused.
    """
    with answering(), closing(opened(address, session.parameters("sql", _SESSION))) as db:
        db.execute(session.said_again(_SESSION))
        try:
            cursor = db.execute(query.encode(), prepare=True)  # Postgres prepares one statement and refuses several
        except psycopg.Error as problem:
            if db.broken:
                raise
            if problem.sqlstate == "42601" and "multiple commands" in str(problem):
                raise _Refused(
                    "several-statements: this command runs one statement; give each a command of its own"
                ) from None
            raise _Refused(f"{problem.sqlstate or 'not-possible'}: {first_line(problem)}") from None
        result = cursor.pgresult
        if result is None or cursor.description is None:
            return [], [], []
        width = range(result.nfields)
        rows: list[Row] = [
            [_text(result.get_value(place, column)) for column in width] for place in range(result.ntuples)
        ]
        return [column.name for column in cursor.description], [result.ftype(column) for column in width], rows


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _document(names: Sequence[str], types: Sequence[int], rows: Sequence[Row]) -> str:
    """An array of objects. Raises _Refused if two columns have one name, since readers of JSON would keep only one."""
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise _Refused(f"name-twice: two columns are called {twice}: give one of them another name by AS")
    objects = []
    for row in rows:
        members = zip(names, types, row, strict=True)
        lines = [f"    {json_texts.dumps(name)}: {_value(kind, text)}" for name, kind, text in members]
        objects.append("  {\n" + ",\n".join(lines) + "\n  }")
    return "[\n" + ",\n".join(objects) + "\n]" if names and rows else "[]"


def _value(kind: int, text: str | None) -> str:
    """The value as the HTTP API has it: numbers, booleans and JSON become JSON, digit for digit; all else is text."""
    if text is None:
        return "null"
    if kind == _BOOLEAN:
        return _WORDS[text]
    if kind in _NUMBERS and text not in _NOT_FINITE:
        return text
    if kind in _JSON:
        return _WIDE.sub(lambda found: json_texts.dumps(found[0])[1:-1], text)
    return json_texts.dumps(text)
