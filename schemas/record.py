"""Reads and writes an Avro record: its schema is compiled once into one reader and one writer per field."""

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

from refold.schemas import binary, unrolled
from refold.schemas.arithmetic import EXACT
from refold.schemas.binary import Read, Write, read_long

_KEPT = 4096
"""Cached amounts per field. Prices repeat, and a conversion takes ten times as long as a look-up."""
_MOST_DECIMAL_BYTES = 16
_PLAIN: dict[str, tuple[Read, Write]] = {
    "boolean": (binary.read_boolean, binary.boolean_bytes),
    "int": (binary.read_int, binary.int_bytes),
    "long": (binary.read_long, binary.long_bytes),
    "string": (binary.read_text, binary.text_bytes),
    "timestamp-micros": (binary.read_instant, binary.instant_bytes),
    "date": (binary.read_date, binary.date_bytes),
}


class Record:
    """Reads and writes a sequence of fields, given as `{"name": …, "type": …}` with named types written out."""

    def __init__(self, fields: Sequence[dict[str, Any]], *, named: bool = True) -> None:
        """`named`: fields are read as a dict, otherwise as a tuple in their order."""
        compiled = [(field["name"], field["type"], *_compiled(field["type"])) for field in fields]
        self.read = unrolled.read_all(compiled, named=named)
        """From bytes and an index: the fields, and the index after them. Raises IndexError, ValueError or
        OverflowError."""
        self.write = unrolled.write_all(compiled)
        """From values in the order of the fields: bytes. Raises TypeError, ValueError and the like for values that do
        not fit."""


def _compiled(kind: Any) -> tuple[Read, Write]:
    match kind:
        case ["null", inner]:
            return _optional(*_compiled(inner))
        case {"type": "array", "items": items}:
            return _array(*_compiled(items))
        case {"logicalType": "decimal", "precision": precision, "scale": scale}:
            return _decimal(precision, scale)
        case {"type": "enum", "symbols": symbols}:
            return _enum(symbols)
        case {"type": "fixed", "size": size}:
            return _fixed(size)
    return _PLAIN[kind if isinstance(kind, str) else kind["logicalType"]]


def _optional(read_value: Read, write_value: Write) -> tuple[Read, Write]:
    def read(data: bytes, at: int) -> tuple[Any, int]:
        branch = data[at]
        if branch == 0:
            return None, at + 1
        branch, at = read_long(data, at)
        if branch > 1 or branch < 0:
            raise ValueError(f"branch {branch} of two")
        return read_value(data, at) if branch else (None, at)

    def write(value: Any) -> bytes:
        return b"\0" if value is None else b"\2" + write_value(value)

    return read, write


def _decimal(precision: int, scale: int) -> tuple[Read, Write]:
    limit, shift = 10**precision, Decimal(-scale)

    @lru_cache(_KEPT)
    def value_of(raw: bytes) -> Decimal:
        unscaled = int.from_bytes(raw, signed=True)
        if not -limit < unscaled < limit:
            raise ValueError(f"a decimal of more than {precision} digits")
        return EXACT.scaleb(Decimal(unscaled), shift)

    def read(data: bytes, at: int) -> tuple[Decimal, int]:
        raw, at = binary.read_block(data, at)
        if len(raw) > _MOST_DECIMAL_BYTES:
            raise ValueError(f"a decimal of {len(raw)} bytes")
        return value_of(raw), at

    @lru_cache(_KEPT)
    def write(value: Decimal) -> bytes:
        scaled = value.scaleb(scale, EXACT)
        unscaled = int(scaled)
        if unscaled != scaled or not -limit < unscaled < limit:
            raise ValueError(f"{value} is no decimal of {precision} digits, {scale} of them places")
        bits = (unscaled if unscaled >= 0 else ~unscaled).bit_length()
        return binary.block_bytes(unscaled.to_bytes(bits // 8 + 1, signed=True))

    return read, write


def _enum(symbols: Sequence[str]) -> tuple[Read, Write]:
    places = {symbol: binary.long_bytes(place) for place, symbol in enumerate(symbols)}

    def read(data: bytes, at: int) -> tuple[str, int]:
        place, at = read_long(data, at)
        if place < 0:
            raise ValueError(f"symbol {place}")
        return symbols[place], at

    def write(value: Any) -> bytes:
        return places[getattr(value, "value", value)]

    return read, write


def _array(read_item: Read, write_item: Write) -> tuple[Read, Write]:
    def read(data: bytes, at: int) -> tuple[list[Any], int]:
        found: list[Any] = []
        count, at = read_long(data, at)
        while count:
            if count < 0:  # then the block's size in bytes follows, for readers that skip it
                count = -count
                _, at = read_long(data, at)
            if count > len(data) - at:  # each item of a contract takes at least one byte
                raise ValueError(f"{count} items in {len(data) - at} bytes")
            for _ in range(count):
                item, at = read_item(data, at)
                found.append(item)
            count, at = read_long(data, at)
        return found, at

    def write(value: Sequence[Any]) -> bytes:
        if not value:
            return b"\0"
        return b"".join((binary.long_bytes(len(value)), *map(write_item, value), b"\0"))

    return read, write


def _fixed(size: int) -> tuple[Read, Write]:
    def read(data: bytes, at: int) -> tuple[bytes, int]:
        end = at + size
        if end > len(data):
            raise ValueError(f"{size} bytes where {len(data) - at} are left")
        return data[at:end], end

    def write(value: bytes) -> bytes:
        if len(value) != size:
            raise ValueError(f"{len(value)} bytes where {size} belong")
        return value

    return read, write
