"""Avro's primitive encodings as functions on bytes, stricter than libraries: each value has exactly one encoding.

A reader takes the bytes and an index, and returns the value and the index after it. Bad bytes raise IndexError,
ValueError or OverflowError, never anything else. A writer takes the value and returns bytes.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec

Read = Callable[[bytes, int], tuple[Any, int]]
Write = Callable[[Any], bytes]

LEAST_LONG, MOST_LONG = -(2**63), 2**63 - 1
LEAST_INT, MOST_INT = -(2**31), 2**31 - 1
_64_BITS = 2**64 - 1
_LONGEST = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_UUID = msgspec.msgpack.Decoder(UUID)
_NINE_LEAST, _EIGHT_LEAST = 1 << 56, 1 << 49
_TWO, _FOUR = 1 << 14, 1 << 28
_KEPT = 8192
"""Entries in the cache of converted times. All events of a command and most events of a stream share one time."""


def long_bytes(number: int) -> bytes:
    """A zigzag varint. Raises OverflowError beyond 64 bits."""
    if 0 <= number < len(SMALL):
        return SMALL[number]
    if not LEAST_LONG <= number <= MOST_LONG:
        raise OverflowError(f"{number} has more than 64 bits")
    return _varint(number << 1 if number >= 0 else ~(number << 1))


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """A zigzag varint of at most ten bytes."""
    byte = data[at]
    if byte < 128:
        return (byte >> 1) ^ -(byte & 1), at + 1
    number, shift = byte & 127, 7
    for place in range(at + 1, at + _LONGEST):
        byte = data[place]
        number |= (byte & 127) << shift
        if byte < 128:
            number &= _64_BITS
            return (number >> 1) ^ -(number & 1), place + 1
        shift += 7
    raise ValueError("a number of more than 64 bits")


def int_bytes(number: int) -> bytes:
    """A 32-bit integer. Raises OverflowError beyond."""
    if 0 <= number < len(SMALL):
        return SMALL[number]
    if not LEAST_INT <= number <= MOST_INT:
        raise OverflowError(f"{number} has more than 32 bits")
    return long_bytes(number)


def read_int(data: bytes, at: int) -> tuple[int, int]:
    """A 32-bit integer."""
    number, at = read_long(data, at)
    if not LEAST_INT <= number <= MOST_INT:
        raise ValueError(f"{number} has more than 32 bits")
    return number, at


def boolean_bytes(value: bool) -> bytes:  # noqa: FBT001 - the value to write is the argument
    """One byte."""
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is no boolean")
    return b"\1" if value else b"\0"


def read_boolean(data: bytes, at: int) -> tuple[bool, int]:
    """One byte that is 0 or 1."""
    byte = data[at]
    if byte > 1:
        raise ValueError(f"a boolean of {byte}")
    return byte == 1, at + 1


def block_bytes(raw: bytes) -> bytes:
    """Bytes with their length in front."""
    return long_bytes(len(raw)) + raw


def read_block(data: bytes, at: int) -> tuple[bytes, int]:
    """Bytes after their length. A length beyond the end is refused before anything is copied."""
    length, at = read_long(data, at)
    end = at + length
    if length < 0 or end > len(data):
        raise ValueError(f"{length} bytes where {len(data) - at} are left")
    return data[at:end], end


def text_bytes(text: str) -> bytes:
    """UTF-8 with its length in front. Raises UnicodeEncodeError (a ValueError) for half a surrogate pair."""
    raw = text.encode()
    return SMALL[len(raw)] + raw if len(raw) < len(SMALL) else long_bytes(len(raw)) + raw


def read_text(data: bytes, at: int) -> tuple[str, int]:
    """UTF-8 after its length."""
    byte = data[at]
    end = at + 1 + (byte >> 1)
    if byte < 128 and not byte & 1 and end <= len(data):
        return data[at + 1 : end].decode(), end
    raw, at = read_block(data, at)
    return raw.decode(), at


def micros_of(moment: datetime) -> int:
    """Microseconds since 1970. Raises TypeError for a time without its offset from UTC."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


@lru_cache(_KEPT)
def instant_bytes(moment: datetime) -> bytes:
    """Microseconds since 1970. Raises TypeError for a time without its offset from UTC."""
    micros = micros_of(moment)
    z = micros << 1 if micros >= 0 else ~(micros << 1)
    if not _EIGHT_LEAST <= z < _NINE_LEAST:
        return _varint(z)
    # Unrolled: every time from 1979 to 3111 has eight bytes, and each record has two times.
    return bytes((
        z & 127 | 128,
        z >> 7 & 127 | 128,
        z >> 14 & 127 | 128,
        z >> 21 & 127 | 128,
        z >> 28 & 127 | 128,
        z >> 35 & 127 | 128,
        z >> 42 & 127 | 128,
        z >> 49,
    ))  # fmt: skip


def read_instant(data: bytes, at: int) -> tuple[datetime, int]:
    """A time in UTC, from year 1 to 9999."""
    micros, at = read_long(data, at)
    return _instant(micros), at


@lru_cache(_KEPT)
def _instant(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def date_bytes(day: date) -> bytes:
    """Days since 1970."""
    return long_bytes(day.toordinal() - _EPOCH_DAY)


def read_date(data: bytes, at: int) -> tuple[date, int]:
    """A day from year 1 to 9999."""
    days, at = read_int(data, at)
    return date.fromordinal(days + _EPOCH_DAY), at


def uuid_of(raw: bytes) -> UUID:
    """A UUID from its 16 bytes. UUID's constructor takes five times as long, and each command needs several."""
    return _UUID.decode(b"\xc4\x10" + raw)


def _varint(z: int) -> bytes:
    if z < _FOUR:  # looked up: offsets, sequence numbers and ids are mostly of this size
        return _LAST[z] if z < _TWO else _FOLLOWED[z & _TWO - 1] + _LAST[z >> 14]
    out = bytearray()
    while z > 127:
        out.append(z & 127 | 128)
        z >>= 7
    out.append(z)
    return bytes(out)


_LAST = tuple(bytes((z,)) if z < 128 else bytes((z & 127 | 128, z >> 7)) for z in range(_TWO))
_FOLLOWED = tuple(bytes((z & 127 | 128, z >> 7 | 128)) for z in range(_TWO))
SMALL = _LAST[::2]
"""The encodings of the whole numbers from 0 on."""
