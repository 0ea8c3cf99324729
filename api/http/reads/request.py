"""Parse: keys in a path, and the plain parameters of other routes. Knows nothing of any read model."""

import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from refold.api.errors import Fault, LimitInvalid, RowKeyInvalid
from refold.api.http.reads.language.query_string import pairs
from refold.api.http.wire.parameters import bad_filter, shown

_ELEMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|([^,]*)', re.DOTALL)


def read_key(raw: bytes, columns: int) -> tuple[str, ...]:
    """The values of a key in a raw path. Raises RowKeyInvalid.

    A key of one column is the whole text. Values of several columns are joined by commas, which a client may have percent-encoded; a value
    that holds a comma or begins with a double quote stands in double quotes, with backslashes before quotes and backslashes.
    """
    parts = raw.split(b",") if columns > 1 else [raw]
    try:
        if len(parts) == columns:
            return tuple(_text(part) if columns == 1 else _unquoted(_text(part)) for part in parts)
        return tuple(_elements(_text(raw)))
    except UnicodeDecodeError:
        raise RowKeyInvalid("the key is not UTF-8") from None


def _elements(text: str) -> Iterator[str]:
    """The values of a list, some of them in double quotes."""
    at = 0
    while (found := _ELEMENT.match(text, at)) is not None:
        yield _unquoted(found.group())
        at = found.end() + 1
        if found.end() == len(text):
            return
        if text[found.end()] != ",":
            break
    raise RowKeyInvalid(f"behind a value in double quotes comes a comma or nothing, not {shown(text[at - 1 :])}")


def _unquoted(text: str) -> str:
    """The text without its double quotes, if it has them."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
    return text


def read_numbers(raw: bytes, **allowed: tuple[int, int, int]) -> dict[str, int]:
    """Whole-number parameters, each `name=(default, least, most)`; others are ignored. Raises FilterInvalid, LimitInvalid."""
    found = {name: default for name, (default, _, _) in allowed.items()}
    for name, value in pairs(raw):
        if name not in allowed:
            continue
        _, least, most = allowed[name]
        found[name] = whole(name, value, least, most)
    return found


def read_texts(raw: bytes, *names: str) -> dict[str, str]:
    """The text parameters of the query. Raises FilterInvalid if one is there twice."""
    found: dict[str, str] = {}
    for name, value in pairs(raw):
        if name in found:
            raise bad_filter(name, f"{name} is there twice")
        if name in names:
            found[name] = value
    return found


def whole(name: str, text: str, least: int, most: int) -> int:
    """A whole number in its range. Raises LimitInvalid."""
    if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
        message = f"{name} is a whole number from {least} to {most}, not {shown(text)}"
        raise LimitInvalid(message, Fault(name, "limit-invalid", message))
    return int(text)


def _text(quoted: bytes) -> str:
    return unquote_to_bytes(quoted).decode()
