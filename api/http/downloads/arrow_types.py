"""Columns as Arrow's: the exact type of each, and batches of rows from the CSV that Postgres copies out."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pyarrow as pa
from psycopg import sql
from pyarrow import csv

from refold.api.download_errors import FormatCannotHold
from refold.api.http.downloads.columns import Column, place

_TYPES: dict[str, Callable[[], Any]] = {
    "bool": pa.bool_,
    "int2": pa.int16,
    "int4": pa.int32,
    "int8": pa.int64,
    "float4": pa.float32,
    "float8": pa.float64,
    "date": pa.date32,
    "time": lambda: pa.time64("us"),
    "timestamp": lambda: pa.timestamp("us"),
    "timestamptz": lambda: pa.timestamp("us", "UTC"),
    "bytea": pa.binary,
}
"""All else is text, as Postgres prints it: uuid, jsonb, interval, timetz, and decimals without a scale or of more than 38 digits."""
# Arrow's own pool keeps what the threads gave back: 50 MB more, for a million rows, than the system's.
pa.set_memory_pool(pa.system_memory_pool())
_HEX = len(r"\x")


class Batches:
    """Makes record batches of some columns."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self.schema = pa.schema(
            [pa.field(column.name, arrow_type(column), nullable=not column.required) for column in columns]
        )
        self._names = names = [f"c{number}" for number in range(len(columns))]  # those of readers may occur twice
        self._parse = csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)
        self._convert = csv.ConvertOptions(
            column_types={name: _read_as(column) for name, column in zip(names, columns, strict=True)},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        )

    def shown(self) -> sql.Composed:
        """What COPY selects, in CSV."""
        return sql.SQL(", ").join(_shown(column, number) for number, column in enumerate(self._columns))

    def batch(self, rows: bytes) -> Any:
        """Whole CSV records as one record batch. Raises FormatCannotHold."""
        try:
            table = csv.read_csv(
                pa.py_buffer(rows),
                read_options=csv.ReadOptions(column_names=self._names, use_threads=False, block_size=len(rows) + 1),
                parse_options=self._parse,
                convert_options=self._convert,
            ).combine_chunks()
            arrays = [
                _finished(column, found.chunk(0)) for column, found in zip(self._columns, table.columns, strict=True)
            ]
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, msgspec.DecodeError) as problem:
            raise FormatCannotHold(self._said(str(problem))) from problem
        for column, found in zip(self._columns, arrays, strict=True):
            if (
                column.required and found.null_count
            ):  # the view was pointed at another table since the query was planned
                raise FormatCannotHold(f"{column.name} may be null now, and was declared never to be: ask again")
        return pa.record_batch(arrays, schema=self.schema)

    def _said(self, problem: str) -> str:
        """Arrow's message with the column's name in place of its number."""
        number = problem.partition("CSV column #")[2].partition(":")[0]
        if not number.isdigit():
            return f"a value has no place in Arrow: {problem[:200]}"
        column, value = self._columns[int(number)], problem.partition("Row #")[2].partition(": ")[2]
        return f"a value of {column.name} has no place in Arrow's {arrow_type(column)}: {value[:200]}"


def arrow_type(column: Column) -> Any:
    """The type of a column in Arrow and Parquet."""
    if column.scale is not None:
        element = pa.decimal128(column.precision, column.scale)
    else:
        element = _TYPES.get(column.kind, pa.string)()
    return pa.list_(element) if column.array else element


def _read_as(column: Column) -> Any:
    return pa.string() if column.array or column.kind == "bytea" else arrow_type(column)


def _shown(column: Column, number: int) -> sql.Composable:
    """Arrays as JSON of their elements' texts: Postgres's own text of an array has a grammar that nobody reads fast."""
    if column.array:
        return sql.SQL("to_json({}::text[])::text").format(place(number))
    return sql.SQL("{}" if column.kind in _TYPES or column.scale is not None else "{}::text").format(place(number))


def _finished(column: Column, found: Any) -> Any:
    if column.array:
        return _lists(column, found)
    if column.kind == "bytea":
        return pa.array(
            [None if text is None else bytes.fromhex(text[_HEX:]) for text in found.to_pylist()], pa.binary()
        )
    return found


def _lists(column: Column, found: Any) -> Any:
    texts = [None if text is None else msgspec.json.decode(text) for text in found.to_pylist()]
    if any(isinstance(item, list) for text in texts if text for item in text):
        raise FormatCannotHold(f"a value of {column.name} is an array of several dimensions")
    kind = arrow_type(column)
    if column.kind == "bytea":
        texts = [
            None if text is None else [None if i is None else bytes.fromhex(i[_HEX:]) for i in text] for text in texts
        ]
        return pa.array(texts, kind)
    plain = pa.array(texts, pa.list_(pa.string()))
    try:
        values = plain.values.cast(kind.value_type)
    except pa.ArrowInvalid as problem:
        raise FormatCannotHold(f"a value of {column.name} has no place in Arrow: {str(problem)[:200]}") from problem
    return pa.ListArray.from_arrays(plain.offsets, values, kind, mask=plain.is_null())
