"""Parts of times in a zone, and of dates, by columns and by row. Both ask one table of zones, that of Polars.

Python's own table may be of another year, and then a row that was folded live would differ from a rebuilt one.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache, partial
from typing import Any

import polars as pl

from refold.projections.declaring.expressions import Calendar, Day, Unit

FIRST, LAST = datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
"""Times before and after count by their day in UTC: in a zone it may lie outside the years that a date can have."""
_REMEMBERED = 4096
_BY_COLUMNS: dict[Unit, Callable[[pl.Expr], pl.Expr]] = {
    "day": lambda local: local.dt.date(),
    "week": lambda local: local.dt.date().dt.truncate("1w"),
    "month": lambda local: local.dt.date().dt.truncate("1mo"),
    "quarter": lambda local: local.dt.date().dt.truncate("1q"),
    "year": lambda local: local.dt.year().cast(pl.Int32),
    "hour": lambda local: local.dt.hour().cast(pl.Int32),
    "weekday": lambda local: local.dt.weekday().cast(pl.Int32),
}
_BY_ROW: dict[Unit, Callable[[Any], date | int]] = {
    "day": lambda local: date(local.year, local.month, local.day),
    "week": lambda local: date(local.year, local.month, local.day) - timedelta(days=local.weekday()),
    "month": lambda local: date(local.year, local.month, 1),
    "quarter": lambda local: date(local.year, (local.month - 1) // 3 * 3 + 1, 1),
    "year": lambda local: local.year,
    "hour": lambda local: local.hour,
    "weekday": lambda local: local.isoweekday(),
}


def by_columns(said: Day | Calendar, column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The part of a column of times or dates (`dtype`). A null stays null."""
    unit, zone = _BY_COLUMNS[_unit(said)], _zone(said)
    if dtype == pl.Date or zone is None:
        return unit(column)
    local = unit(column.dt.convert_time_zone(zone))
    return pl.when(column.is_between(FIRST, LAST)).then(local).otherwise(unit(column))


def by_row(said: Day | Calendar) -> Callable[[Any], date | int | None]:
    """The same function of one time or date."""
    unit, zone = _BY_ROW[_unit(said)], _zone(said)
    if zone is None:
        return lambda value: None if value is None else unit(value)
    local = partial(_local, zone)
    return lambda value: None if value is None else unit(local(value) if FIRST <= value <= LAST else value)


def _unit(said: Day | Calendar) -> Unit:
    return said.unit if isinstance(said, Calendar) else "day"


def _zone(said: Day | Calendar) -> str | None:
    """The zone; None for UTC, in which times are stored."""
    return said.zone if isinstance(said, Calendar) and said.zone != "UTC" else None


@lru_cache(_REMEMBERED)
def _local(zone: str, time: datetime) -> datetime:
    """A time's date and clock in a zone."""
    there = pl.Series([time], dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone(zone)
    return there.dt.replace_time_zone(None).item()  # type: ignore[no-any-return]  # of a column of times
