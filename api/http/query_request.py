"""Parse: a query string in PostgREST's grammar. Knows nothing of any read model."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from refold.api.errors import Fault, FilterInvalid, LimitInvalid, OrderInvalid, RowKeyInvalid, UnknownOperator

DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
MAX_FILTERS, MAX_ORDER = 20, 10
OPERATORS = ("eq", "is")


@dataclass(frozen=True)
class Filter:
    """`column=operator.value`; `is` takes only `null`."""

    column: str
    operator: str
    value: str


@dataclass(frozen=True)
class Order:
    """A column and its direction."""

    column: str
    descending: bool = False


@dataclass(frozen=True)
class Query:
    """What a query string asks for, not yet compared with what there is."""

    filters: tuple[Filter, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


def read_query(raw: bytes) -> Query:
    """The query of a raw query string. Raises FilterInvalid, OrderInvalid, LimitInvalid or UnknownOperator."""
    reserved: dict[str, str] = {}
    filters: list[Filter] = []
    for name, value in _pairs(raw):
        if name not in {"order", "limit", "cursor"}:
            filters.append(_filter(name, value))
        elif name in reserved:
            raise _bad_filter(name, f"{name} is there twice")
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


def read_key(raw: bytes) -> tuple[str, ...]:
    """The values of a key in a raw path: joined by commas, percent-encoded. Raises RowKeyInvalid."""
    try:
        return tuple(_text(part) for part in raw.split(b","))
    except UnicodeDecodeError:
        raise RowKeyInvalid("the key is not UTF-8") from None


def read_numbers(raw: bytes, **allowed: tuple[int, int, int]) -> dict[str, int]:
    """Whole-number parameters, each `name=(default, least, most)`. Raises FilterInvalid or LimitInvalid."""
    found = {name: default for name, (default, _, _) in allowed.items()}
    for name, value in _pairs(raw):
        if name not in allowed:
            raise _bad_filter(name, f"there is no parameter {shown(name)}; there are: {', '.join(allowed)}")
        _, least, most = allowed[name]
        found[name] = whole(name, value, least, most)
    return found


def whole(name: str, text: str, least: int, most: int) -> int:
    """A whole number in its range. Raises LimitInvalid."""
    if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
        message = f"{name} is a whole number from {least} to {most}, not {shown(text)}"
        raise LimitInvalid(message, Fault(name, "limit-invalid", message))
    return int(text)


def shown(text: str) -> str:
    """A client's text in a message: short, and in printable ASCII."""
    return ascii(text[:60])


def _pairs(raw: bytes) -> Iterator[tuple[str, str]]:
    for part in raw.split(b"&") if raw else ():
        name, equals, value = part.partition(b"=")
        try:
            pair = _text(name.replace(b"+", b" ")), _text(value.replace(b"+", b" "))
        except UnicodeDecodeError:
            raise FilterInvalid("the query string is not UTF-8") from None
        if not equals or "\0" in pair[0] + pair[1]:
            raise _bad_filter(pair[0], f"write name=value, without NUL, not {shown(pair[0])}")
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
    if operator == "is" and value != "null":
        raise _bad_filter(column, "`is` takes only `null`")
    return Filter(column, operator, value)


def _order(text: str) -> tuple[Order, ...]:
    terms = tuple(_order_term(term) for term in text.split(",", MAX_ORDER))
    if len(terms) > MAX_ORDER:
        raise _bad_order(f"at most {MAX_ORDER} columns")
    if len({term.column for term in terms}) != len(terms):
        raise _bad_order("a column is there twice")
    return terms


def _order_term(text: str) -> Order:
    column, dot, direction = text.partition(".")
    if not column or (dot and direction not in {"asc", "desc"}):
        raise _bad_order(f"{shown(text)} is not column, column.asc or column.desc")
    return Order(column, direction == "desc")


def _bad_filter(name: str, message: str) -> FilterInvalid:
    return FilterInvalid(message, Fault(name[:100], "filter-invalid", message))


def _bad_order(message: str) -> OrderInvalid:
    return OrderInvalid(f"order: {message}", Fault("order", "order-invalid", message))
