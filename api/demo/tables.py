"""Reads the core's tables for the demo, patiently: Postgres may be killed and restarted at any moment."""

from collections.abc import Sequence
from typing import Any

import psycopg

from refold.streams.postgres.connection import Database, connect_patiently
from refold.streams.refusals import is_away

PATIENCE_S = 120.0


class Tables:
    """One connection, opened again when it breaks. Raises DatabaseUnavailable if Postgres stays away."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._db: Database | None = None

    def rows(self, statement: str, *values: object) -> Sequence[tuple[Any, ...]]:
        """The rows that a query returns."""
        while True:
            if self._db is None:
                self._db = connect_patiently(self._url, application_name="demo", seconds=PATIENCE_S)
            try:
                return self._db.execute(statement.encode(), values).fetchall()
            except psycopg.Error as problem:
                if not is_away(problem):
                    raise
                self._db.close()
                self._db = None

    def value(self, statement: str, *values: object) -> Any:
        """The only value of the only row."""
        ((found,),) = self.rows(statement, *values)
        return found

    def close(self) -> None:
        """Close the connection."""
        if self._db is not None:
            self._db.close()
