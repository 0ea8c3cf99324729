"""Compiled loops over Avro's bytes: cut records out of record batches, read their heads, check and project their fields.

Only with the extra `speed` (numba). Each loop is stricter than the path by Polars: on any doubt it says so, and the caller
takes that path, which judges. So what a loop accepts has exactly one reading. No loop holds Python's lock.
"""

import numpy as np
from numba import njit

LONG, INT, TEXT, BOOLEAN, ENUM, FIXED, DATE, TIME, DECIMAL = range(9)
SKIPPED, NUMBER, COPIED = range(3)
"""What becomes of a field: checked only, put among the numbers, or copied as it is for Polars."""
DOUBT = -1
_LONGEST = 10
_TILE = 512
_compiled = njit(cache=True, nogil=True)


@_compiled
def _long(data, at, end):
    """A zigzag varint in its shortest form, and the index after it, or DOUBT."""
    if at < end and data[np.uintp(at)] < 128:
        small = np.int64(data[np.uintp(at)])
        return (small >> 1) ^ -(small & 1), at + 1
    number, shift = np.int64(0), np.int64(0)
    for place in range(at, min(at + _LONGEST, end)):
        byte = np.int64(data[np.uintp(place)])
        number |= (byte & 127) << shift
        if byte < 128:
            if (byte == 0 and place > at) or (shift == 63 and byte > 1):
                return np.int64(0), DOUBT
            return ((number >> 1) & 0x7FFFFFFFFFFFFFFF) ^ -(number & 1), place + 1
        shift += 7
    return np.int64(0), DOUBT


@_compiled
def cut(block, counts, starts, lengths, keys):
    """Where the value of each record begins and how long it is; whether all batches are sound and without a gap.

    `counts`: records of each batch. `keys`: two rows for the same of the keys, a null one being empty; or without columns
    for none. Doubts any null value.
    """
    at, row, size = 0, 0, len(block)
    for batch in range(len(counts)):
        for delta in range(counts[batch]):
            length, at = _long(block, at, size)
            # Of attributes, which are 0, a reader may take one byte or a varint: any other has two readings.
            if at < 0 or length < 1 or length > size - at or block[np.uintp(at)] != 0:
                return False
            end = at + length
            _, at = _long(block, at + 1, end)  # the time
            if at < 0:
                return False
            said, at = _long(block, at, end)
            if at < 0 or said != delta:
                return False
            held, at = _long(block, at, end)
            if at < 0 or held < -1 or held > end - at:
                return False
            if keys.shape[1]:
                keys[0, row], keys[1, row] = at, max(0, held)
            at += max(0, held)
            held, at = _long(block, at, end)
            if at < 0 or held < 0 or held > end - at:
                return False
            starts[row], lengths[row] = at, held
            row += 1
            headers, at = _long(block, at + held, end)
            if at < 0 or headers < 0:
                return False
            for part in range(2 * headers):
                held, at = _long(block, at, end)
                if at < 0 or held < 0 or held > end - at:
                    return False
                if part % 2 == 0:  # a name, which readers decode: any letter of ASCII is UTF-8
                    for place in range(at, at + held):
                        if block[np.uintp(place)] > 127:
                            return False
                at += held
            if at != end:
                return False
    return at == size


@_compiled
def heads(data, starts, lengths, ids):
    """The schema id of each value, or -1 if its magic byte or its size does not fit."""
    for row in range(len(starts)):
        at, size = starts[row], lengths[row]
        ids[row] = -1
        if size >= 9 and data[at] == 0 and _big(data, at + 5) == size:
            ids[row] = _big(data, at + 1)


@_compiled
def _big(data, at):
    number = np.int64(0)
    for place in range(4):
        number = number << 8 | np.int64(data[at + place])
    return number


@_compiled
def _is_text(data, at, end, hidden):
    """Whether bytes are UTF-8; without a zero byte unless it may be hidden in them."""
    every, zeros = np.uint8(0), 0
    for place in range(at, end):
        byte = data[np.uintp(place)]
        every |= byte
        zeros += byte == 0
    if every < 128:
        return hidden or zeros == 0
    while at < end:
        byte = np.int64(data[at])
        at += 1
        if byte < 128:
            if byte == 0 and not hidden:
                return False
            continue
        if 0xC2 <= byte <= 0xDF:
            more, least, most = 1, 0x80, 0xBF
        elif 0xE0 <= byte <= 0xEF:
            more, least, most = 2, 0xA0 if byte == 0xE0 else 0x80, 0x9F if byte == 0xED else 0xBF
        elif 0xF0 <= byte <= 0xF4:
            more, least, most = 3, 0x90 if byte == 0xF0 else 0x80, 0x8F if byte == 0xF4 else 0xBF
        else:
            return False
        if at + more > end or not least <= data[at] <= most:
            return False
        for place in range(at + 1, at + more):
            if not 0x80 <= data[place] <= 0xBF:
                return False
        at += more
    return True


@_compiled
def _decimal(data, at, end):
    """A number of up to eight bytes in its shortest two's complement behind their length, and the index after it."""
    size, at = _long(data, at, end)
    if at < 0 or size < 1 or size > 8 or size > end - at:
        return np.int64(0), DOUBT
    first = np.int64(data[at])
    if size > 1 and ((first == 0 and data[at + 1] < 128) or (first == 255 and data[at + 1] >= 128)):
        return np.int64(0), DOUBT
    number = first - 256 if first >= 128 else first
    for place in range(at + 1, at + size):
        number = number << 8 | np.int64(data[place])
    return number, at + size


