"""Checks a declared view's SQL without Postgres: it must be one whole query that stays within its parentheses.

Postgres has the last word (`views.py`). These rules make sure that it is asked nothing but the author's one query.
"""

import re

from refold.schemas.contracts import is_storable

_PART = re.compile(
    r"""
      (?P<line>--[^\n]*)
    | (?P<escaped>(?<![A-Za-z0-9_])[eE]'(?:[^'\\]|\\.|'')*')
    | (?P<text>'(?:[^']|'')*')
    | (?P<name>"(?:[^"]|"")+")
    | (?P<dollar>(?<![A-Za-z0-9_$])\$(?P<tag>[A-Za-z_][A-Za-z0-9_]*)?\$.*?\$(?(tag)(?P=tag))\$)
    | (?P<mark>/\*|\*/|['"();])
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_BEGINS = frozenset({"select", "with", "values", "table"})
_UNCLOSED = {"'": "a text", '"': "a quoted name"}
_DEEPER = {"(": 1, ")": -1}
_COMMENT = re.compile(r"/\*|\*/")


class _Fault(Exception):
    """A fault in a view's SQL; the message ends a sentence about it."""


def fault_of(text: str) -> str | None:
    """The fault in a view's SQL as the end of a sentence, or None if only Postgres can tell."""
    if not is_storable(text):
        return "its SQL holds a NUL, or half a surrogate pair"
    try:
        first = _read(text)
    except _Fault as fault:
        return str(fault)
    if first is None or first.lower() not in _BEGINS:
        return f"its SQL is a query, and begins with SELECT or WITH, not with {first or 'nothing'}"
    return None


def _read(text: str) -> str | None:
    """Read the SQL and return its first word outside of texts and comments. Raises _Fault."""
    depth, at, first = 0, 0, None
    while at < len(text):
        found = _PART.match(text, at)
        assert found is not None  # the last alternative matches any character
        part, place, at = found[0], at, found.end()
        if part == "/*":
            at = _comment_ends(text, place)
        elif part in _UNCLOSED:
            raise _unclosed(text, place, _UNCLOSED[part])
        elif part == ";":
            raise _Fault(f"its SQL has a semicolon at {_place(text, place)}: it is one query, without one at its end")
        elif part in _DEEPER:
            depth += _DEEPER[part]
            if depth < 0:
                raise _Fault(f"a parenthesis closes at {_place(text, place)} that was not opened")
        elif first is None and found.lastgroup == "word":
            first = part
    if depth:
        raise _Fault("a parenthesis is not closed")
    return first


def _comment_ends(text: str, start: int) -> int:
    """The position after the comment that starts here; comments nest."""
    depth = 0
    for found in _COMMENT.finditer(text, start):
        depth += 1 if found[0] == "/*" else -1
        if not depth:
            return found.end()
    raise _unclosed(text, start, "a comment")


def _unclosed(text: str, at: int, what: str) -> _Fault:
    return _Fault(f"{what} is not closed, from {_place(text, at)} on")


def _place(text: str, at: int) -> str:
    before = text[:at]
    return f"line {before.count(chr(10)) + 1}, column {at - (before.rfind(chr(10)) + 1) + 1}"
