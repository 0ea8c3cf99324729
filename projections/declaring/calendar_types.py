"""The types of parts of times and dates, and which zones there are."""

from functools import cache

import polars as pl

from refold.projections.declaring.expressions import Calendar, Day, Field
from refold.projections.declaring.field_types import FieldType
from refold.projections.declaring.sql_types import DATE, INTEGER, TIME, ColumnType
from refold.projections.errors import BadDeclaration


def calendar_type(said: Day | Calendar, found: FieldType, where: str) -> tuple[ColumnType, bool]:
    """The type of a part of a time or date. Raises BadDeclaration."""
    name = said.of.name if isinstance(said.of, Field) else "its value"
    if isinstance(said, Day):
        if found.column != TIME:
            raise BadDeclaration(f"{where}: day() needs a time, and {name} is {found.word}")
        return DATE, found.nullable
    if found.column == DATE and (said.unit == "hour" or said.zone is not None):
        needs = "a time" if said.unit == "hour" else "no zone, since a date has none"
        raise BadDeclaration(f"{where}: {said.unit}() of {name}, which is a date, needs {needs}")
    if found.column not in (TIME, DATE):
        raise BadDeclaration(f"{where}: {said.unit}() needs a time or a date, and {name} is {found.word}")
    if said.zone is not None and not _is_zone(said.zone):
        raise BadDeclaration(f"{where}: {said.zone!r} is no time zone; one is Europe/Berlin")
    return (INTEGER if said.unit in {"year", "hour", "weekday"} else DATE), found.nullable


@cache
def _is_zone(name: str) -> bool:
    try:
        pl.Series([0], dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone(name)
    except pl.exceptions.PolarsError:
        return False
    return True
