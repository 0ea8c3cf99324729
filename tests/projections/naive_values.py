"""Values and conditions of one event by the simplest Python: fractions, whole days, None for unknown."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
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
    Case,
    Coalesce,
    Concat,
    Field,
    OfText,
    Step,
    TypeName,
)

Get = Callable[[str], Any]
"""Gives a field of the event; its class is `m_class`."""


def plain(value: Any) -> Any:
    """Numbers as fractions, members as their values."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Fraction(value)
    return value


def value(said: Any, get: Get) -> Any:  # noqa: PLR0911 - a case each
    """What an expression gives."""
    if not isinstance(said, Value):
        return plain(said)
    match said:
        case Carried():
            return plain(get(said.column))
        case Field(name):
            return plain(get(name))
        case Arithmetic(operator, left, right, scale):
            return computed(operator, value(left, get), value(right, get), scale)
        case Case(branches, otherwise):
            return next((value(option, get) for said, option in branches if holds(said, get)), value(otherwise, get))
        case Coalesce(options):
            return next((found for option in options if (found := value(option, get)) is not None), None)
        case OfText(function, of, count):
            return of_text(function, value(of, get), count)
        case Concat(parts):
            texts = [part if isinstance(part, str) else value(part, get) for part in parts]
            return None if None in texts else "".join(texts)
        case ByEvent(words):
            return dict(words)[get("m_class")]
    return ranged(said, get)


def ranged(said: Value, get: Get) -> Any:
    match said:
        case TypeName():
            return get("m_class").__name__
        case Absolute(of):
            return None if (number := value(of, get)) is None else abs(number)
        case Bucket(of, bounds, labels):
            there = value(of, get)
            return None if there is None else labels[sum(there >= plain(bound) for bound in bounds)]
        case Step(of, width):
            number = value(of, get)
            return None if number is None else number // Fraction(width) * Fraction(width)
        case Between(start, end, unit):
            return between(value(start, get), value(end, get), unit)
    raise TypeError(said)


def computed(operator: str, left: Any, right: Any, scale: int | None) -> Any:
    if left is None or right is None or (operator == "div" and right == 0):
        return None
    if operator == "div":
        assert scale is not None
        exact = left / right * 10**scale
        nearest = int(abs(exact) + Fraction(1, 2))
        return Fraction(-nearest if exact < 0 else nearest, 10**scale)
    return {"add": left + right, "sub": left - right, "mul": left * right}[operator]


def between(start: Any, end: Any, unit: str) -> Any:
    if start is None or end is None:
        return None
    if isinstance(start, date) and not isinstance(start, datetime):
        return Fraction((end - start).days)
    exact = Fraction((end - start) // timedelta(microseconds=1))
    return Fraction(
        int(exact / {"seconds": 10**6, "minutes": 6 * 10**7, "hours": 36 * 10**8, "days": 864 * 10**8}[unit])
    )


def of_text(function: str, text: Any, count: int) -> Any:
    if text is None:
        return None
    match function:
        case "lower":
            return text.lower()
        case "upper":
            return text.upper()
        case "trim":
            return text.strip(" \t\n\r\v\f")
        case "left":
            return text[:count]
        case _:
            return Fraction(len(text))


def holds(said: Condition, get: Get) -> bool:
    """Whether a condition holds; unknown counts as false."""
    return truth(said, get) is True


def truth(said: Condition, get: Get) -> bool | None:
    """What a condition is: true, false, or None for unknown, by SQL's rules."""
    match said:
        case Both(left, right) | Either(left, right):
            found = {truth(left, get), truth(right, get)}
            decides = isinstance(said, Either)
            return decides if decides in found else None if None in found else not decides
        case Not(of):
            return None if (known := truth(of, get)) is None else not known
        case IsNull(of):
            return value(of, get) is None
        case StartsWith(of, prefix):
            return None if (text := value(of, get)) is None else text.startswith(prefix)
        case Compare(name, operator, right):
            return compared(operator, plain(get(name)), right, get)
        case CompareValue(of, operator, right):
            return compared(operator, value(of, get), right, get)
    raise TypeError(said)


def compared(operator: str, left: Any, right: Any, get: Get) -> bool | None:
    if operator == "in":
        return None if left is None else left in [plain(one) for one in right]
    other = value(right, get)
    if left is None or other is None:
        return None
    return bool(
        {
            "eq": left == other,
            "ne": left != other,
            **(
                {}
                if isinstance(left, bool)
                else {
                    "lt": left < other,
                    "le": left <= other,
                    "gt": left > other,
                    "ge": left >= other,
                }
            ),
        }[operator]
    )
