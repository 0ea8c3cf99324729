"""Parse: a query string in PostgREST's grammar. Knows nothing of any read model."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from refold.api.errors import (
    Fault,
    FilterInvalid,
    LimitInvalid,
    OrderInvalid,
    RowKeyInvalid,
    UnknownOperator,
)
from refold.api.http.wire.parameters import bad_filter, shown, unknown_parameter

DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
MAX_FILTERS, MAX_ORDER = 20, 10
OPERATORS = ("eq", "is")
PAGING = ("order", "limit", "cursor")
RESERVED = frozenset(
    {
        *PAGING,
        "select",
        "offset",
        "and",
        "or",
        "not",
        "not.and",
        "not.or",
        "columns",
        "on_conflict",
        "format",
        "snapshot",
    }
)
"""Parameters of PostgREST's grammar and of ours. A column of such a name is written in double quotes: `"limit"=eq.5`."""
_TERM = re.compile(r'("[^"]*"|[^".]+)(?:\.(asc|desc))?(?:\.nulls(first|last))?')
_ELEMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|([^,]*)', re.DOTALL)


@dataclass(frozen=True)
class Filter:
    """`column=operator.value`; `is` takes only `null` and `not_null`."""

    column: str
    operator: str
    value: str


@dataclass(frozen=True)
class Order:
    """A column, its direction, and the place of its nulls (None: as in Postgres)."""

    column: str
    descending: bool = False
    nulls_first: bool | None = None


@dataclass(frozen=True)
class Query:
    """The contents of a query string, not yet checked against a read model."""

    filters: tuple[Filter, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


def read_query(raw: bytes) -> Query:
    """The query of a raw query string. Raises FilterInvalid, OrderInvalid, LimitInvalid, UnknownOperator, UnknownParameter."""
    reserved: dict[str, str] = {}
    filters: list[Filter] = []
    for name, value in _pairs(raw):
        if name not in RESERVED:
            filters.append(_filter(_unquoted(name), value))
        elif name not in PAGING:
            raise unknown_parameter(name, PAGING, f'; a column of that name is written "{name}", in double quotes')
        elif name in reserved:
            raise bad_filter(name, f"{name} is there twice")
        else:
            reserved[name] = value
    if len(filters) > MAX_FILTERS:
        raise FilterInvalid(f"at most {MAX_FILTERS} filters, this query has {len(filters)}")
    order, limit = reserved.get("order"), reserved.get("limit")
    return Query(
        tuple(filters),
        () if order is None else _order(order),
        DEFAULT_LIMIT if limit is None else whole("limit", limit, 1, MAX_LIMIT),
        reserved.get("cursor"),
    )


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
    for name, value in _pairs(raw):
        if name not in allowed:
            continue
        _, least, most = allowed[name]
        found[name] = whole(name, value, least, most)
    return found


def read_texts(raw: bytes, *names: str) -> dict[str, str]:
    """The text parameters of the query. Raises FilterInvalid if one is there twice."""
    found: dict[str, str] = {}
    for name, value in _pairs(raw):
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


def _pairs(raw: bytes) -> Iterator[tuple[str, str]]:
    for part in raw.split(b"&") if raw else ():
        name, equals, value = part.partition(b"=")
        try:
            pair = _text(name.replace(b"+", b" ")), _text(value.replace(b"+", b" "))
        except UnicodeDecodeError:
            raise FilterInvalid("the query string is not UTF-8") from None
        if not equals or "\0" in pair[0] + pair[1]:
            raise bad_filter(pair[0], f"write name=value, without NUL, not {shown(pair[0])}")
        yield pair


def _text(quoted: bytes) -> str:
    return unquote_to_bytes(quoted).decode()


def _filter(column: str, text: str) -> Filter:
    operator, dot, value = text.partition(".")
    if not dot or operator not in OPERATORS:
        hint = f"; write {shown(column)[1:-1]}=eq.{shown(text)[1:-1]}" if not dot else ""
        message = f"{shown(column)} has no operator{hint}" if not dot else f"there is no operator {shown(operator)}"
        message += f" (there are: {', '.join(OPERATORS)})"
        raise UnknownOperator(message, Fault(column[:100], "operator-unknown", message))
    if operator == "is" and value not in {"null", "not_null"}:
        raise bad_filter(column, "`is` takes only `null` and `not_null`")
    return Filter(column, operator, value)


def _order(text: str) -> tuple[Order, ...]:
    terms = tuple(_order_term(term) for term in text.split(",", MAX_ORDER))
    if len(terms) > MAX_ORDER:
        raise _bad_order(f"at most {MAX_ORDER} columns")
    if len({term.column for term in terms}) != len(terms):
        raise _bad_order("a column is there twice")
    return terms


def _order_term(text: str) -> Order:
    found = _TERM.fullmatch(text)
    if found is None:
        raise _bad_order(f"{shown(text)} is not column, column.asc or column.desc, then .nullsfirst or .nullslast")
    column, direction, nulls = found.groups()
    return Order(_unquoted(column), direction == "desc", None if nulls is None else nulls == "first")


def _bad_order(message: str) -> OrderInvalid:
    return OrderInvalid(f"order: {message}", Fault("order", "order-invalid", message))
