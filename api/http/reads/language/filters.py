"""Filters: `column=operator.value`, and trees of them in `and=(…)` and `or=(…)`."""

import re
from typing import NoReturn

from refold.api.errors import FilterInvalid, UnknownOperator
from refold.api.http.reads.language.scanner import Scanner, misread
from refold.api.http.reads.language.tree import Condition, Filter, Group
from refold.api.http.wire.parameters import shown
from refold.api.reading_errors import QueryTooLarge

MAX_DEPTH, MAX_ELEMENTS = 20, 1000
MODIFIED = ("eq", "gt", "gte", "lt", "lte", "like", "ilike", "match", "imatch")
"""Operators that take `(any)` and `(all)`."""
FULL_TEXT = ("fts", "plfts", "phfts", "wfts")
OPERATORS = (*MODIFIED, "neq", "in", "is", "isdistinct", *FULL_TEXT, "cs", "cd", "ov")
STATES = ("null", "not_null", "true", "false", "unknown")
"""What `is` compares with."""
_OPERATOR = re.compile(r"[a-z]+")
_MODIFIER = re.compile(r"\(([^().]*)\)")
_LANGUAGE = re.compile(r"[a-z_]{1,60}", re.ASCII)
_BARE = re.compile(r"[^,)]*")
_ARRAY = re.compile(r"\{[^{}]*\}")
_INNER = re.compile(rf"([\w ]+)\.(?:not\.)?(?:{'|'.join(OPERATORS)})[.(]")
"""A column of an embedded resource, where an operator has to be."""
_MEANT = {
    **dict.fromkeys(("ne", "noteq", "notequal", "not_equal"), "neq.VALUE"),
    **dict.fromkeys(("ge", "min", "from", "after", "since"), "gte.VALUE"),
    **dict.fromkeys(("le", "max", "to", "until"), "lte.VALUE"),
    "before": "lt.VALUE",
    **dict.fromkeys(("equals", "equal", "iseq"), "eq.VALUE"),
    **dict.fromkeys(("contains", "has", "includes"), "ilike.*VALUE*"),
    **dict.fromkeys(("starts", "startswith", "starts_with", "sw"), "like.VALUE*"),
    **dict.fromkeys(("ends", "endswith", "ends_with", "ew"), "like.*VALUE"),
    **dict.fromkeys(("between", "range"), "gte.VALUE, and beside it {name}=lte.VALUE"),
    **dict.fromkeys(("nin", "notin", "not_in"), "not.in.(a,b)"),
    **dict.fromkeys(("regex", "regexp", "rlike"), "match.VALUE"),
    **dict.fromkeys(("null", "isnull", "is_null"), "is.null"),
    **dict.fromkeys(("notnull", "not_null"), "not.is.null"),
}
"""What other languages call an operator, and how it is written here."""
_SIGNS = {">=": "gte", "<=": "lte", "!=": "neq", "<>": "neq", "=": "eq", ">": "gt", "<": "lt"}


def read_filter(column: str, text: str, parameter: str = "") -> Condition:
    """The condition of `column=text`; `parameter`: the column as the client wrote it, with the resource that has it.

    Raises FilterInvalid, UnknownOperator, QueryTooLarge.
    """
    scanner = Scanner(text, FilterInvalid, parameter or column)
    return _condition(scanner, column, parameter or column, alone=True)


def read_group(name: str, operator: str, text: str, *, negated: bool) -> Group:
    """The tree of `and=text` or `or=text`. Raises FilterInvalid, UnknownOperator, QueryTooLarge."""
    scanner = Scanner(text, FilterInvalid, name)
    found = _parts(scanner, operator, negated=negated, depth=1)
    scanner.end()
    return found


def _parts(scanner: Scanner, operator: str, *, negated: bool, depth: int) -> Group:
    if depth > MAX_DEPTH:
        raise misread(QueryTooLarge, operator, f"trees are at most {MAX_DEPTH} deep")
    scanner.spaces()
    scanner.expect("(", "before the conditions")
    scanner.spaces()
    parts = [_part(scanner, depth)]
    scanner.spaces()
    while scanner.take(","):
        scanner.spaces()
        parts.append(_part(scanner, depth))
        scanner.spaces()
    scanner.expect(")", "or a comma behind a condition")
    return Group("and" if operator == "and" else "or", tuple(parts), negated)


def _part(scanner: Scanner, depth: int) -> Filter:
    """A condition, or a tree within the tree: a column may be named `and`, so a dot decides."""
    before = scanner.at
    negated = scanner.take("not.")
    for operator in ("and", "or"):
        if scanner.take(operator):
            scanner.spaces()
            if not scanner.done() and scanner.text[scanner.at] == "(":
                found = _parts(scanner, operator, negated=negated, depth=depth + 1)
                scanner.spaces()
                return found
            break
    scanner.at = before
    column = scanner.name("a column, `and(...)` or `or(...)`")
    scanner.expect(".", "behind a column")
    return _condition(scanner, column, column, alone=False)


