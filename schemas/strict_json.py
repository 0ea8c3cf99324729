"""Checks a JSON body before its types: RFC 8259, no repeated key, bounded depth, no hidden text."""

import json
from collections import Counter
from typing import Any, NoReturn

from refold.schemas.errors import Malformed

MAX_DEPTH = 32


def check(body: bytes) -> None:
    """Raise Malformed unless the body is strict JSON; it names the place if known."""
    if body.startswith(b"\xef\xbb\xbf"):
        raise Malformed("the body begins with a byte order mark", "line 1 column 1")
    try:
        text = body.decode()
    except UnicodeDecodeError as problem:
        raise Malformed(f"not UTF-8: {problem.reason}", f"byte {problem.start}") from None
    _check_depth(body)
    try:
        found = _DECODER.decode(text)
    except json.JSONDecodeError as problem:
        raise Malformed(problem.msg, f"line {problem.lineno} column {problem.colno}") from None
    if b"\\u" in body:
        _check_text(found, "$")


def _check_depth(body: bytes) -> None:
    """Checks the count of brackets first: only a body with many can be deep, and only then is each looked at."""
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    depth, inside, escaped = 0, False, False
    for place, byte in enumerate(body):
        if inside:
            inside, escaped = escaped or byte != 0x22, not escaped and byte == 0x5C
        elif byte == 0x22:
            inside = True
        elif byte in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise Malformed(f"nested deeper than {MAX_DEPTH}", f"byte {place}")
        elif byte in b"]}":
            depth -= 1


def _check_text(found: Any, path: str) -> None:
    """Refuse texts that escapes can smuggle in and plain bytes cannot: NUL and half a surrogate pair."""
    if isinstance(found, str):
        if "\0" in found:
            raise Malformed("text with NUL", path)
        if any("\ud800" <= character <= "\udfff" for character in found):
            raise Malformed("text with a lone surrogate", path)
    elif isinstance(found, dict):
        for key, value in found.items():
            _check_text(key, path)
            _check_text(value, f"{path}.{_shown(key)}")
    elif isinstance(found, list):
        for place, value in enumerate(found):
            _check_text(value, f"{path}[{place}]")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(name for name, _ in pairs)  # each looked at once: a body of 1 MiB has a hundred thousand
        twice = _shown(next(name for name, count in counts.items() if count > 1))
        raise Malformed(f"the key {twice} is there twice", f"$.{twice}")
    return found


def _constant(name: str) -> NoReturn:
    raise Malformed(f"{name} is no JSON", name)


def _shown(name: str) -> str:
    """A client's text, safe to print."""
    return name[:100].encode("ascii", "backslashreplace").decode()


# Numbers stay text: msgspec judges their values, and int() of a million digits is too slow.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=str, parse_float=str, parse_constant=_constant)
