"""How many bytes the rows of a page have: a page of large values ends before its limit, and its cursor goes on behind it."""

from collections.abc import Sequence

from refold.api.http.reads.planning.showing import Shown

PAGE_BYTES = 8 << 20
"""Of the values that have no bound of their own, as Postgres prints them; JSON's escapes come on top."""


def row_bytes(shown: Sequence[Shown], places: Sequence[str]) -> str | None:
    """The bytes of a row's values, without those of types that are always short; None where all are."""
    sizes = [_bytes(item, place) for item, place in zip(shown, places, strict=True)]
    return " + ".join(size for size in sizes if size is not None) or None


def _bytes(item: Shown, value: str) -> str | None:
    """Of texts and bytes Postgres knows the length without reading those that it keeps aside or compressed."""
    kind = item.kind
    bounded = item.column is not None and "(" in item.column.sql_type
    if kind.array or kind.name in {"json", "jsonb"} or (kind.name == "numeric" and not bounded):
        size = f"octet_length({value}::text)"
    elif kind.name in {"text", "bpchar"}:
        size = f"octet_length({value})"
    elif kind.name == "bytea":
        size = f"2 * octet_length({value})"
    else:
        return None
    return f"coalesce({size}, 0)" if item.nullable else size
