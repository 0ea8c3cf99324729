"""The types of values over one event type, and the checks that a value and a condition can be applied to it."""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

from refold.projections.declaring import number_types
from refold.projections.declaring.calendar_types import calendar_type
from refold.projections.declaring.carried import Carried, carried_type
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
from refold.projections.declaring.constants import check_words, constants, field_of, of_type, refuse_text
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
from refold.projections.declaring.field_types import EventType, FieldType, field_type
from refold.projections.declaring.number_types import NumberType, absolute_type, constant_type, number_type, result_type
from refold.projections.declaring.payload import Payload, payload_type
from refold.projections.declaring.sizes import refuse_large
from refold.projections.declaring.sql_types import BIGINT, BOOLEAN, DATE, INTEGER, TEXT, TIME, ColumnType
from refold.projections.errors import BadDeclaration

Typed = tuple[ColumnType, bool]
"""The type of a value, and whether it may be null."""
_MOST_BRANCHES = 100
_DEEPEST = 100
"""Deepest nesting of values and conditions. Everything that reads one calls itself once per level."""


def value_type(kind: EventType, value: Expression | None, where: str, depth: int = 0) -> Typed:
    """The type of an expression over one event type, and whether it may be null. Raises BadDeclaration."""
    if depth > _DEEPEST:
        raise BadDeclaration(f"{where}: values are nested more than {_DEEPEST} deep")
    if not depth:
        refuse_large(value, where)
    match value:
        case Field(name):
            found = field_type(kind, name, where)
            return found.column, found.nullable
        case Part():
            return INTEGER, False
        case TypeName():
            return TEXT, False
        case Payload():
            return payload_type(kind, where, depth)
        case Carried():
            return carried_type(kind, value, where, depth, value_type)
    check = next((check for kinds, check in _CHECKS.items() if isinstance(value, kinds)), None)
    if check is None:
        raise BadDeclaration(f"{where}: {value!r:.200} is no field and no expression")
    return check(kind, value, where, depth)


def _word(kind: EventType, value: ByEvent, where: str, _: int) -> Typed:
    if kind.event not in dict(value.words):
        raise BadDeclaration(f"{where}: by_event names no word for {kind.event.__name__}")
    check_words(where, value)
    return TEXT, False


def _calendar(kind: EventType, value: Day | Calendar, where: str, depth: int) -> Typed:
    if isinstance(value.of, Field):
        return calendar_type(value, field_type(kind, value.of.name, where), where)
    return calendar_type(value, FieldType(*value_type(kind, value.of, where, depth + 1)), where)


def _number(kind: EventType, value: Arithmetic | Absolute | Step, where: str, depth: int) -> Typed:
    if isinstance(value, Absolute):
        found, nullable = value_type(kind, value.of, where, depth + 1)
        return absolute_type(_digits(found, where)).column, nullable
    if isinstance(value, Step):
        found, nullable = value_type(kind, value.of, where, depth + 1)
        width = constant_type(value.width, f"{where}: step()")
        if value.width <= 0:
            raise BadDeclaration(f"{where}: step() needs a width above 0, not {value.width}")
        result = result_type(Arithmetic("add", value.of, value.width), _digits(found, where), width, where)
        number_types.refuse_places(result, where)
        return result.column, nullable
    (one, no_left), (other, no_right) = (_operand(kind, part, where, depth + 1) for part in (value.left, value.right))
    return result_type(value, one, other, where).column, value.operator == "div" or no_left or no_right


def operand_type(kind: EventType, operand: Any, where: str) -> NumberType:
    """The digits of an operand: a value or a constant. Raises BadDeclaration if it is no number."""
    return _operand(kind, operand, where, 0)[0]


def _operand(kind: EventType, operand: Any, where: str, depth: int) -> tuple[NumberType, bool]:
    if not isinstance(operand, Value):
        return constant_type(operand, where), False
    found, nullable = value_type(
        kind, operand, where, depth
    )  # once: twice a level would be 2 to the power of the levels
    return _digits(found, where), nullable


def _digits(found: ColumnType, where: str) -> NumberType:
    number = number_type(found)
    if number is None:
        raise BadDeclaration(f"{where}: only whole numbers and decimals are computed with, not {found.sql}")
    return number


