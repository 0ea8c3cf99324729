"""XLSX: one sheet, written to a file of its own before the first byte is sent, since a workbook ends with its table of contents."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, closing
from datetime import date, datetime, time
from decimal import Decimal
from math import isfinite, isnan
from pathlib import Path
from typing import Any

import numpy as np
import xlsxwriter

from refold.api.download_errors import FormatCannotHold
from refold.api.http.downloads.arrow import record_batches
from refold.api.http.downloads.arrow_types import Batches
from refold.api.http.downloads.columns import Column
from refold.api.http.downloads.copied import PIECE_BYTES, Snapshot

MOST_ROWS = 1_048_576
MOST_TEXT = 32_767
"""UTF-16 units of a cell's text."""
EXACT_DIGITS = 15
"""Digits that Excel keeps of a number."""
_FIRST_DAY = date(1900, 3, 1)
"""Excel counts a 29th of February 1900, so its days before this one have other names."""
Write = Callable[[int, Any], None]


async def xlsx(rows: Snapshot) -> AsyncGenerator[bytes, None]:
    """A workbook with a line of names. Raises FormatCannotHold before it yields."""
    with tempfile.TemporaryDirectory(prefix="refold-xlsx-") as folder:
        path = Path(folder) / "rows.xlsx"
        with closing(_Sheet(path, rows.columns)) as sheet:
            async with aclosing(record_batches(rows, Batches(rows.columns))) as batches:
                async for batch in batches:
                    await asyncio.to_thread(sheet.add, batch)
            await asyncio.to_thread(sheet.finish)
        with path.open("rb") as file:
            while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
                yield piece


class _Sheet:
    """Rows go to disk one by one: the workbook's constant memory."""

    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        self._book = xlsxwriter.Workbook(str(path), {"constant_memory": True, "tmpdir": str(path.parent)})
        self._sheet = self._book.add_worksheet()
        self._columns = columns
        self._row = 0
        for number, column in enumerate(columns):
            self._text(number, column.name)
        self._writes = [self._writer(column) for column in columns]

    def add(self, batch: Any) -> None:
        """Write a batch. Raises FormatCannotHold."""
        values = [batch.column(number).to_pylist() for number in range(batch.num_columns)]
        for row in zip(*values, strict=True):
            self._row += 1
            if self._row >= MOST_ROWS:
                raise FormatCannotHold(
                    f"an XLSX sheet has {MOST_ROWS:,} rows at most, with the one of names; these are more"
                )
            for number, value in enumerate(row):
                if value is not None:
                    self._writes[number](number, value)

    def finish(self) -> None:
        """Finish the file."""
        self._book.close()

    def close(self) -> None:
        """Delete the rows on disk. The workbook's own `close` would make a file of them."""
        self._sheet.row_data_fh.close()

    def _writer(self, column: Column) -> Write:
        if column.array:
            return lambda at, value: self._text(at, _listed(value))
        if column.scale is not None:
            style = self._book.add_format({"num_format": "0." + "0" * column.scale if column.scale else "0"})
            return lambda at, value: self._number(at, value, style)
        if column.kind == "float4":
            return lambda at, value: self._number(at, float(str(np.float32(value))))
        if column.kind in {"int2", "int4", "int8", "float8"}:
            return self._number
        if column.kind == "bool":
            return lambda at, value: _done(self._sheet.write_boolean(self._row, at, value))
        return self._dated(column.kind) or (lambda at, value: self._text(at, _said(value)))

    def _dated(self, kind: str) -> Write | None:
        """Days and times as Excel's own where it has them to the digit, else as text."""
        looks = {
            "date": "yyyy-mm-dd",
            "timestamp": "yyyy-mm-dd hh:mm:ss.000",
            "timestamptz": 'yyyy-mm-dd hh:mm:ss.000"Z"',
        }
        if kind not in looks:
            return None
        style = self._book.add_format({"num_format": looks[kind]})

        def write(at: int, value: Any) -> None:
            day = value.date() if isinstance(value, datetime) else value
            if day < _FIRST_DAY or (isinstance(value, datetime) and value.microsecond % 1000):
                self._text(at, _said(value))
            else:
                plain = value.replace(tzinfo=None) if isinstance(value, datetime) else value
                _done(self._sheet.write_datetime(self._row, at, plain, style))

        return write

    def _number(self, at: int, value: Any, style: Any = None) -> None:
        """A number where Excel keeps each of its digits, else its text."""
        if isinstance(value, float):
            exact = float(f"{value:.16G}") == value and isfinite(value)
        else:
            exact = (
                len(format(abs(value), "f" if isinstance(value, Decimal) else "d").replace(".", "").lstrip("0"))
                <= EXACT_DIGITS
            )
        if exact:
            _done(self._sheet.write_number(self._row, at, value, style))
        else:
            self._text(at, _said(value))

    def _text(self, at: int, text: str) -> None:
        """A text is never a formula, a link or a number, whatever it looks like."""
        if len(text.encode("utf-16-le")) // 2 > MOST_TEXT:
            name = self._columns[at].name
            raise FormatCannotHold(f"a cell of XLSX holds {MOST_TEXT:,} letters, and a value of {name[:60]} has more")
        _done(self._sheet.write_string(self._row, at, text))


def _done(code: int) -> None:
    """What xlsxwriter does not write it only reports."""
    if code:
        raise FormatCannotHold(f"the sheet has no place for a value (code {code})")


def _said(value: Any) -> str:
    """A value as a page of rows says it."""
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, float) and not isfinite(value):
        return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _listed(values: Sequence[Any]) -> str:
    return "[" + ", ".join("null" if value is None else _said(value) for value in values) + "]"
