"""`select`: columns with another name, a cast or an aggregate, and embedded resources; and `order`."""

import re
from typing import NoReturn

from refold.api.errors import OrderInvalid
from refold.api.http.reads.language.scanner import Scanner, misread
from refold.api.http.reads.language.tree import EVERYTHING, Column, Embedded, Item, Star, Term
from refold.api.reading_errors import QueryTooLarge, SelectInvalid

MAX_ITEMS, MAX_TERMS, MAX_EMBEDDED = 500, 20, 4
_SPREAD = "..."
AGGREGATES = ("count", "sum", "avg", "min", "max")
_TYPE = re.compile(r"[\w $]+(?:\[\])*")
_AGGREGATE = re.compile(r"\.(count|sum|avg|min|max)\(\)")
_JOIN = re.compile(r"!(\w+)")
_DIRECTION = re.compile(r"\.(asc|desc)(?=[.,]|$)")
_NULLS = re.compile(r"\.nulls(first|last)(?=[.,]|$)")


def read_select(text: str) -> tuple[Item, ...]:
    """What a query shows; everything if the text is empty. Raises SelectInvalid, QueryTooLarge."""
    scanner = Scanner(text, SelectInvalid, "select")
    scanner.spaces()
    if scanner.done():
        return EVERYTHING
    items = _items(scanner, 0)
    scanner.end()
    return items


def read_order(text: str, of: str = "order") -> tuple[Term, ...]:
    """The terms of `column.desc.nullslast,other`; of a column that is there twice, the first. Raises OrderInvalid, QueryTooLarge."""
    scanner = Scanner(text, OrderInvalid, of)
    found: dict[tuple[str | None, str], Term] = {}
    while True:
        scanner.spaces()
        resource, column = _ordered(scanner)
        direction, nulls = scanner.match(_DIRECTION), scanner.match(_NULLS)
        if not scanner.next_is(","):
            scanner.fail("column, column.asc or column.desc, then .nullsfirst or .nullslast, then a comma or the end")
        first = None if nulls is None else nulls == ".nullsfirst"
        found.setdefault((resource, column), Term(column, direction == ".desc", first, resource))
        if len(found) > MAX_TERMS:
            raise misread(QueryTooLarge, of, f"at most {MAX_TERMS} columns")
        if not scanner.take(","):
            return tuple(found.values())


def _ordered(scanner: Scanner) -> tuple[str | None, str]:
    """A column, and the embedded resource that has it: `column` or `resource(column)`."""
    name = scanner.name("a column to order by")
    if not scanner.take("("):
        return None, name
    column = scanner.name("a column of the embedded resource")
    scanner.expect(")", "behind a column of an embedded resource")
    return name, column


def _items(scanner: Scanner, depth: int) -> tuple[Item, ...]:
    if depth > MAX_EMBEDDED:
        raise misread(QueryTooLarge, "select", f"resources are embedded at most {MAX_EMBEDDED} deep")
    found: list[Item] = []
    scanner.spaces()
    if depth and scanner.take(")"):
        return ()
    while True:
        scanner.spaces()
        found.append(_item(scanner, depth))
        if len(found) > MAX_ITEMS:
            raise misread(QueryTooLarge, "select", f"at most {MAX_ITEMS} columns")
        scanner.spaces()
        if depth and scanner.take(")"):
            return tuple(found)
        if not scanner.take(","):
            if depth or not scanner.done():
                _fail(scanner, "a comma, or `)` that ends an embedded resource," if depth else "a comma or the end")
            return tuple(found)


def _fail(scanner: Scanner, expected: str) -> NoReturn:
    """Raise the error for what stands behind an item, with what there is instead."""
    if scanner.text.startswith("->", scanner.at):
        raise misread(SelectInvalid, "select", "paths within JSON are not read here: select the whole column")
    if scanner.text.startswith(".", scanner.at):
        expected = f"an aggregate ({', '.join(f'.{name}()' for name in AGGREGATES)}), {expected}"
    scanner.fail(expected)


def _item(scanner: Scanner, depth: int) -> Item:
    if scanner.take("*"):
        return Star()
    if scanner.take(_SPREAD):
        return _embedded(scanner, scanner.name("a resource to spread"), None, depth, spread=True)
    alias, name = None, scanner.name("a column, `*` or `count()`")
    if not scanner.text.startswith("::", scanner.at) and scanner.take(":"):
        alias, name = name, scanner.name("a column behind its other name")
    if scanner.text[scanner.at - 5 : scanner.at] == "count" == name and scanner.take("()"):
        return Column(None, alias, None, "count", _cast(scanner))
    if not scanner.done() and scanner.next_is("!("):
        return _embedded(scanner, name, alias, depth)
    cast = _cast(scanner)
    aggregate = scanner.match(_AGGREGATE)
    if aggregate is None:
        return Column(name, alias, cast)
    return Column(name, alias, cast, aggregate[1:-2], _cast(scanner))  # type: ignore[arg-type]  # one of the pattern's


def _embedded(scanner: Scanner, name: str, alias: str | None, depth: int, *, spread: bool = False) -> Embedded:
    """What follows the name of an embedded resource: hints, and its items in parentheses."""
    hint, join = None, "left"
    while (found := scanner.match(_JOIN)) is not None:
        if found in {"!inner", "!left"}:
            join = found[1:]
        else:
            hint = found[1:]
    scanner.expect("(", "behind an embedded resource")
    items = _items(scanner, depth + 1)
    return Embedded(name, items, alias, hint, "inner" if join == "inner" else "left", spread)


def _cast(scanner: Scanner) -> str | None:
    if not scanner.take("::"):
        return None
    found = (scanner.match(_TYPE) or "").strip()
    if not found:
        scanner.fail("a type behind `::`")
    return found