def _choice(kind: EventType, value: Case | Coalesce, where: str, depth: int) -> Typed:
    """The type of what is chosen: that of its values, else that of its constants, which all fit it."""
    options: list[Any]
    if isinstance(value, Case):
        if not value.branches:
            raise BadDeclaration(f"{where}: case() has no branch: write case((condition, value), otherwise=…)")
        for branch in value.branches:
            if not isinstance(branch, tuple) or len(branch) != 2:
                raise BadDeclaration(f"{where}: case() takes pairs (condition, value), not {branch!r:.100}")
            check_condition(where, [kind], branch[0], depth + 1)
        _refuse_many(len(value.branches), "case()", where)
        options = [option for _, option in value.branches] + [value.otherwise]
    else:
        options = list(value.options)
        if not options or not isinstance(options[0], Value):
            raise BadDeclaration(f"{where}: coalesce() needs a field or a value before its constant")
    typed = [value_type(kind, option, where, depth + 1) for option in options if isinstance(option, Value)]
    given = [option for option in options if not isinstance(option, Value) and option is not None]
    found = chosen_type([one for one, _ in typed] or [_of_constant(given, where)], where)
    for constant in given:
        of_type(found, constant, where)
    if isinstance(value, Coalesce):
        return found, not given and all(nullable for _, nullable in typed)
    return found, value.otherwise is None or None in options or any(nullable for _, nullable in typed)


def chosen_type(found: Sequence[ColumnType], where: str) -> ColumnType:
    """The one type in which each of some values can be held. Raises BadDeclaration."""
    if len(set(found)) == 1:
        return max(found, key=lambda one: one.digits)
    if set(found) == {INTEGER, BIGINT}:
        return BIGINT
    numbers = [number_type(one) for one in found]
    if any(number is None for number in numbers):
        raise BadDeclaration(f"{where}: one value is {' and another '.join(sorted({one.sql for one in found}))}")
    scale = max(number.scale for number in numbers if number)
    before = max(number.before for number in numbers if number)
    number_types.refuse(scale + before, where)
    return NumberType(scale + before, scale).column


def _of_constant(given: Sequence[Any], where: str) -> ColumnType:
    """The type of a choice that has constants only."""
    plain = [value.value if hasattr(value, "value") else value for value in given]
    if plain and all(isinstance(value, str) for value in plain):
        return TEXT
    if plain and all(isinstance(value, bool) for value in plain):
        return BOOLEAN
    if plain and all(isinstance(value, int | Decimal) and not isinstance(value, bool) for value in plain):
        return chosen_type([constant_type(value, where).column for value in plain], where)
    raise BadDeclaration(f"{where}: its constants are no texts, no truth values and no numbers, or of several types")


def _refuse_many(branches: int, said: str, where: str) -> None:
    """Each branch stands within the one before it, and Polars' time for such an expression grows with the square of their number."""
    if branches > _MOST_BRANCHES:
        raise BadDeclaration(f"{where}: {said} has {branches} branches, and {_MOST_BRANCHES} are the most")


def _range(kind: EventType, value: Bucket | Between, where: str, depth: int) -> Typed:
    if isinstance(value, Between):
        (one, no_start), (other, no_end) = (value_type(kind, at, where, depth + 1) for at in (value.start, value.end))
        if one != other or one not in (TIME, DATE) or (one == DATE and value.unit != "days"):
            raise BadDeclaration(
                f"{where}: between() needs two times, or two dates and days, not {one.sql}, {other.sql} and {value.unit}"
            )
        return BIGINT, no_start or no_end
    found, nullable = value_type(kind, value.of, where, depth + 1)
    if number_type(found) is None and found not in (TIME, DATE):
        raise BadDeclaration(f"{where}: bucket() needs a number, a time or a date, not {found.sql}")
    bounds = [of_type(found, bound, where) for bound in value.bounds]
    if not bounds or bounds != sorted(set(bounds)):
        raise BadDeclaration(f"{where}: bucket() needs bounds that rise, not {list(value.bounds)!r:.100}")
    _refuse_many(len(bounds), "bucket()", where)
    if len(value.labels) != len(bounds) + 1 or len(set(value.labels)) != len(value.labels):
        raise BadDeclaration(f"{where}: bucket() of {len(bounds)} bounds has {len(bounds) + 1} different labels")
    for label in value.labels:
        refuse_text(label, where)
    return TEXT, nullable


