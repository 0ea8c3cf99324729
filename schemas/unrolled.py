"""Makes the reader and the writer of a record: one generated function each, written out field by field.

A loop that calls a function for each field takes longer than the work itself. Common cases (small numbers, short texts,
absent options) are inlined, times and amounts are looked up by their bytes since most were read just before, the rest
is called.
"""

from collections.abc import Callable, Sequence
from typing import Any

from refold.schemas.binary import SMALL, Read, Write

ReadAll = Callable[[bytes, int], tuple[Any, int]]
WriteAll = Callable[[Any], bytes]
Field = tuple[str, Any, Read, Write]
"""Name, Avro type, and the general functions that read and write it."""
_REMEMBERED = 4096
"""Cached values per field. A full cache is emptied at once: keeping an order costs as much as reading."""

_LONG = """
    byte = data[at]
    if byte < 128:
        v{n} = (byte >> 1) ^ -(byte & 1)
        at += 1
    elif (second := data[at + 1]) < 128:
        byte = byte & 127 | second << 7
        v{n} = (byte >> 1) ^ -(byte & 1)
        at += 2
    elif (third := data[at + 2]) < 128:
        byte = byte & 127 | (second & 127) << 7 | third << 14
        v{n} = (byte >> 1) ^ -(byte & 1)
        at += 3
    else:
        v{n}, at = read{n}(data, at)"""
_TEXT = """
    byte = data[at]
    end = at + 1 + (byte >> 1)
    if byte < 128 and not byte & 1 and end <= length:
        v{n} = data[at + 1 : end].decode()
        at = end
    else:
        v{n}, at = read{n}(data, at)"""
_OPTION = """
    if data[at]:
        v{n}, at = read{n}(data, at)
    else:
        v{n} = None
        at += 1"""
_FIXED = """
    end = at + {size}
    if end > length:
        v{n}, at = read{n}(data, at)
    else:
        v{n} = data[at:end]
        at = end"""
# No encoding is the beginning of another, so bytes that were read before have the same meaning again.
_BY_EIGHT_BYTES = """
    v{n} = known{n}.get(data[at : at + 8])
    if v{n} is not None:
        at += 8
    else:
        start = at
        v{n}, at = read{n}(data, at)
        if at == start + 8:
            remember(known{n}, data[start:at], v{n})"""
_BY_BLOCK = """
    end = at + 1 + (data[at] >> 1)
    v{n} = known{n}.get(data[at:end])
    if v{n} is not None:
        at = end
    else:
        start = at
        v{n}, at = read{n}(data, at)
        if at == end:
            remember(known{n}, data[start:at], v{n})"""
_CALL = """
    v{n}, at = read{n}(data, at)"""
_SMALL_OR_CALL = "small[v{n}] if v{n}.__class__ is int and 0 <= v{n} < many else write{n}(v{n})"
_TEXT_OR_CALL = "small[len(raw{n})] + raw{n} if len(raw{n} := v{n}.encode()) < many else write{n}(v{n})"
_FIXED_OR_CALL = "v{n} if v{n}.__class__ is bytes and len(v{n}) == {size} else write{n}(v{n})"
_ABSENT_OR_CALL = 'b"\\0" if v{n} is None else write{n}(v{n})'


def read_all(fields: Sequence[Field], *, named: bool) -> ReadAll:
    """A function from bytes and an index to the fields, as a dict or a tuple in order, and the index after them."""
    lines = "".join(_reading(kind).format(n=n, size=_size(kind)) for n, (_, kind, _, _) in enumerate(fields))
    pairs = ", ".join(f"{name!r}: v{n}" for n, (name, _, _, _) in enumerate(fields))
    found = f"{{{pairs}}}" if named else "(" + "".join(f"v{n}, " for n in range(len(fields))) + ")"
    source = f"def function(data, at):\n    length = len(data){lines}\n    return {found}, at\n"
    held: dict[str, Any] = {f"read{n}": read for n, (_, _, read, _) in enumerate(fields)}
    held |= {f"known{n}": dict[bytes, Any]() for n in range(len(fields))}
    function: ReadAll = _made(source, held | {"remember": _remember})
    return function


def write_all(fields: Sequence[Field]) -> WriteAll:
    """A function from a sequence of values, in the order of the fields, to their bytes."""
    names = "".join(f"v{n}, " for n in range(len(fields)))
    parts = "".join(f"{_writing(kind).format(n=n, size=_size(kind))},\n" for n, (_, kind, _, _) in enumerate(fields))
    source = f"def function(values):\n    ({names}) = values\n    return join((\n{parts}))\n"
    held = {f"write{n}": write for n, (_, _, _, write) in enumerate(fields)}
    function: WriteAll = _made(source, held | {"small": SMALL, "many": len(SMALL), "join": b"".join})
    return function


def _remember(known: dict[bytes, Any], read: bytes, value: Any) -> None:
    if len(known) >= _REMEMBERED:
        known.clear()
    known[read] = value


def _reading(kind: Any) -> str:
    match kind:
        case ["null", _]:
            return _OPTION
        case str():
            return {"string": _TEXT, "long": _LONG, "int": _LONG}.get(kind, _CALL)
        case {"type": "fixed"}:
            return _FIXED
    by_meaning = {"timestamp-micros": _BY_EIGHT_BYTES, "decimal": _BY_BLOCK}
    return by_meaning.get(kind.get("logicalType"), _CALL)


def _size(kind: Any) -> int:
    return int(kind["size"]) if isinstance(kind, dict) and kind["type"] == "fixed" else 0


def _writing(kind: Any) -> str:
    match kind:
        case "long" | "int":
            return _SMALL_OR_CALL
        case "string":
            return _TEXT_OR_CALL
        case {"type": "fixed"}:
            return _FIXED_OR_CALL
        case ["null", _]:
            return _ABSENT_OR_CALL
    return "write{n}(v{n})"


def _made(source: str, held: dict[str, Any]) -> Any:
    """The function that a source defines. Its only outside text is quoted field names, checked to be words."""
    space = dict(held)
    exec(source, space)  # noqa: S102 - as dataclasses make theirs: names are checked, everything else is written above
    return space["function"]
