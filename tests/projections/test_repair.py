"""Repairs of random rows of random models: the rows of the log to the byte, and no other row written, however the log is read."""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from psycopg import sql

from refold.projections.errors import CannotRepair
from refold.projections.live.models import ModelsFold
from refold.projections.replay import repair as repairing
from refold.projections.replay import source, stream_refold
from refold.projections.replay.building import Site
from refold.projections.replay.repair import Repaired, repair
from refold.projections.replay.wanted_keys import Wanted
from refold.projections.tables import builds
from refold.projections.tables.builds import Build
from refold.projections.tables.declared import Declared
from refold.projections.tables.layout import Layout
from refold.projections.tables.names import table
from refold.schemas.columns import compiled
from refold.streams.chunk import Place
from refold.streams.postgres.connection import Database, connect
from refold.streams.postgres.set_aside import SetAside
from tests.conftest import settings_for
from tests.projections.sample import CATALOG, Paid, log_of, partition_of, topic_of
from tests.projections.test_explainer import Log, folded
from tests.projections.test_models import bytes_of, random_log
from tests.schemas.decoding import slices

ONE = Decimal("1.00")


class Places:
    """Reads single records of a log in memory, two at a time."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def read(self, wanted: Mapping[Place, Sequence[int]]) -> Iterator[tuple[Place, list[tuple[int, Any]]]]:
        for place, offsets in wanted.items():
            for first in range(0, len(offsets), 2):
                values = self._log.chunks[place].values
                yield place, [(offset, values[offset]) for offset in offsets[first : first + 2]]

    def close(self) -> None:
        pass


class Repairs:
    """Repairs rows of the sample's models, from a log in memory."""

    def __init__(self, settings: Any, db: Database, reads: Database, found: Declared) -> None:
        self._found = found
        domains: Any = SimpleNamespace(catalog=CATALOG)
        self._site = Site(settings, domains, found, db, reads, ExitStack())

    def __call__(self, model: str, keys: Sequence[Sequence[Any]], *, execute: bool = True) -> Repaired:
        wanted = Wanted([[None if part is None else str(part) for part in key] for key in keys])
        return repair(self._site, self._found.named(model), wanted, lambda _done, _of: None, execute=execute)


@pytest.fixture
def repairs(db: Database, database: str, sample: Declared, tmp_path: Path) -> Iterator[Repairs]:
    settings = settings_for("nowhere:1", database, tmp_path, topic_prefix="", partitions=2)
    with connect(database, application_name="reads") as reads:
        yield Repairs(settings, db, reads, sample)


def read_from(log: Log, monkeypatch: pytest.MonkeyPatch, *, by_place: bool, sliced: bool = False) -> None:
    """Let repairs read this log; single streams at their places, or all of it. `sliced`: as compiled loops find its records."""
    if sliced and compiled.load() is not None:
        log.chunks = {place: replace(chunk, values=slices(chunk.values)) for place, chunk in log.chunks.items()}

    def reader(servers: str, positions: Mapping[Place, int], *, records: int, **_: Any) -> Any:
        there = {place: at for place, at in positions.items() if place in log.chunks}
        return log.reader(servers, there, records=records)

    monkeypatch.setattr(source, "LogReader", reader)
    monkeypatch.setattr(stream_refold, "PlaceReader", lambda _servers, _topics: Places(log))
    monkeypatch.setattr(repairing, "_MOST_SHARE", 1.0 if by_place else -1.0)
    monkeypatch.setattr(repairing, "_FEW", 0)


def live(db: Database, layout: Layout) -> sql.Identifier:
    return table(layout, live_build(db, layout).schema)


def live_build(db: Database, layout: Layout) -> Build:
    (found,) = [one for one in builds.builds(db) if (one.model, one.status) == (layout.name, "serving")]
    return found


def keys_in(db: Database, layout: Layout) -> list[tuple[Any, ...]]:
    names = sql.SQL(", ").join(map(sql.Identifier, layout.key_names))
    return db.execute(sql.SQL("SELECT {} FROM {} ORDER BY {}").format(names, live(db, layout), names)).fetchall()


def written(db: Database, layout: Layout) -> dict[tuple[Any, ...], tuple[str, str]]:
    """The transaction and place of each row, by key."""
    names = sql.SQL(", ").join(map(sql.Identifier, layout.key_names))
    rows = db.execute(sql.SQL("SELECT xmin::text, ctid::text, {} FROM {}").format(names, live(db, layout)))
    return {row[2:]: row[:2] for row in rows.fetchall()}


def harm(db: Database, layout: Layout, key: tuple[Any, ...], how: int) -> None:
    """Delete a row, give it one more value beside it, or change one of its columns, hidden ones too."""
    same = sql.SQL(" AND ").join(
        sql.SQL("{} IS NOT DISTINCT FROM %s::" + part.type.sql).format(sql.Identifier(part.name))
        for part in layout.keys
    )
    if how == 0:
        db.execute(sql.SQL("DELETE FROM {} WHERE {}").format(live(db, layout), same), key)
        return
    if how == 1 and layout.sides:
        side = layout.sides[0]
        insert = sql.SQL("INSERT INTO {} VALUES ({}, '987654.32')")
        casts = sql.SQL(", ").join(sql.SQL("%s::" + part.type.sql) for part in layout.keys)
        db.execute(insert.format(table(side, live_build(db, layout).schema), casts), key)
        return
    columns = [part for part in layout.columns if part.type.sql in ("bigint", "text") or part.is_wide]
    part = columns[how % len(columns)]
    value = "1 + coalesce({0}, 0)" if part.type.sql != "text" else "coalesce({0}, '') || 'x'"
    changed = sql.SQL("UPDATE {} SET {} = " + value.replace("{0}", "{}") + " WHERE {}")
    name = sql.Identifier(part.name)
    db.execute(changed.format(live(db, layout), name, name, same), key)