def _condition(scanner: Scanner, column: str, of: str, *, alone: bool) -> Condition:
    """`alone`: the value is the rest of the text; else it ends at a comma or parenthesis, and quotes have a meaning."""
    began = scanner.at
    negated = scanner.take("not.")
    operator = scanner.match(_OPERATOR) or ""
    if operator not in OPERATORS:
        _no_operator(of, _said(scanner, began, alone=alone), operator, alone=alone)
    modifier = _modifier(scanner, operator)
    if not scanner.take("."):
        _no_operator(of, _said(scanner, began, alone=alone), operator, alone=alone)
    if operator == "in":
        return Condition(column, "in", _list(scanner, alone=alone), negated)
    value = scanner.text[scanner.at :] if alone else _value(scanner)
    if operator == "is":
        value = value.lower()
        if value not in STATES:
            raise misread(FilterInvalid, of, f"`is` takes {', '.join(STATES)}, not {shown(value)}; write eq.VALUE")
    return Condition(column, operator, value, negated, modifier)  # type: ignore[arg-type]  # one of OPERATORS, as was checked


def _modifier(scanner: Scanner, operator: str) -> str | None:
    before = scanner.at
    found = scanner.match(_MODIFIER)
    inner = "" if found is None else found[1:-1]
    known = _LANGUAGE.fullmatch(inner) if operator in FULL_TEXT else operator in MODIFIED and inner in {"any", "all"}
    if found is not None and not known:
        takes = "a language" if operator in FULL_TEXT else "(any) or (all)" if operator in MODIFIED else "nothing"
        scanner.at = before
        scanner.fail(f"a dot or what `{operator}` takes in parentheses ({takes})")
    return inner or None


def _list(scanner: Scanner, *, alone: bool) -> tuple[str, ...]:
    """The elements of `(a,b,"c,d")`. `()` has none, as `("")` has, since PostgREST cannot tell them apart."""
    scanner.spaces()
    scanner.expect("(", "before a list")
    scanner.spaces()
    found = [scanner.element(_BARE)]
    while scanner.take(","):
        found.append(scanner.element(_BARE))
        if len(found) > MAX_ELEMENTS:
            raise misread(QueryTooLarge, "in", f"a list has at most {MAX_ELEMENTS} elements")
    scanner.expect(")", "behind a list")
    if alone:
        scanner.spaces()
        scanner.end()
    return () if found == [""] else tuple(found)


def _value(scanner: Scanner) -> str:
    """A value within a tree: quoted, an array in braces, or everything up to a comma or parenthesis."""
    if not scanner.next_is('"'):
        array = scanner.match(_ARRAY)
        if array is not None:
            return array
    return scanner.element(_BARE)


def _said(scanner: Scanner, began: int, *, alone: bool) -> str:
    """The text of a condition behind its column."""
    rest = scanner.text[began:]
    return rest if alone else (_BARE.match(rest) or [""])[0]


def _no_operator(column: str, text: str, operator: str, *, alone: bool) -> NoReturn:
    """Raise the error for a condition without an operator that exists, with what would have been right."""
    there = f"(there are: {', '.join(OPERATORS)}; each may have `not.` before it)"
    sign = next((sign for sign in _SIGNS if text.startswith(sign)), None)
    name = shown(column)[1:-1]
    if sign is not None:
        rest = shown(text[len(sign) :])[1:-1]
        raise misread(UnknownOperator, column, f"write {name}={_SIGNS[sign]}.{rest} {there}")
    inner = _INNER.match(text)
    if inner is not None and inner[1] not in {"not", *OPERATORS}:
        right = (
            f"{name}.{inner[0].replace('.', '=', 1)}VALUE"
            if alone
            else f"{name}.or=({inner[0]}VALUE), or {name}.not.is.null in the tree"
        )
        raise misread(
            UnknownOperator,
            column,
            f"there is no operator {shown(inner[1])}; a filter of an embedded resource is written {right} {there}",
        )
    word = re.match(r"\w*", text)
    if word and word[0] in _MEANT:
        raise misread(
            UnknownOperator,
            column,
            f"there is no operator {word[0]}; write {name}={_MEANT[word[0]].format(name=name)} {there}",
        )
    if text in OPERATORS or (operator and text.startswith(f"{operator}.")):
        said = (
            f"an operator ends with a dot: {text}." if text in OPERATORS else f"there is no operator {shown(operator)}"
        )
        raise misread(UnknownOperator, column, f"{said} {there}")
    raise misread(
        UnknownOperator, column, f"no operator begins {shown(text)}; write {name}=eq.{shown(text)[1:-1]} {there}"
    )
