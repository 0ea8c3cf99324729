"""Filters: judged against the declaration, their values read, and written as SQL, which depends on their shape alone."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import msgspec

from refold.api.errors import ApiError, Fault, FilterInvalid
from refold.api.http.reads.language.filters import FULL_TEXT
from refold.api.http.reads.language.tree import Condition, Filter
from refold.api.http.reads.planning.column_values import array_of, not_of, plain, read_value
from refold.api.http.reads.planning.pieces import Numbers, Piece, identifier, joined, literal, put
from refold.api.http.wire.parameters import shown
from refold.api.reading_errors import OperatorUnfit, QueryTooLarge
from refold.projections.declaring.served_types import served_type
from refold.projections.tables.serving import ServedColumn

MAX_PATTERN = 500
"""Most characters of a regular expression; the time that it takes is bounded by the statement's."""
LANGUAGE = "english"
"""Language of a full text search whose filter names none: no server's default may decide."""
_COMPARED = {"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_MATCHED = {"like": "LIKE", "ilike": "ILIKE", "match": "~", "imatch": "~*"}
_SEARCHED = {
    "fts": "to_tsquery",
    "plfts": "plainto_tsquery",
    "phfts": "phraseto_tsquery",
    "wfts": "websearch_to_tsquery",
}
_HELD = {"cs": "@>", "cd": "<@", "ov": "&&"}
_STATES = {"null": "NULL", "not_null": "NOT NULL", "true": "TRUE", "false": "FALSE", "unknown": "UNKNOWN"}
_TEXTS = frozenset({"text", "bpchar"})


class Given(NamedTuple):
    """A client's value, kept so that an error can name the one that Postgres refuses: `probe` reads it alone, `refused` makes the error."""

    value: str | None
    probe: str
    refused: Callable[[], ApiError]


class Test(msgspec.Struct, frozen=True):
    """A condition without its value. `state`: what `is` compares with; `modifier`: `any`, `all` or `language`."""

    column: ServedColumn
    operator: str
    negated: bool = False
    modifier: str | None = None
    state: str | None = None


class Joined(msgspec.Struct, frozen=True):
    """Conditions joined by `and` or `or`."""

    operator: str
    parts: tuple["Test | Joined | There", ...]
    negated: bool = False


class There(msgspec.Struct, frozen=True):
    """Whether a row has rows of the embedded resource of this number; `negated`: whether it has none."""

    number: int
    negated: bool = False


Shape = Test | Joined | There
Embedded = Callable[[Condition], int | None]
"""The number of the embedded resource that a condition means by its column, or None."""


def judged(
    part: Filter, column: Callable[[str], ServedColumn], given: list[Given], embedded: Embedded = lambda _: None
) -> Shape:
    """The shape of a filter; its values are put behind `given`. Raises UnknownParameter, FilterInvalid, OperatorUnfit, QueryTooLarge."""
    if not isinstance(part, Condition):
        return Joined(part.operator, tuple(judged(one, column, given, embedded) for one in part.parts), part.negated)
    number = embedded(part)
    if number is not None:
        return There(number, negated=(part.value == "null") != part.negated)
    found = column(part.column)
    fits(part, found)
    if part.operator == "is":
        return Test(found, "is", part.negated, None, str(part.value))
    searched = part.operator in FULL_TEXT and part.modifier is not None
    if searched:
        given.append(_given(found, part.modifier, "%s::regconfig"))
    given.append(_value(part, found))
    return Test(found, part.operator, part.negated, "language" if searched else part.modifier)


def fits(part: Condition, column: ServedColumn) -> None:
    """Raises OperatorUnfit or FilterInvalid if the column's type has no such operator."""
    kind, operator = served_type(column.sql_type), part.operator
    if operator in _MATCHED:
        fit, takes = kind.name in _TEXTS and not kind.array, "texts"
    elif operator in _SEARCHED:
        fit, takes = kind.name in {*_TEXTS, "jsonb"} and not kind.array, "texts and JSON"
    elif operator in _HELD:
        fit, takes = kind.array or (kind.name == "jsonb" and operator != "ov"), "arrays, and `cs` and `cd` JSON"
    elif operator == "in" or part.modifier is not None:
        fit, takes = not kind.array, "single values"
    else:
        fit, takes = True, ""
    if not fit:
        message = f"{column.name} is {column.sql_type}, and `{operator}` takes {takes}"
        raise OperatorUnfit(message, Fault(column.name, OperatorUnfit.code, message))
    if operator == "is" and part.value not in {"null", "not_null"} and kind.name != "boolean":
        message = f"{column.name} is {column.sql_type}: only booleans are true, false or unknown; write {column.name}=eq.VALUE"
        raise FilterInvalid(message, Fault(column.name, "filter-invalid", message))


def _nowhere(number: int) -> Piece:
    raise AssertionError(number)


def sql_of(shape: Shape, table: str, numbers: Numbers, there: Callable[[int], Piece] = _nowhere) -> Piece:
    """A filter as SQL over the columns of `table`. `there`: the condition that a row has rows of an embedded resource."""
    if isinstance(shape, There):
        found = there(shape.number)
    elif isinstance(shape, Joined):
        parts = [sql_of(part, table, numbers, there) for part in shape.parts]
        found = put("({})", joined(f" {shape.operator.upper()} ", parts))
    else:
        found = _test(shape, f"{table}.{identifier(shape.column.name)}", numbers)
    return put("(NOT {})", found) if shape.negated else found


def _test(shape: Test, name: str, numbers: Numbers) -> Piece:
    kind, operator = served_type(shape.column.sql_type), shape.operator
    quantified = shape.modifier in {"any", "all"}
    if operator == "is":
        return Piece(f"{name} IS {_STATES[shape.state or '']}")
    if operator == "isdistinct":
        return put("{} IS DISTINCT FROM {}", name, numbers.value(kind.sql))
    if operator == "in":
        return put("{} = ANY({})", name, numbers.value(f"{kind.sql}[]"))
    if operator in _SEARCHED:
        language = numbers.value("regconfig") if shape.modifier else Piece(f"{literal(LANGUAGE)}::regconfig")
        text = name if kind.name == "jsonb" else f"{name}::text"
        asked = put(f"{_SEARCHED[operator]}({{}}, {{}})", language, numbers.value("text"))
        return put("to_tsvector({}, {}) @@ {}", language, text, asked)
    sign = _COMPARED.get(operator) or _MATCHED.get(operator) or _HELD[operator]
    cast = "text" if operator in _MATCHED else kind.sql
    if quantified:
        return put("{} {} {}({})", name, sign, (shape.modifier or "").upper(), numbers.value(f"{cast}[]"))
    return put("{} {} {}", name, sign, numbers.value(cast))


def _value(part: Condition, column: ServedColumn) -> Given:
    """The value as Postgres takes it: of `like` with `%` for `*`, of a list as an array."""
    kind, operator = served_type(column.sql_type), part.operator
    if isinstance(part.value, tuple):
        return _given(column, array_of(column, part.value), f"%s::{kind.sql}[]", ",".join(part.value))
    text = _plain(column, part.value)
    if operator in {"match", "imatch"} and len(text) > MAX_PATTERN:
        message = f"{column.name}: a regular expression has at most {MAX_PATTERN} characters, not {len(text)}"
        raise QueryTooLarge(message, Fault(column.name, QueryTooLarge.code, message))
    if operator in {"like", "ilike"}:
        text = text.replace("*", "%")
        if part.modifier is None and (len(text) - len(text.rstrip("\\"))) % 2:
            raise _given(column, text, "%s::text", part.value).refused()  # Postgres tells only of some rows
    cast = "text" if operator in _MATCHED or operator in _SEARCHED else kind.sql
    if part.modifier in {"any", "all"}:
        each = f"{_MATCHED[operator]} ANY(%s::text[])" if operator in _MATCHED else ""
        return _given(column, text, f"'' {each}" if each else f"%s::{cast}[]", part.value)
    if operator in _MATCHED:
        return _given(column, text, f"'' {_MATCHED[operator]} %s::text", part.value)
    if operator in _SEARCHED:
        return _given(column, text, f"{_SEARCHED[operator]}('{LANGUAGE}'::regconfig, %s::text)", part.value)
    return _given(column, read_value(column, text), f"%s::{cast}", part.value)


def _plain(column: ServedColumn, text: str) -> str:
    try:
        return plain(text)
    except ValueError:
        raise not_of(column, text) from None


def _given(column: ServedColumn, value: str | None, probe: str, text: str | None = None) -> Given:
    asked = text if text is not None else value or ""
    if probe == "%s::regconfig":
        return Given(value, probe, partial(_no_language, column, asked))
    if probe.endswith(("::text", "::text[])", "::text)")):
        return Given(value, probe, partial(_no_pattern, column, asked))
    return Given(value, probe, partial(not_of, column, asked))


def _no_language(column: ServedColumn, asked: str) -> FilterInvalid:
    message = (
        f"{column.name}: there is no language {shown(asked)} for full text; `simple` and `english` are always there"
    )
    return FilterInvalid(message, Fault(column.name, "filter-invalid", message))


def _no_pattern(column: ServedColumn, asked: str) -> FilterInvalid:
    message = f"{column.name}: Postgres cannot read the pattern {shown(asked)}"
    return FilterInvalid(message, Fault(column.name, "filter-invalid", message))


def given_key(column: ServedColumn, text: str) -> Given:
    """The value of a column of a key, as of a filter by `eq`. Raises FilterInvalid."""
    return _given(column, read_value(column, _plain(column, text)), f"%s::{served_type(column.sql_type).sql}", text)