CASES = [(model, seed) for model in ("accounts", "balances", "by_owner") for seed in range(4)]


@pytest.mark.parametrize("case", [*CASES, ("refusals", 1)])
def test_random_rows_are_the_logs_to_the_byte_and_no_other_row_is_written(
    fold: ModelsFold,
    db: Database,
    sample: Declared,
    repairs: Repairs,
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[str, int],
) -> None:
    model, seed = case
    log, chance, layout = Log(random_log(seed)), random.Random(seed), sample.named(model)
    folded(fold, db, log)
    read_from(log, monkeypatch, by_place=bool(seed % 2), sliced=seed > 1)
    right = bytes_of(db, layout)
    there = keys_in(db, layout)
    harmed = chance.sample(there, min(len(there), 4))
    for key in harmed:
        harm(db, layout, key, chance.choice([0, 1, 1, chance.randint(0, 20)]))
    before, damaged = written(db, layout), bytes_of(db, layout)
    asked = [*harmed, *chance.sample(there, 1), ["nobody", *["2024-01-01"] * (len(layout.keys) - 1)]]
    plan = repairs(model, asked, execute=False)
    assert (bytes_of(db, layout), plan.differing, plan.by_stream) == (
        damaged,
        len(harmed),
        bool(seed % 2) and layout.by_stream,
    )
    done = repairs(model, asked)
    assert (done.rows, done.left_out, bytes_of(db, layout)) == (plan.rows, [], right)
    after = written(db, layout)
    assert {key for key in after if after[key] != before.get(key)} == set(harmed)
    assert repairs(model, there).differing == 0
    assert {one.status for one in builds.builds(db)} == {"serving"}


def test_rows_that_only_the_table_has_are_deleted_also_under_a_null_key(
    fold: ModelsFold, db: Database, sample: Declared, repairs: Repairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, layout = Log(random_log(1)), sample.named("by_owner")
    folded(fold, db, log)
    read_from(log, monkeypatch, by_place=False)
    right = bytes_of(db, layout)
    for owner in ("NULL", "'new'"):
        statement = (
            "INSERT INTO {} (owner, day, payments, amount, large_points, huge, large_count, amounts, streams, _values_1, _values_2)"
            " VALUES (" + owner
        )
        db.execute(sql.SQL(statement + ", '2001-01-01', 1, 1, 1, 1, 1, 1, 1, 1, 1)").format(live(db, layout)))
    done = repairs("by_owner", [(None, "2001-01-01"), ("new", "2001-01-01"), (None, "2001-01-02")])
    assert (done.extra, done.keys, bytes_of(db, layout)) == (2, 3, right)


def test_a_row_that_waits_in_the_live_table_alone_is_left_until_its_release(
    fold: ModelsFold, db: Database, sample: Declared, repairs: Repairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    thirteen = Paid(amount=ONE, points=13, huge=1)
    steps = [(stream, Paid(amount=ONE, points=1, huge=1), 0) for stream in ("a", "b")]
    log, layout = Log(log_of([*steps, ("a", thirteen, 1), *steps])), sample.named("balances")
    folded(fold, db, log)
    read_from(log, monkeypatch, by_place=True)
    right = bytes_of(db, layout)
    for stream in ("a", "b"):
        harm(db, layout, (stream,), 1)
    done = repairs("balances", [("a",), ("b",)])
    assert (done.changed, done.left_out, bytes_of(db, layout)) == (2, [], right), "as far as the live table folded it"

    db.execute("UPDATE refold.parked SET first_offset = 0 WHERE stream = 'a'")
    harm(db, layout, ("a",), 1)
    harm(db, layout, ("b",), 1)
    done = repairs("balances", [("a",), ("b",)])
    assert ([one.key for one in done.left_out], done.changed) == ([{"account": "a"}], 1)
    assert "refold replay release" in done.left_out[0].why
    assert bytes_of(db, layout)[1:] == right[1:]


@pytest.mark.parametrize("model", ["accounts", "by_owner"])
def test_an_event_that_only_live_code_could_read_takes_nothing_from_a_row(
    fold: ModelsFold, db: Database, sample: Declared, repairs: Repairs, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    paid = Paid(amount=ONE, points=1, huge=1, owner="ann")
    log, layout = Log(log_of([("a", paid, 0), ("b", paid, 0), ("a", paid, 1)])), sample.named(model)
    folded(fold, db, log)
    before = bytes_of(db, layout)
    place = topic_of("sample.account"), partition_of("a")
    values: Any = log.chunks[place].values
    values[-1] = SetAside.of(values[-1], "of newer code")
    read_from(log, monkeypatch, by_place=False)
    if model == "accounts":
        done = repairs(model, [("a",), ("b",)])
        assert ([one.key for one in done.left_out], done.differing) == ([{"account": "a"}], 0)
    else:
        with pytest.raises(CannotRepair, match="cannot read an event that the live rows hold: a"):
            repairs(model, [("ann", "2024-01-01")])
    assert bytes_of(db, layout) == before
    assert db.execute("SELECT count(*) FROM refold.parked").fetchone() == (0,)