def _text(kind: EventType, value: OfText | Concat, where: str, depth: int) -> Typed:
    parts: Iterable[Any] = value.parts if isinstance(value, Concat) else (value.of,)
    nullable = False
    for part in parts:
        if isinstance(part, str) and isinstance(value, Concat):
            refuse_text(part, where)
            continue
        found, may_be_null = value_type(kind, part, where, depth + 1)
        nullable = nullable or may_be_null
        if found != TEXT:
            raise BadDeclaration(f"{where}: a function of texts cannot take {found.sql}")
    if isinstance(value, Concat):
        if not any(isinstance(part, Value) for part in value.parts):
            raise BadDeclaration(f"{where}: concat() needs a field or a value among its parts")
        return TEXT, nullable
    if value.function == "left" and (not isinstance(value.count, int) or value.count < 1):
        raise BadDeclaration(f"{where}: left() takes one letter or more, not {value.count!r:.100}")
    return (INTEGER if value.function == "length" else TEXT), nullable


_CHECKS: dict[tuple[type[Value], ...], Callable[[EventType, Any, str, int], Typed]] = {
    (ByEvent,): _word,
    (Day, Calendar): _calendar,
    (Arithmetic, Absolute, Step): _number,
    (Case, Coalesce): _choice,
    (Bucket, Between): _range,
    (OfText, Concat): _text,
}


def check_condition(where: str, kinds: Sequence[EventType], said: Condition | None, depth: int = 0) -> None:
    """Raise BadDeclaration for a condition that cannot be applied to each of some types of events."""
    if depth > _DEEPEST:
        raise BadDeclaration(
            f"{where}: more than {_DEEPEST} conditions are joined in a row; for several values use is_in(a, b, …)"
        )
    if not depth:
        refuse_large(said, where)
    match said:
        case None:
            return
        case Both(left, right) | Either(left, right):
            check_condition(where, kinds, left, depth + 1)
            check_condition(where, kinds, right, depth + 1)
        case Not(of):
            check_condition(where, kinds, of, depth + 1)
        case Condition():
            for kind in kinds:
                _check_asked(where, kind, said, depth)
        case _:
            raise BadDeclaration(
                f"{where}: {said!r} is no condition; a comparison is field('x').eq(1), not field('x') == 1"
            )


def _check_asked(where: str, kind: EventType, said: Condition, depth: int) -> None:
    """Check a condition that joins no others."""
    match said:
        case Compare():
            constants(kind, said, where)
        case CompareValue():
            compared_type(kind, said, where, depth)
        case IsNull(of):
            value_type(kind, of, where, depth + 1)
        case StartsWith(of, prefix):
            refuse_text(prefix, where)
            if (found := value_type(kind, of, where, depth + 1)[0]) != TEXT:
                raise BadDeclaration(f"{where}: starts_with() needs a text, not {found.sql}")


def compared_values(kind: EventType, said: CompareValue) -> tuple[FieldType, tuple[Any, ...]]:
    """What is compared with constants, as a field, and the constants as values of its type."""
    found = compared_type(kind, said, "")
    given = said.right if isinstance(said.right, tuple) else (said.right,)
    return field_of(found), tuple(of_type(found, value, "", comparing=True) for value in given)


def compared_type(kind: EventType, said: CompareValue, where: str, depth: int = 0) -> ColumnType:
    """The type in which two values are compared. Raises BadDeclaration."""
    found, _ = value_type(kind, said.left, where, depth + 1)
    if isinstance(said.right, Value):
        other, _ = value_type(kind, said.right, where, depth + 1)
        found = chosen_type([found, other], where)
    elif isinstance(said.right, tuple) and not said.right:
        raise BadDeclaration(f"{where}: is_in() names no value")
    else:
        for constant in said.right if isinstance(said.right, tuple) else (said.right,):
            of_type(found, constant, where, comparing=True)
    if found == BOOLEAN and said.operator not in {"eq", "ne", "in"}:
        raise BadDeclaration(f"{where}: truth values have no order: use eq, ne or is_in")
    return found
