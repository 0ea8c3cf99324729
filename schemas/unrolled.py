"""A record's reader and writer as one function each, written out field by field.

A loop over the fields and a call for each take longer than the work. What is common stands in the line (small numbers, short texts,
absent options); all else is called.
"""

from collections.abc import Callable, Sequence
from typing import Any

from refold.schemas.binary import SMALL, Read, Write

ReadAll = Callable[[bytes, int], tuple[dict[str, Any], int]]
WriteAll = Callable[[Any], bytes]
Field = tuple[str, Any, Read, Write]
"""Name, Avro type, and the functions that do it in general."""

_LONG = """
    byte = data[at]
    if byte < 128:
        v{n} = (byte >> 1) ^ -(byte & 1)
        at += 1
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
_CALL = """
    v{n}, at = read{n}(data, at)"""
_SMALL_OR_CALL = "small[v{n}] if v{n}.__class__ is int and 0 <= v{n} < many else write{n}(v{n})"
_ABSENT_OR_CALL = 'b"\\0" if v{n} is None else write{n}(v{n})'


def read_all(fields: Sequence[Field]) -> ReadAll:
    """Of bytes and a place in them: the fields, and where they end."""
    lines = "".join(_reading(kind).format(n=n) for n, (_, kind, _, _) in enumerate(fields))
    named = ", ".join(f"{name!r}: v{n}" for n, (name, _, _, _) in enumerate(fields))
    source = f"def function(data, at):\n    length = len(data){lines}\n    return {{{named}}}, at\n"
    function: ReadAll = _made(source, {f"read{n}": read for n, (_, _, read, _) in enumerate(fields)})
    return function


def write_all(fields: Sequence[Field]) -> WriteAll:
    """Of a sequence of as many values, in the order of the fields: their bytes."""
    names = "".join(f"v{n}, " for n in range(len(fields)))
    parts = "".join(f"{_writing(kind).format(n=n)},\n" for n, (_, kind, _, _) in enumerate(fields))
    source = f"def function(values):\n    ({names}) = values\n    return join((\n{parts}))\n"
    held = {f"write{n}": write for n, (_, _, _, write) in enumerate(fields)}
    function: WriteAll = _made(source, held | {"small": SMALL, "many": len(SMALL), "join": b"".join})
    return function


def _reading(kind: Any) -> str:
    match kind:
        case "string":
            return _TEXT
        case "long" | "int":
            return _LONG
        case ["null", _]:
            return _OPTION
    return _CALL


def _writing(kind: Any) -> str:
    match kind:
        case "long" | "int":
            return _SMALL_OR_CALL
        case ["null", _]:
            return _ABSENT_OR_CALL
    return "write{n}(v{n})"


def _made(source: str, held: dict[str, Any]) -> Any:
    """The function of a source that holds no text from outside but fields' names, quoted, which schemas check to be words."""
    space = dict(held)
    exec(source, space)  # noqa: S102 - as dataclasses make theirs: names are checked, everything else is written above
    return space["function"]
