"""Both decoders behind one face: what they read of a chunk, as rows by place, and what they refuse."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from refold.schemas.catalog import Catalog, Kind
from refold.schemas.codec import read_fields
from refold.schemas.columns.compiled import load
from refold.schemas.columns.decoder import ROW, ColumnDecoder, read_heads, unreadable
from refold.schemas.columns.sliced_column import SlicedColumn, Slices
from refold.schemas.envelope import framed
from refold.schemas.errors import Undecodable

Rows = dict[int, dict[str, Any]]
Refused = dict[int, str]
IDS = ("m_writer", "m_command_id", "m_body_hash", "m_event_id")


@cache
def _decoder(catalog: Catalog, *, thin: bool) -> ColumnDecoder:
    return ColumnDecoder(catalog, thin=thin)


def by_rows(catalog: Catalog, values: Sequence[bytes | None]) -> tuple[Rows, Refused]:
    """Each record alone."""
    rows: Rows = {}
    refused: Refused = {}
    for row, value in enumerate(values):
        try:
            rows[row] = _row(catalog, value)
        except Undecodable as problem:
            refused[row] = problem.reason
    return rows, refused


def _row(catalog: Catalog, value: bytes | None) -> dict[str, Any]:
    writer = catalog.by_id.get(framed(value))
    if writer is None or value is None:
        raise Undecodable("no schema of that id", "unknown-schema")
    head, body = read_fields(writer, value)
    return {**{f"m_{name}": held for name, held in head.items()}, **body}


def by_columns(catalog: Catalog, values: Sequence[bytes | None], *, thin: bool) -> tuple[Rows, Refused, int]:
    """All records of each schema at once; also how many were read one by one after all."""
    heads = read_heads(values)
    decoder = _decoder(catalog, thin=thin)
    rows: Rows = {}
    refused = {bad.row: bad.reason for bad in unreadable(values, heads, catalog)}
    fell_back = 0
    filled: Sequence[bytes | None] = values if isinstance(values, SlicedColumn) else [value or b"" for value in values]
    for number in heads.present:
        if number in catalog.by_id:
            decoded = decoder.read(number, filled, heads)
            fell_back += decoded.fell_back
            refused |= {bad.row: bad.reason for bad in decoded.bad}
            rows |= {row.pop(ROW): row for row in decoded.frame.to_dicts()}
    return rows, refused, fell_back


def slices(values: Sequence[bytes | None]) -> SlicedColumn:
    """The values as a compiled loop cuts them out of two fetched blocks."""
    filled = [value or b"" for value in values]
    half = len(filled) // 2
    return SlicedColumn([_block(filled[:half], b"\xff" * 3), _block(filled[half:], b"")])


def _block(values: Sequence[bytes], between: bytes) -> Slices:
    lengths = np.array([len(value) for value in values], np.int64)
    starts = np.cumsum(lengths + len(between)) - lengths
    data = np.frombuffer(b"".join(between + value for value in values), np.uint8)
    return Slices(data, starts, lengths)


def without_ids(rows: Rows, catalog: Catalog, values: Sequence[bytes | None]) -> Rows:
    """The rows as a thin decoder gives them."""
    return {
        place: {k: v for k, v in row.items() if k not in thin_ids(catalog, values[place])}
        for place, row in rows.items()
    }


def thin_ids(catalog: Catalog, value: bytes | None) -> tuple[str, ...]:
    """The columns that a thin decoder leaves out of a record."""
    kind = catalog.by_id[framed(value)].kind
    return {Kind.CLAIM: ("m_writer",), Kind.VOIDING: ("m_voiding_id", "m_writer"), Kind.COMMAND: ("m_command_id",)}.get(
        kind, IDS
    )


def assert_alike(catalog: Catalog, values: Sequence[bytes | None]) -> tuple[Rows, Refused, int]:
    """By rows and by columns, thin and full: the same rows, the same refused, for the same reasons.

    With the extra `speed` by compiled loops as well.
    """
    rows, refused = by_rows(catalog, values)
    full, full_refused, fell_back = by_columns(catalog, values, thin=False)
    thin, thin_refused, _ = by_columns(catalog, values, thin=True)
    if None not in values and load() is not None:
        sliced = slices(values)
        assert by_columns(catalog, sliced, thin=False) == (full, full_refused, fell_back)
        assert by_columns(catalog, sliced, thin=True)[:2] == (thin, thin_refused)
    assert full == rows
    assert thin == without_ids(rows, catalog, values)
    assert full_refused == thin_refused == refused
    assert rows.keys() | refused.keys() == set(range(len(values)))
    return rows, refused, fell_back
