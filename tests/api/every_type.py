"""Rows of every served type, what each kind of file holds of them, and an XLSX sheet as its reader sees it."""

import io
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import openpyxl

BIG, MINUS_BIG = Decimal("123456789012345678901234567890123456.78"), Decimal("-123456789012345678901234567890123456.78")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, UTC)
EXOTIC = 'a "quoted", \\back\\slashed\n=1+1\ttext\r\u00fc\u20ac\U0001f600'
COLUMNS: dict[str, tuple[str, Any, Any]] = {
    "id": ("bigint", 1, 2**63 - 1),
    "small": ("smallint", -(2**15), 2**15 - 1),
    "whole": ("integer", -(2**31), 2**31 - 1),
    "big": ("bigint", 9007199254740993, -(2**63)),
    "amount": ("numeric(38,2)", Decimal("3.30"), MINUS_BIG),
    "share": ("numeric(18,18)", Decimal("0.000000000000000001"), Decimal("-0.999999999999999999")),
    "count": ("numeric(38,0)", Decimal(10**37), Decimal(-(10**37))),
    "free": (
        "numeric",
        Decimal("1.10"),
        Decimal("12345678901234567890123456789012345678901234567890.000000000000000001"),
    ),
    "single": ("real", 0.5, -1.5),
    "double": ("double precision", 0.1, 1.7976931348623157e308),
    "yes": ("boolean", True, False),
    "note": ("text", EXOTIC, "\\N"),
    "code": ("bpchar", "ab", "NULL"),
    "day": ("date", date(2026, 2, 28), date(9999, 12, 31)),
    "clock": ("time", time(23, 59, 59, 999999), time(0)),
    "local": ("timestamp", datetime(2026, 3, 29, 2, 30), datetime(1, 1, 1)),  # noqa: DTZ001 - it has no zone
    "at": ("timestamptz", NOON, datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)),
    "raw": ("bytea", b"\x00\xff,\n", b""),
    "names": ("text[]", ["a,b", None, 'c"d', ""], []),
    "sums": ("numeric(38,2)[]", [Decimal("1.10"), None, BIG], [Decimal("0.00")]),
    "days": ("date[]", [date(2026, 1, 1), None], [date(1, 1, 1)]),
    "times": ("timestamptz[]", [NOON, None], []),
    "flags": ("boolean[]", [True, False, None], []),
    "longs": ("bigint[]", [2**63 - 1, None], [-(2**63)]),
}
"""Of each column the type and the values of two rows; a third row is null but for its id, in a fourth texts are empty."""
AS_TEXT = {
    "uid": ("uuid", "0e8c5b1e-0000-4000-8000-00000000002a"),
    "span": ("interval", "1 mon 2 days 03:04:05.000006"),
    "zoned": ("timetz", "10:00:00.5+02"),
    "doc": ("jsonb", '{"a": [1, "x"]}'),
}
NAMES = [*COLUMNS, *AS_TEXT]
ROWS: list[dict[str, Any]] = [
    {name: one for name, (_, one, _) in COLUMNS.items()} | {name: text for name, (_, text) in AS_TEXT.items()},
    {name: two for name, (_, _, two) in COLUMNS.items()} | {name: text for name, (_, text) in AS_TEXT.items()},
    dict.fromkeys(NAMES) | {"id": 3},
    dict.fromkeys(NAMES) | {"id": 4, "note": "", "code": ""},
]


def held(row: dict[str, Any]) -> dict[str, Any]:
    """What Arrow's types hold of a row: a decimal without a scale is text."""
    return row | {"free": None if row["free"] is None else str(row["free"])}


def plain(value: Any) -> Any:
    """A value as Postgres prints it in JSON with decimals as text."""
    match value:
        case Decimal():
            return format(value, "f")
        case datetime():
            return value.isoformat()
        case date() | time():
            return value.isoformat()
        case bytes():
            return "\\x" + value.hex()
        case list():
            return [plain(item) for item in value]
    return value


def sheet(file: bytes) -> list[list[Any]]:
    book = openpyxl.load_workbook(io.BytesIO(file))
    return [[cell.value for cell in row] for row in book.active.iter_rows()]
