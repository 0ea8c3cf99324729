"""The keys of the rows that a command works on, as a table beside its build: it goes with the build."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString

import polars as pl
import psycopg
from psycopg import sql

from refold.projections.errors import KeyUnfit
from refold.projections.tables.builds import Build
from refold.projections.tables.layout import Layout
from refold.projections.tables.names import table
from refold.streams.postgres.connection import Database
from refold.streams.refusals import first_line

KEYS, NUMBER = "Keys", "Number"
"""Names of our own: authors' names have no upper case."""


@dataclass(frozen=True)
class Wanted:
    """The rows that a command is asked for: `keys`, or the keys that a statement selects from the served rows.

    A key has a text or None for each key column, as Postgres reads it; the statement gives the key columns in their order.
    """

    keys: Sequence[Sequence[str | None]] = ()
    rows: tuple[str, Sequence[Any]] | None = None


@dataclass(frozen=True)
class WantedKeys:
    """The table of a build's wanted keys."""

    db: Database
    layout: Layout
    build: Build

    @property
    def table(self) -> sql.Identifier:
        """The table's name: a number and the key columns."""
        return sql.Identifier(self.build.schema, KEYS)

    def note(self, wanted: Wanted) -> int:
        """Make the table, each key once; returns their number. Raises KeyUnfit for a value that the key cannot hold."""
        number = sql.SQL("ALTER TABLE {} ADD {} bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY")
        with self.db.transaction():
            # As a copy, so that texts have the collation of the model's table.
            made = sql.SQL("CREATE TABLE {} AS SELECT {} FROM {} LIMIT 0")
            self.db.execute(made.format(self.table, self._names, table(self.layout, self.build.schema)))
            self.db.execute(number.format(self.table, sql.Identifier(NUMBER)))
            if wanted.rows is not None:
                self._insert(sql.SQL("SELECT DISTINCT * FROM ({}) found").format(_sql(wanted.rows[0])), wanted.rows[1])
            else:
                self._insert_texts(wanted.keys)
            self.db.execute(sql.SQL("ANALYZE {}").format(self.table))
        return self.count()

    def count(self) -> int:
        """The number of keys."""
        row = self.db.execute(sql.SQL("SELECT count(*) FROM {}").format(self.table)).fetchone()
        assert row is not None
        return int(row[0])

    def frame(self) -> pl.DataFrame:
        """The keys as the frames of events hold them."""
        rows = self.db.execute(sql.SQL("SELECT {} FROM {}").format(self._names, self.table)).fetchall()
        values = [[_in_utc(value) for value in row] for row in rows]
        return pl.DataFrame(values, {part.name: part.type.dtype for part in self.layout.keys}, orient="row")

    def patterns(self) -> list[tuple[bool, ...]]:
        """For each set of key columns that are null together: which they are. An index finds `=` and `IS NULL` alone."""
        nulls = [sql.SQL("{} IS NULL").format(sql.Identifier(name)) for name in self.layout.key_names]
        found = self.db.execute(sql.SQL("SELECT DISTINCT {} FROM {}").format(sql.SQL(", ").join(nulls), self.table))
        return sorted(found.fetchall())

    @property
    def _names(self) -> sql.Composed:
        return sql.SQL(", ").join(map(sql.Identifier, self.layout.key_names))

    def _insert(self, rows: sql.Composable, values: Sequence[Any]) -> None:
        self.db.execute(sql.SQL("INSERT INTO {} ({}) {}").format(self.table, self._names, rows), values)

    def _insert_texts(self, keys: Sequence[Sequence[str | None]]) -> None:
        width = len(self.layout.keys)
        columns = [[key[place] for key in keys] for place in range(width)]
        casts = [
            sql.SQL("{}::" + part.type.sql).format(sql.Identifier("k", f"c{place}"))
            for place, part in enumerate(self.layout.keys)
        ]
        rows = sql.SQL("SELECT DISTINCT {} FROM unnest({}) AS k({})").format(
            sql.SQL(", ").join(casts),
            sql.SQL(", ").join([sql.SQL("%s::text[]")] * width),
            sql.SQL(", ").join(sql.Identifier(f"c{place}") for place in range(width)),
        )
        try:
            with self.db.transaction():
                self._insert(rows, columns)
        except psycopg.DataError as problem:
            if len(keys) == 1:
                said = ",".join("null" if value is None else value for value in keys[0])
                raise KeyUnfit(f"{said} is no key of {self.layout.name}: {first_line(problem)}") from problem
            middle = len(keys) // 2
            self._insert_texts(keys[:middle])
            self._insert_texts(keys[middle:])
            raise


def _sql(statement: str) -> sql.SQL:
    """A statement of our own that binds its values."""
    text: LiteralString = statement
    return sql.SQL(text)


def _in_utc(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value
