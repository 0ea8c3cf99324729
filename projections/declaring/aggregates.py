"""Gathers that no single column can merge: averages, spreads and conditions. The row holds their parts, which merge by adding.

Two averages do not merge; their sums and counts do. So the parts are hidden columns, and the shown one is computed from them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from refold.projections.declaring.conditions import Arithmetic, Value
from refold.projections.declaring.field_types import common_type
from refold.projections.declaring.formulas import Comparison, Formula, OfColumn, check_scale
from refold.projections.declaring.gathering import Column, Computed, Events
from refold.projections.declaring.number_types import NumberType, number_type
from refold.projections.declaring.sql_types import BOOLEAN, DIGITS, ColumnType, decimal
from refold.projections.declaring.value_types import value_type
from refold.projections.errors import BadDeclaration


@dataclass(frozen=True)
class Aggregate:
    """What a computed column stands for: the hidden columns, the formula over them, and the type of its result."""

    parts: dict[str, Column]
    formula: Formula | Comparison
    type: ColumnType


def aggregate(name: str, column: Computed, where: str) -> Aggregate:
    """The parts of a computed column. Raises BadDeclaration."""
    return _KINDS[column.gather](name, column, where)


def order_column(column: Column, columns: Iterable[Column]) -> str | None:
    """The hidden order column of a first or last. Columns that choose alike among the same events share it."""
    if column.gather not in {"first", "last"}:
        return None
    alike = list(dict.fromkeys((c.gather, c.of) for c in columns if c.gather in {"first", "last"}))
    return f"_{column.gather}_{alike.index((column.gather, column.of)) + 1}"


def part_name(name: str, part: str) -> str:
    """The hidden column of a part."""
    return f"_{name}_{part}"


def _average(name: str, column: Computed, where: str) -> Aggregate:
    number, parts = _number(column, where), _sum_and_count(name, column, where)
    scale = _scale(column, where, min(number.scale + 2, DIGITS - number.before))
    # An average lies between two values. Rounded to fewer places than they have, it may gain a digit.
    _refuse(where, number.before + (scale < number.scale), scale)
    return Aggregate(parts, Formula(OfColumn(part_name(name, "sum")) / part_name(name, "count"), scale), decimal(scale))


def _spread(name: str, column: Computed, where: str) -> Aggregate:
    number, root = _number(column, where), column.gather == "stddev"
    # A sample's variance is at most twice the square of the largest value: (n / (n - 1)) * range² / 4.
    before = 1 + (number.before if root else 2 * number.before)
    places = number.scale if root else 2 * number.scale
    scale = _scale(column, where, max(0, min(places + 2, DIGITS - before)))
    _refuse(where, before, scale)
    assert isinstance(column.value, Value)
    squares = Column("sum", column.of, Arithmetic("mul", column.value, column.value), column.doc)
    parts = _sum_and_count(name, column, where) | {part_name(name, "squares"): squares}
    count, total, of_squares = (OfColumn(part_name(name, part)) for part in ("count", "sum", "squares"))
    variance = (count * of_squares - total * total) / (count * (count - 1))
    return Aggregate(parts, Formula(variance, scale, root), decimal(scale))


def _any(name: str, column: Computed, _where: str) -> Aggregate:
    held = part_name(name, "held")
    return Aggregate({held: _count(_given(column), column)}, Comparison(held), BOOLEAN)


def _all(name: str, column: Computed, _where: str) -> Aggregate:
    every, held = part_name(name, "count"), part_name(name, "held")
    parts = {every: _count(column.of, column), held: _count(_given(column), column)}
    return Aggregate(parts, Comparison(held, every), BOOLEAN)


_KINDS: dict[str, Callable[[str, Computed, str], Aggregate]] = {
    "avg": _average,
    "stddev": _spread,
    "variance": _spread,
    "any": _any,
    "all": _all,
}


def _given(column: Computed) -> Events:
    assert column.given is not None
    return column.of.where(column.given)


def _count(of: Events, column: Column) -> Column:
    return Column("count", of, None, column.doc)


def _sum_and_count(name: str, column: Computed, where: str) -> dict[str, Column]:
    """The sum of the values, and the number of those that are not null."""
    assert isinstance(column.value, Value)
    nullable = any(value_type(kind, column.value, where)[1] for kind in column.of.types)
    counted = column.of.where(column.value.is_not_null()) if nullable else column.of
    total = Column("sum", column.of, column.value, column.doc)
    return {part_name(name, "sum"): total, part_name(name, "count"): _count(counted, column)}


def _number(column: Computed, where: str) -> NumberType:
    found = common_type([value_type(kind, column.value, where)[0] for kind in column.of.types], where)
    number = number_type(found)
    if number is None:
        raise BadDeclaration(f"{where}: only whole numbers and decimals have {column.gather}(), not {found.sql}")
    digits = [number_type(value_type(kind, column.value, where)[0]) for kind in column.of.types]
    return replace(number, digits=number.scale + max(one.before for one in digits if one is not None))


def _scale(column: Computed, where: str, derived: int) -> int:
    if column.scale is None:
        return derived
    check_scale(where, column.scale)
    return column.scale


def _refuse(where: str, before: int, scale: int) -> None:
    if before + scale > DIGITS:
        raise BadDeclaration(
            f"{where}: a result may have {before} digits before the point and {scale} behind it, and a column has"
            f" {DIGITS} at most: bound the fields, or use fewer places"
        )
