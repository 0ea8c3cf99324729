"""The rows that `refold replay repair` is to work on: keys as they are typed, keys of a file or of a verify, filters on served rows."""

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from refold.api.cli.output import say
from refold.api.errors import FileUnreadable, RowKeyInvalid
from refold.api.http.reads.language.query_string import GROUPS, read_query
from refold.api.http.reads.language.tree import EVERYTHING
from refold.api.http.reads.planning.plan import plan_query
from refold.api.http.reads.planning.resources import check_name
from refold.api.http.reads.row_keys import Key, key_of_text
from refold.api.http.wire.parameters import bad_filter
from refold.projections.replay.wanted_keys import Wanted
from refold.projections.tables.served import ServedModel
from refold.streams.postgres.connection import answering, connect
from refold.streams.settings import Settings

STDIN = "-"


def wanted_keys(model: ServedModel, keys: Sequence[str], files: Sequence[str]) -> Wanted:
    """The rows of the typed keys and of the files' keys. Raises RowKeyInvalid, FilterInvalid, FileUnreadable."""
    typed = [key_of_text(model, key) for key in keys if key != STDIN]
    paths = [*files, *[STDIN for key in keys if key == STDIN][:1]]
    return Wanted([*typed, *(key for path in paths for key in _keys_of(model, path, _text(path)))])


def wanted_rows(model: ServedModel, conditions: Sequence[str], settings: Settings) -> Wanted:
    """The served rows for which all conditions hold, each `column=op.value` as in a query string.

    Raises FilterInvalid, also for a value that only Postgres refuses, and UnknownParameter.
    """
    raw = "&".join(quote(one, safe="=") for one in conditions).encode()
    query = read_query(raw, check=check_name(model, asked=GROUPS))
    if query.select != EVERYTHING or query.order or query.limit is not None or query.offset or query.cursor:
        raise bad_filter("where", "--where takes filters alone, such as day=gte.2026-01-31 or or=(a.eq.1,b.is.null)")
    columns = ",".join(f'"{name}"' for name in model.key).encode()
    plan = plan_query(model, read_query(raw + b"&select=" + quote(columns, safe=",").encode(), check=check_name(model)))
    piece = plan.shape.selection(None)
    with answering(), closing(connect(settings.dsn(), application_name="repair")) as db:
        for one in plan.given:
            try:
                db.execute(f"SELECT ({one.probe}) IS NULL".encode(), [one.value])
            except psycopg.DataError as problem:
                raise one.refused() from problem
    return Wanted(rows=(piece.text, [plan.values[slot] for slot in piece.slots]))


def _text(path: str) -> str:
    try:
        return sys.stdin.read() if path == STDIN else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise FileUnreadable(f"{path}: {problem}") from problem


def _keys_of(model: ServedModel, path: str, text: str) -> Iterable[Key]:
    """Keys of a file: one a line as they are typed, or the document that `refold replay verify --json` prints."""
    if not text.lstrip().startswith("{"):
        return [key_of_text(model, line) for line in text.splitlines() if line.strip()]
    try:
        return _keys_of_verify(model, json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise FileUnreadable(
            f"{path}: no keys, and no document of `refold replay verify --json`: {problem}"
        ) from problem


def _keys_of_verify(model: ServedModel, found: dict[str, Any]) -> list[Key]:
    mine = [one for one in found["models"] if (one["domain"], one["model"]) == (model.domain, model.name)]
    if not mine:
        raise RowKeyInvalid(f"the verify did not compare {model.domain}.{model.name}")
    rows = [row for one in mine for row in one["listed"]]
    differing = sum(one["changed"] + one["missing"] + one["extra"] for one in mine)
    if differing > len(rows):
        say(
            f"refold: the verify lists {len(rows):,} of {differing:,} rows that differ: verify and repair again afterwards"
        )
    return [[row["key"][name] for name in model.key] for row in rows]
