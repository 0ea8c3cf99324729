"""How many bytes the rows of a page have: a page of large values ends before its limit, and its cursor goes on behind it."""

from collections.abc import Callable
from functools import cache

from psycopg import sql

from refold.projections.declaring.served_types import served_type
from refold.projections.tables.serving import ServedColumn

PAGE_BYTES = 8 << 20
"""Of the values that have no bound of their own, as Postgres prints them; JSON's escapes come on top."""


@cache
def row_bytes(columns: tuple[ServedColumn, ...], place: Callable[[int], sql.Composable]) -> sql.Composable | None:
    """The bytes of a row's values, without those of types that are always short; None where all are.

    `place`: what a column is called in the statement.
    """
    sizes = [_bytes(column, place(nr)) for nr, column in enumerate(columns)]
    large = [size for size in sizes if size is not None]
    return sql.SQL(sql.SQL(" + ").join(large).as_string()) if large else None  # composed once, and for all


def _bytes(column: ServedColumn, value: sql.Composable) -> sql.Composable | None:
    """Of texts and bytes Postgres knows the length without reading those that it keeps aside or compressed."""
    kind = served_type(column.sql_type)
    if kind.array or kind.name == "jsonb" or (kind.name == "numeric" and "(" not in column.sql_type):
        size = "octet_length({}::text)"
    elif kind.name in {"text", "bpchar"}:
        size = "octet_length({})"
    elif kind.name == "bytea":
        size = "2 * octet_length({})"
    else:
        return None
    return sql.SQL(f"coalesce({size}, 0)" if column.nullable else size).format(value)
