"""A rebuild's COPY writes the same rows as live workers' arrays, whatever a text holds."""

from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import psycopg
import pytest

from refold.projections.partials import merge_sql
from refold.projections.partials.partial import partial_of
from refold.projections.replay.staging import Staging
from refold.projections.tables import builds, names, tables
from refold.projections.tables.declared import Declared
from refold.projections.tables.layout import Layout, Merge
from refold.projections.tables.picked import COUNT, VALUE
from refold.streams.postgres.connection import Database
from tests.projections.naive import naive_rows
from tests.projections.sample import EPOCH, Paid, log_of
from tests.projections.test_partial import frames_of

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
OTHERS: dict[Any, Any] = {pl.Date: date(2024, 1, 1), pl.Datetime: EPOCH, pl.Decimal: Decimal(1), pl.Boolean: True}


def awkward(layout: Layout) -> pl.DataFrame:
    """A row for each text, which stands in each column of texts; and one without, where there may be none."""
    key = layout.key_names[0]
    columns: dict[str, list[Any]] = {}
    for part in layout.stored:
        if part.type.dtype == pl.String and part.merge is not Merge.PICK:
            columns[part.name] = [*TEXTS, "\\N without" if part.name == key else "" if part.required else None]
        elif part.members is not None:
            some = [OTHERS.get(part.members.dtype.base_type(), 1)] if part.members.dtype != pl.String else TEXTS
            held = [sorted(some[: number % 3]) for number in range(len(TEXTS) + 1)]
            is_counted = part.merge is Merge.COUNTED
            columns[part.name] = [[{VALUE: v, COUNT: 2} for v in one] for one in held] if is_counted else held
        elif part.merge is Merge.PICK:
            columns[part.name] = [None] * (len(TEXTS) + 1)
        else:
            columns[part.name] = [OTHERS.get(part.type.dtype.base_type(), 1)] * (len(TEXTS) + 1)
    return pl.DataFrame(columns, schema={part.name: part.held for part in layout.stored}).sort(key)


@pytest.mark.parametrize("name", ["accounts", "balances", "by_owner", "steps"])
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


def test_postgres_refuses_an_event_that_is_added_twice_to_its_table(db: Database, sample: Declared) -> None:
    layout = sample.named("steps")
    build = builds.create(db, layout, "f", "building")
    tables.create(db, layout, build)
    merge_sql.add(db, layout, build.schema, awkward(layout))
    with pytest.raises(psycopg.errors.UniqueViolation), db.transaction():
        merge_sql.add(db, layout, build.schema, awkward(layout)[:1])


@pytest.mark.parametrize("flushed_after", [(), (1,), (0, 1, 2, 3), (2, 3)])
def test_a_rebuilt_event_table_has_each_event_once_over_any_batches_and_flushes(
    db: Database, sample: Declared, flushed_after: tuple[int, ...]
) -> None:
    layout = sample.named("steps")
    paid = Paid(amount=Decimal("1.25"), points=4, huge=5, owner="ann")
    log = log_of([(f"s{number % 3}", paid, number) for number in range(25)])
    build = builds.create(db, layout, "f", "building")
    tables.create(db, layout, build, with_key=False)
    staging = Staging(db, layout, build, [])
    for number in range(4):
        staging.take(partial_of(layout, frames_of(log[number * 5 : number * 5 + 5])))
        if number in flushed_after:
            staging.flush(db)
            assert staging.size == 0
    staging.flush(db)
    staging.finish(db)
    staging.take(partial_of(layout, frames_of(log[20:])))  # as a build that follows the log when its table has its key
    staging.flush(db)
    names_of = [part.name for part in layout.shown]
    query = f"SELECT {', '.join(names_of)} FROM {build.schema}.steps ORDER BY account, step"
    found = [dict(zip(names_of, row, strict=True)) for row in db.execute(query.encode()).fetchall()]
    assert found == naive_rows(layout.model, log)
    assert len(found) == 25
