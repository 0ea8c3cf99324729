"""The platform's tables as this code knows them. Their version is the number of migrations in plain SQL.

A released migration is never edited (`tests/streams/test_migrations.py` holds its checksum). How to add one:
docs/upgrading.md.
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
    """One step. `served_from`: code must know at least this many migrations to serve the tables once it is applied."""

    number: int
    name: str
    statements: str
    served_from: int


@dataclass(frozen=True)
class TablesLayout:
    """The tables' parts once all migrations are applied: (table, column), functions with arguments, and indexes."""

    columns: tuple[tuple[str, str], ...]
    functions: tuple[str, ...]
    indexes: tuple[str, ...]

    @property
    def tables(self) -> list[str]:
        """Tables and views."""
        return sorted({table for table, _ in self.columns})


@dataclass(frozen=True)
class TablesSchema:
    """All migrations of some code in order, and the resulting layout."""

    migrations: tuple[Migration, ...]
    layout: TablesLayout

    @property
    def version(self) -> int:
        return len(self.migrations)


RIGHTS = (FOLDER / "rights.sql").read_text(encoding="utf-8")
"""SQL for roles, which belong to the server: run if they are missing."""


@cache
def known() -> TablesSchema:
    """The schema that this code knows."""
    return read(FOLDER)


def read(folder: Traversable) -> TablesSchema:
    """The migrations of a folder, and its layout. Raises what `migrations` raises."""
    return TablesSchema(migrations(folder), _layout((folder / "layout.txt").read_text(encoding="utf-8")))


def migrations(folder: Traversable) -> tuple[Migration, ...]:
    """The migrations in order. Raises ValueError for a missing number, or a file without its `served_from`."""
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
    """Parse one line per part: `table.column`, `function(types)`, or the name of an index."""
    lines = text.split("\n")[:-1]
    functions = [line for line in lines if line.endswith(")")]
    columns = [line.split(".") for line in lines if "." in line]
    indexes = [line for line in lines if "." not in line and line not in functions]
    return TablesLayout(tuple((table, column) for table, column in columns), tuple(functions), tuple(indexes))