@_compiled
def _field(data, at, end, kind, least, most):
    """A value of a kind, if it is a number, and the index after it, or DOUBT. Bounds are of numbers and of sizes."""
    if kind == BOOLEAN:
        return np.int64(0), at + 1 if at < end and data[at] <= 1 else DOUBT
    if kind == TEXT:
        size, at = _long(data, at, end)
        if at < 0 or size < 0 or size > end - at or not _is_text(data, at, at + size, most == 1):
            return np.int64(0), DOUBT
        return size, at + size
    if kind == FIXED:
        return np.int64(0), at + most if most <= end - at else DOUBT
    number, at = _decimal(data, at, end) if kind == DECIMAL else _long(data, at, end)
    if at >= 0 and not least <= number <= most:
        at = DOUBT
    return number, at


@_compiled
def _fields(data, at, end, count, step, numbers):
    """Check one field of each of `count` records, and move each record's `at` behind it; False on any doubt."""
    kind, optional, least, most = step[0], step[1] == 1, step[2], step[3]
    if kind == TEXT and not optional:
        for i in range(count):
            size, text = _long(data, at[i], end[i])
            if text < 0 or size < 0 or size > end[i] - text or not _is_text(data, text, text + size, most == 1):
                return False
            at[i] = text + size
    elif kind <= TIME and kind not in (TEXT, BOOLEAN, FIXED) and not optional:
        for i in range(count):
            number, after = _long(data, at[i], end[i])
            if after < 0 or number < least or number > most:
                return False
            numbers[i], at[i] = number, after
    else:
        for i in range(count):
            there = True
            if optional:
                if at[i] >= end[i] or (data[at[i]] != 0 and data[at[i]] != 2):
                    return False
                there = data[at[i]] == 2
                at[i] += 1
            if there:
                numbers[i], at[i] = _field(data, at[i], end[i], kind, least, most)
                if at[i] < 0:
                    return False
    return True


@_compiled
def project(data, starts, lengths, rows, skip, program, numbers, base, out, filled):
    """Check each field of the records at `rows`; put some among `numbers`, copy some to `out`.

    `program`: of each field its kind, whether it is optional, its bounds, what becomes of it, and which one of its sort it
    is. `numbers[n, base + i]`: of the i-th row. Returns how far `out` is filled, or DOUBT. It takes some records at a
    time, field by field: this is three times as fast as record by record.
    """
    at, end, unread = np.empty(_TILE, np.int64), np.empty(_TILE, np.int64), np.empty(_TILE, np.int64)
    copied = 0
    for step in range(len(program)):
        copied += program[step, 4] == COPIED
    spans = np.empty((copied, 2, _TILE), np.int64)
    for first in range(0, len(rows), _TILE):
        count = min(_TILE, len(rows) - first)
        for i in range(count):
            row = rows[first + i]
            at[i], end[i] = starts[row] + skip, starts[row] + lengths[row]
            if at[i] > end[i]:
                return DOUBT
        for step in range(len(program)):
            fate, number = program[step, 4], program[step, 5]
            if fate == COPIED:
                spans[number, 0, :count] = at[:count]
            into = numbers[number, base + first : base + first + count] if fate == NUMBER else unread[:count]
            if not _fields(data, at, end, count, program[step], into):
                return DOUBT
            if fate == COPIED:
                spans[number, 1, :count] = at[:count]
        for i in range(count):
            if at[i] != end[i]:
                return DOUBT
            for number in range(copied):
                low, size = spans[number, 0, i], spans[number, 1, i] - spans[number, 0, i]
                for place in range(size):
                    out[np.uintp(filled + place)] = data[np.uintp(low + place)]
                filled += size
    return filled


@_compiled
def gather(data, starts, lengths, rows, tail, out, filled):
    """Copy the values at `rows` to `out`, `tail` after each; returns how far `out` is filled."""
    for i in range(len(rows)):
        row = rows[i]
        for place in range(starts[row], starts[row] + lengths[row]):
            out[filled] = data[place]
            filled += 1
        for place in range(len(tail)):
            out[filled] = tail[place]
            filled += 1
    return filled


@_compiled
def runs(data, starts, lengths, firsts):
    """Whether each value differs from the one before it."""
    for row in range(len(starts)):
        same = row > 0 and lengths[row] == lengths[row - 1]
        place = 0
        while same and place < lengths[row]:
            same = data[np.uintp(starts[row] + place)] == data[np.uintp(starts[row - 1] + place)]
            place += 1
        firsts[row] = not same


def warm() -> None:
    """Load the machine code of each loop by a call without records."""
    data, none, numbers = np.frombuffer(b"", np.uint8), np.empty(0, np.int64), np.empty((0, 0), np.int64)
    out, program = np.empty(0, np.uint8), np.empty((0, 6), np.int64)
    cut(data, none, none, none, numbers)
    runs(data, none, none, np.empty(0, np.bool_))
    heads(data, none, none, none)
    project(data, none, none, none, 0, program, numbers, 0, out, 0)
    gather(data, none, none, none, data, out, 0)
