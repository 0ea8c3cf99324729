"""A rebuild's COPY writes the same rows as live workers' arrays, whatever a text holds."""

from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from refold.projections.partials import merge_sql
from refold.projections.tables import builds, names, tables
from refold.projections.tables.declared import Declared
from refold.projections.tables.layout import Layout
from refold.streams.postgres.connection import Database
from tests.projections.sample import EPOCH

TEXTS = [
    "\\N",
    "\\\\N",
    "\\.",
    "",
    "NULL",
    "null",
    " ",
    "a,b",
    'a"b',
    "'",
    "\r",
    "\n",
    "\r\n",
    "\t",
    "\\",
    "{}",
    "é\u2028",
]
OTHERS: dict[Any, object] = {pl.Date: date(2024, 1, 1), pl.Datetime: EPOCH, pl.Decimal: Decimal(1), pl.Boolean: True}


def awkward(layout: Layout) -> pl.DataFrame:
    """A row for each text, which stands in each column of texts; and one without, where there may be none."""
    key = layout.key_names[0]
    columns: dict[str, list[Any]] = {}
    for part in layout.stored:
        if part.type.dtype == pl.String:
            columns[part.name] = [*TEXTS, "\\N without" if part.name == key else None]
        else:
            columns[part.name] = [OTHERS.get(part.type.dtype.base_type(), 1)] * (len(TEXTS) + 1)
    return pl.DataFrame(columns, schema={part.name: part.type.dtype for part in layout.stored}).sort(key)


@pytest.mark.parametrize("name", ["accounts", "balances", "by_owner"])
def test_copied_rows_are_those_that_live_workers_write(db: Database, sample: Declared, name: str) -> None:
    layout = sample.named(name)
    copied, live = (builds.create(db, layout, "f", "building") for _ in range(2))
    for build in (copied, live):
        tables.create(db, layout, build)
    merge_sql.copy(db, layout, names.table(layout, copied.schema), awkward(layout))
    merge_sql.add(db, layout, live.schema, awkward(layout))
    bytes_of = "SELECT t::text FROM {} t ORDER BY 1"
    found = [db.execute(bytes_of.format(f"{build.schema}.{name}").encode()).fetchall() for build in (copied, live)]
    assert found[0] == found[1]
    assert len(found[0]) == len(TEXTS) + 1
