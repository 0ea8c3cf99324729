"""A raw query string as a tree. Everything that a client writes is read here, and nothing else of a request."""

import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote_to_bytes

from refold.api.errors import CursorInvalid, FilterInvalid, LimitInvalid, UnknownParameter
from refold.api.http.reads.language.filters import read_filter, read_group
from refold.api.http.reads.language.scanner import Scanner, misread
from refold.api.http.reads.language.selecting import read_order, read_select
from refold.api.http.reads.language.tree import EVERYTHING, Filter, Item, Path, Query, Term
from refold.api.http.wire.parameters import bad_filter, shown, unknown_parameter
from refold.api.reading_errors import QueryTooLarge

MAX_FILTERS, MAX_OFFSET, MAX_CURSOR = 100, 10_000_000, 4096
MOST_LIMIT = 2**63 - 1
"""The most that Postgres takes."""
GROUPS = ("and", "or")
OF_RESOURCES = ("order", "limit", "offset", *GROUPS)
"""Parameters that an embedded resource may have, too, behind its name and a dot."""
PARAMETERS = ("select", *OF_RESOURCES, "cursor")
ASKED = (*PARAMETERS, "format", "snapshot")
"""All that a list may be asked with, besides its columns."""
RESERVED = frozenset({*ASKED, "not", "not.and", "not.or", "columns", "on_conflict"})
"""Parameters of PostgREST's grammar and of ours. A column of such a name is written in double quotes: `"limit"=eq.5`."""
_FROM_THE_FIRST = ("", "0")
"""Offsets that leave out no row, which a client may send beside a cursor since they are its default."""
_WHOLE = re.compile(r"[+-]?[0-9]{1,30}", re.ASCII)
_NEGATED = re.compile(r"(^|\.)not\.(and|or)$")
_COMPARISON = re.compile(r"([a-z0-9_ ]+?) *([<>!]=?|<>) *(.*)", re.DOTALL)
Items = tuple[Item, ...]
Check = Callable[[Items, Path, str], None]
"""Judges the column of a filter, by what `select` embeds, before the filter is read, so that an unknown name is told before its operator."""


def read_query(
    raw: bytes, apart: frozenset[str] = frozenset(), check: Check = lambda _select, _path, _name: None
) -> Query:
    """The tree of a raw query string, without the parameters named `apart`.

    Raises FilterInvalid, UnknownOperator, SelectInvalid, OrderInvalid, LimitInvalid, QueryTooLarge, UnknownParameter.
    """
    select, filters, alone = _sorted_out(raw, apart, check)
    cursor = alone.pop("cursor", "") or None
    if cursor is not None and (alone.get("offset", "0") not in _FROM_THE_FIRST or len(cursor) > MAX_CURSOR):
        raise CursorInvalid(
            "a cursor says where a page begins: it has no offset beside it, and is as an answer gave it"
        )
    orders, numbers = dict[Path, tuple[Term, ...]](), {"limit": dict[Path, int](), "offset": dict[Path, int]()}
    for name, value in alone.items():
        path, last, _ = _place(name, value)
        if last == "order":
            orders[path] = read_order(value, name)
        elif value:
            numbers[last][path] = _limit(name, value) if last == "limit" else _offset(name, value)
    limits, offsets = numbers["limit"], numbers["offset"]
    return Query(
        select=select,
        filters=tuple(filters),
        order=orders.pop((), ()),
        limit=limits.pop((), None),
        offset=offsets.pop((), 0),
        cursor=cursor,
        orders=tuple(orders.items()),
        limits=tuple(limits.items()),
        offsets=tuple(offsets.items()),
    )


def _sorted_out(
    raw: bytes, apart: frozenset[str], check: Check
) -> tuple[Items, list[tuple[Path, Filter]], dict[str, str]]:
    """What is selected, the filters, and the other parameters that may be there once."""
    filters: list[tuple[Path, Filter]] = []
    alone: dict[str, str] = {}
    given = list(pairs(raw))
    selected = [value for name, value in given if name == "select"]
    if len(selected) > 1:
        raise bad_filter("select", "'select' is there twice")
    select = read_select(selected[0]) if selected else EVERYTHING
    for name, value in given:
        if name == "select":
            continue
        if name in apart:
            continue
        path, last, negated = _place(name, value)
        if last in GROUPS and not name.endswith('"'):
            filters.append((path, read_group(name, last, value, negated=negated)))
        elif name in PARAMETERS or (path and last in OF_RESOURCES and not name.endswith('"')):
            if name in alone:
                raise bad_filter(name, f"{shown(name)} is there twice")
            alone[name] = value
        elif name in RESERVED:
            hint = "; to choose columns write select=" if name == "columns" else ""
            hint += f'; a column of that name is written "{name}", in double quotes'
            raise unknown_parameter(name, PARAMETERS, hint)
        else:
            check(select, path, last)
            filters.append((path, read_filter(last, value, name)))
    if len(filters) > MAX_FILTERS:
        raise misread(QueryTooLarge, "filters", f"at most {MAX_FILTERS}, and this query has {len(filters)}")
    return select, filters, alone


def pairs(raw: bytes) -> Iterator[tuple[str, str]]:
    """The names and values of a query string. Raises FilterInvalid."""
    for part in raw.split(b"&") if raw else ():
        name, equals, value = part.partition(b"=")
        try:
            pair = _text(name), _text(value)
        except UnicodeDecodeError:
            raise FilterInvalid("the query string is not UTF-8") from None
        if "\0" in pair[0] + pair[1]:
            raise bad_filter(pair[0], f"Postgres has no NUL in its texts: {shown(pair[0])}")
        if not equals and part:
            raise bad_filter(pair[0], f"write name=value, not {shown(pair[0])}{_comparison(pair[0])}")
        if part:
            yield pair


def _place(name: str, value: str) -> tuple[Path, str, bool]:
    """Embedded resources, the last name, and whether it is under `not`. Raises UnknownParameter."""
    if name.isidentifier():
        return (), name, False
    scanner = Scanner(name, UnknownParameter, name)
    names = [scanner.name("a column or a parameter")]
    while scanner.take("."):
        names.append(scanner.name("a column or a parameter"))
    if not scanner.done():
        raise misread(UnknownParameter, name, f"there is no such column or parameter{_comparison(f'{name}={value}')}")
    negated = _NEGATED.search(name) is not None
    return tuple(names[: -2 if negated else -1]), names[-1], negated


def _comparison(name: str) -> str:
    """The advice for `qty>5` and `qty>=5`."""
    found = _COMPARISON.fullmatch(name)
    if found is None:
        return ""
    column, sign, value = found.groups()
    operator = {"<": "lt", ">": "gt", "<=": "lte", ">=": "gte"}.get(sign, "neq")
    return f"; write {shown(column)[1:-1]}={operator}.{shown(value)[1:-1] or 'VALUE'}"


def _limit(name: str, text: str) -> int:
    if not _WHOLE.fullmatch(text) or abs(int(text)) > MOST_LIMIT:
        raise misread(LimitInvalid, name, f"it is a whole number of 64 bits, not {shown(text)}")
    return int(text)


def _offset(name: str, text: str) -> int:
    """As in PostgREST, a negative one is none."""
    offset = max(0, _limit(name, text))
    if offset > MAX_OFFSET:
        raise misread(QueryTooLarge, name, f"at most {MAX_OFFSET}; page with the `Link` of each answer instead")
    return offset


def _text(quoted: bytes) -> str:
    return unquote_to_bytes(quoted.replace(b"+", b" ")).decode()
