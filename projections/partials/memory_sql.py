"""Reads memories of carried values from Postgres: what streams said before some events, or all that they said."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import polars as pl
from psycopg import sql

from refold.projections.partials.row_values import Row
from refold.projections.tables.layout import Layout
from refold.projections.tables.memories import PART, STREAM, VERSION
from refold.projections.tables.names import table
from refold.streams.postgres.connection import Statements


def latest(db: Statements, layout: Layout, schema: str, streams: Sequence[str]) -> list[Row]:
    """The last row of each of some streams, each named once. No event that is folded next lies before it."""
    return _read(db, _latest(layout, schema), layout, streams)


def every(db: Statements, layout: Layout, schema: str, streams: Sequence[str]) -> list[Row]:
    """All rows of some streams, each named once."""
    return _read(db, _every(layout, schema), layout, streams)


def as_frame(layout: Layout, rows: Sequence[Row]) -> pl.DataFrame:
    """Rows of a memory as a partial of it."""
    types = {part.name: part.type.dtype for part in layout.stored}
    return pl.DataFrame({name: [row[name] for row in rows] for name in types}, schema=types)


def _read(db: Statements, query: bytes, layout: Layout, streams: Sequence[str]) -> list[Row]:
    if not streams:
        return []
    names = [part.name for part in layout.stored]
    return [
        {name: _in_utc(value) for name, value in zip(names, row, strict=True)}
        for row in db.execute(query, (list(streams),)).fetchall()
    ]


def _in_utc(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


@cache
def _latest(layout: Layout, schema: str) -> bytes:
    query = (
        "SELECT {columns} FROM unnest(%s::text[]) AS wanted (name) CROSS JOIN LATERAL"
        " (SELECT * FROM {table} t WHERE t.{stream} = wanted.name ORDER BY t.{version} DESC, t.{part} DESC LIMIT 1) t"
    )
    return _composed(query, layout, schema)


@cache
def _every(layout: Layout, schema: str) -> bytes:
    query = "SELECT {columns} FROM unnest(%s::text[]) AS wanted (name) JOIN {table} t ON t.{stream} = wanted.name"
    return _composed(query, layout, schema)


def _composed(query: str, layout: Layout, schema: str) -> bytes:
    columns = sql.SQL(", ").join(sql.Identifier("t", part.name) for part in layout.stored)
    names = {"stream": sql.Identifier(STREAM), "version": sql.Identifier(VERSION), "part": sql.Identifier(PART)}
    used = {name: value for name, value in names.items() if f"{{{name}}}" in query}
    return sql.SQL(query).format(columns=columns, table=table(layout, schema), **used).as_bytes()
