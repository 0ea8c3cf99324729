"""A tree as a query string: read again, it is the same tree."""

import re
from collections.abc import Iterator
from urllib.parse import quote

from refold.api.http.reads.language.query_string import RESERVED
from refold.api.http.reads.language.tree import (
    EVERYTHING,
    Condition,
    Embedded,
    Filter,
    Group,
    Item,
    Path,
    Query,
    Star,
    Term,
)

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def printed(query: Query) -> str:
    """The query string of a tree, percent-encoded."""
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in _pairs(query))


def _pairs(query: Query) -> Iterator[tuple[str, str]]:
    if query.select != EVERYTHING:
        yield "select", ",".join(map(_item, query.select))
    for path, part in query.filters:
        yield _filter(path, part)
    for path, terms in [((), query.order), *query.orders]:
        if terms:
            yield _behind(path, "order"), ",".join(map(_term, terms))
    for name, bounds in (("limit", query.limits), ("offset", query.offsets)):
        for path, number in bounds:
            yield _behind(path, name), str(number)
    if query.limit is not None:
        yield "limit", str(query.limit)
    if query.offset:
        yield "offset", str(query.offset)
    if query.cursor is not None:
        yield "cursor", query.cursor


def _filter(path: Path, part: Filter) -> tuple[str, str]:
    if isinstance(part, Group):
        name = f"not.{part.operator}" if part.negated else part.operator
        return _behind(path, name), _parts(part)
    return _behind(path, _name(part.column)), _condition(part, alone=True)


def _condition(part: Condition, *, alone: bool) -> str:
    if isinstance(part.value, tuple):
        value = f"({','.join(map(_quoted, part.value))})"
    else:
        value = part.value if alone else _quoted(part.value)
    modifier = f"({part.modifier})" if part.modifier else ""
    return f"{'not.' * part.negated}{part.operator}{modifier}.{value}"


def _parts(group: Group) -> str:
    return f"({','.join(_within(part) for part in group.parts)})"


def _within(part: Filter) -> str:
    if isinstance(part, Group):
        return f"{'not.' * part.negated}{part.operator}{_parts(part)}"
    return f"{_name(part.column)}.{_condition(part, alone=False)}"


def _item(item: Item) -> str:
    if isinstance(item, Star):
        return "*"
    alias = "" if item.alias is None else f"{_name(item.alias)}:"
    if isinstance(item, Embedded):
        hint = f"!{item.hint}" if item.hint else ""
        join = "!inner" if item.join == "inner" else ""
        spread = "..." * item.spread
        return f"{spread}{alias}{_name(item.resource)}{hint}{join}({','.join(map(_item, item.items))})"
    if item.name is None:
        return f"{alias}count(){_cast(item.aggregate_cast)}"
    aggregate = f".{item.aggregate}(){_cast(item.aggregate_cast)}" if item.aggregate else ""
    return f"{alias}{_name(item.name)}{_cast(item.cast)}{aggregate}"


def _cast(name: str | None) -> str:
    return "" if name is None else f"::{name}"


def _term(term: Term) -> str:
    nulls = "" if term.nulls_first is None else f".nulls{'first' if term.nulls_first else 'last'}"
    column = _name(term.column) if term.of is None else f"{_name(term.of)}({_name(term.column)})"
    return f"{column}{'.desc' if term.descending else ''}{nulls}"


def _behind(path: Path, name: str) -> str:
    return ".".join([*map(_name, path), name])


def _name(name: str) -> str:
    return name if _PLAIN.fullmatch(name) and name not in {*RESERVED, "count"} else _quoted(name)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
