"""Values and conditions of a declaration in words, near to SQL: what the dictionary of a read model shows."""

from collections.abc import Callable
from datetime import date, datetime
from enum import Enum
from typing import Any

from refold.projections.declaring.carried import Carried
from refold.projections.declaring.conditions import (
    Absolute,
    Arithmetic,
    Both,
    Compare,
    CompareValue,
    Condition,
    Either,
    IsNull,
    Not,
    StartsWith,
    Value,
)
from refold.projections.declaring.expressions import (
    Between,
    Bucket,
    ByEvent,
    Calendar,
    Case,
    Coalesce,
    Concat,
    Day,
    Expression,
    Field,
    OfText,
    Part,
    Step,
    TypeName,
)
from refold.projections.declaring.formulas import Constant, Elapsed, OfColumn, Operation, Term
from refold.projections.declaring.payload import Payload
from refold.projections.declaring.sql_types import ENVELOPE_TYPES
from refold.schemas.columns import envelope as m

_SIGNS = {"eq": "=", "ne": "<>", "gt": ">", "ge": ">=", "lt": "<", "le": "<=", "in": "in"}
_OPERATORS = {"add": "+", "sub": "-", "mul": "*"}


def expression_words(value: Expression) -> str:
    """A value in words, such as `day of envelope.occurred_at`."""
    match value:
        case Field(name):
            return _field(name)
        case Day(of):
            return f"day of {_part(of)}"
        case Calendar(of, unit, zone):
            return f"{unit} of {_part(of)}" + (f" in {zone}" if zone else "")
        case ByEvent(words):
            return ", ".join(f"{kind.__name__}: {word}" for kind, word in words)
    return _COMPUTED[type(value)](value)


def condition_words(said: Condition) -> str:
    """A condition in words, such as `quantity >= 10`."""
    match said:
        case Compare(name, operator, value):
            return f"{_field(name)} {_SIGNS[operator]} {_constant(value)}"
        case CompareValue(left, operator, right):
            return f"{_part(left)} {_SIGNS[operator]} {_part(right)}"
        case IsNull(of):
            return f"{_part(of)} is null"
        case StartsWith(of, prefix):
            return f"{_part(of)} starts with {_constant(prefix)}"
        case Not(of):
            return f"not ({condition_words(of)})"
        case Both(left, right) | Either(left, right):
            return f"{_within(left)} {'and' if isinstance(said, Both) else 'or'} {_within(right)}"
    raise TypeError(said)


def term_words(term: Term) -> str:
    """Arithmetic between columns, as a formula."""
    match term:
        case Elapsed(start, end, unit):
            return f"{unit} from {start} to {end}"
        case OfColumn(name):
            return name
        case Constant(value):
            return str(value)
        case Operation(operator, left, right):
            return f"{_inner(left)} {operator} {_inner(right)}"
    raise TypeError(term)


def _inner(term: Term) -> str:
    return f"({term_words(term)})" if isinstance(term, Operation) else term_words(term)


def _within(said: Condition) -> str:
    return f"({condition_words(said)})" if isinstance(said, Both | Either) else condition_words(said)


def _field(name: str) -> str:
    """A field of the event, or of its envelope."""
    return f"envelope.{name.removeprefix('m_')}" if name in ENVELOPE_TYPES or name == m.OFFSET else name


def _part(value: Any) -> str:
    """A value or a constant within another one."""
    if not isinstance(value, Value):
        return _constant(value)
    return f"({expression_words(value)})" if isinstance(value, Arithmetic | ByEvent) else expression_words(value)


def _arithmetic(value: Arithmetic) -> str:
    if value.operator == "div":
        return f"round({_part(value.left)} / {_part(value.right)}, {value.scale})"
    return f"{_part(value.left)} {_OPERATORS[value.operator]} {_part(value.right)}"


def _case(value: Case) -> str:
    branches = " ".join(
        f"when {condition_words(condition)} then {_part(option)}" for condition, option in value.branches
    )
    return f"case {branches} else {_part(value.otherwise)} end"


def _bucket(value: Bucket) -> str:
    return f"range of {_part(value.of)} at {', '.join(map(_constant, value.bounds))}"


def _of_text(value: OfText) -> str:
    return f"{value.function}({expression_words(value.of)}{f', {value.count}' if value.function == 'left' else ''})"


_COMPUTED: dict[type[Value], Callable[[Any], str]] = {
    Part: lambda _: "number among the events of one upcast",
    Payload: lambda _: "all fields",
    TypeName: lambda _: "type of the event",
    Carried: lambda value: (
        f"{_part(value.value)} of the stream's latest {' or '.join(t.__name__ for t in value.types)}"
    ),
    Arithmetic: _arithmetic,
    Absolute: lambda value: f"abs({expression_words(value.of)})",
    Step: lambda value: f"{_part(value.of)} in steps of {value.width}",
    Case: _case,
    Coalesce: lambda value: f"coalesce({', '.join(map(_part, value.options))})",
    Bucket: _bucket,
    Between: lambda value: f"{value.unit} from {_part(value.start)} to {_part(value.end)}",
    OfText: _of_text,
    Concat: lambda value: " || ".join(map(_part, value.parts)),
}


def _constant(value: object) -> str:
    match value:
        case tuple():
            return f"({', '.join(map(_constant, value))})"
        case Enum():
            return _constant(value.value)
        case bool():
            return str(value).lower()
        case str():
            return "'" + value.replace("'", "''") + "'"
        case date() | datetime():
            return value.isoformat()
        case _:
            return str(value)
