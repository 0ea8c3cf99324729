"""The version of the platform's own tables that this code knows: as many as there are numbered migrations, in plain SQL.

A migration that was released is never edited (`tests/streams/test_migrations.py` holds its checksum). How to add one: docs/upgrading.md.
"""

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

FOLDER = files("refold.streams.postgres") / "migrations"
_FILE = re.compile(r"(\d{4})_(\w+)\.sql")
_SERVED_FROM = re.compile(r"^-- Served by code of version (\d+) and later\.$", re.MULTILINE)


@dataclass(frozen=True)
class Migration:
    """One step. `served_from`: code that knows fewer migrations than this may not serve the tables once it is applied."""

    number: int
    name: str
    statements: str
    served_from: int


@dataclass(frozen=True)
class TablesLayout:
    """What the tables have once all migrations are applied: (table, column), functions with their arguments, and indexes."""

    columns: tuple[tuple[str, str], ...]
    functions: tuple[str, ...]
    indexes: tuple[str, ...]

    @property
    def tables(self) -> list[str]:
        """Tables and views."""
        return sorted({table for table, _ in self.columns})


@dataclass(frozen=True)
class TablesSchema:
    """All migrations of some code in order, and what they lead to."""

    migrations: tuple[Migration, ...]
    layout: TablesLayout

    @property
    def version(self) -> int:
        return len(self.migrations)


RIGHTS = (FOLDER / "rights.sql").read_text(encoding="utf-8")
"""Of roles, which are the server's: run where they are missing."""


@cache
def known() -> TablesSchema:
    """What this code knows."""
    return read(FOLDER)


def read(folder: Traversable) -> TablesSchema:
    """The migrations of a folder, and its layout. Raises what `migrations` raises."""
    return TablesSchema(migrations(folder), _layout((folder / "layout.txt").read_text(encoding="utf-8")))


def migrations(folder: Traversable) -> tuple[Migration, ...]:
    """In order. Raises ValueError where a number is missing or a file does not say who serves it."""
    found = sorted(
        (_migration(each) for each in folder.iterdir() if _FILE.fullmatch(each.name)), key=lambda m: m.number
    )
    if [each.number for each in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"migrations are numbered from 1 without a gap, not {[each.number for each in found]}")
    return tuple(found)


def _migration(file: Traversable) -> Migration:
    name, statements = _FILE.fullmatch(file.name), file.read_text(encoding="utf-8")
    served_from = _SERVED_FROM.search(statements)
    if name is None or served_from is None:
        raise ValueError(f"{file.name} does not say `-- Served by code of version N and later.`")
    return Migration(int(name[1]), name[2], statements, int(served_from[1]))


def _layout(text: str) -> TablesLayout:
    """A line each: `table.column`, `function(types)`, or the name of an index."""
    lines = text.split("\n")[:-1]
    functions = [line for line in lines if line.endswith(")")]
    columns = [line.split(".") for line in lines if "." in line]
    indexes = [line for line in lines if "." not in line and line not in functions]
    return TablesLayout(tuple((table, column) for table, column in columns), tuple(functions), tuple(indexes))
