"""Explanations against a real Postgres: each row adds up, whatever waits, is void or set aside; a search that stops says so."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from refold.projections.errors import DeclarationDiffers, KeyUnfit
from refold.projections.explaining import kept, search
from refold.projections.explaining.explainer import Asked, Explainer, Explanation
from refold.projections.explaining.steps import DELETES
from refold.projections.live.models import ModelsFold
from refold.projections.tables.declared import Declared, declared_of
from refold.projections.tables.layout import Layout
from refold.streams.chunk import Chunk, Place
from refold.streams.log.history import History
from refold.streams.log.topics import category_of
from refold.streams.postgres.connection import Database
from refold.streams.postgres.set_aside import masked
from tests.conftest import settings_for
from tests.projections.conftest import core_stands
from tests.projections.naive import Happened
from tests.projections.sample import BY_OWNER, CATALOG, Paid, chunks_of, log_of, partition_of, topic_of
from tests.projections.test_models import random_log, rows
from tests.projections.test_release import cut_off


class Log:
    """A log in memory, read as Kafka's is: by place and offset, or from positions on."""

    def __init__(self, log: Sequence[Happened]) -> None:
        self.chunks: dict[Place, Chunk] = {chunk.place: chunk for chunk in chunks_of(log, {})}
        self.read: list[int] = []

    offsets = staticmethod(History.offsets)

    def values(self, category: str, places: Sequence[tuple[int, int]], _most: int | None = None) -> list[Any]:
        return [self.chunks[topic_of(category), part].values[offset] for part, offset in places]

    def close(self) -> None:
        pass

    def reader(self, _servers: str, positions: Mapping[Place, int], *, records: int) -> "Reader":
        return Reader(self, dict(positions), records)


class Reader:
    """Reads three records a poll, so that a search takes several."""

    def __init__(self, log: Log, positions: dict[Place, int], _records: int) -> None:
        self._log, self.next = log, positions

    def poll(self, _seconds: float) -> list[Chunk]:
        found = []
        for place, at in self.next.items():
            chunk = self._log.chunks[place].since(at).first(3, 1 << 30)
            if chunk.values:
                found.append(chunk)
                self.next[place] = chunk.end
                self._log.read += range(at, chunk.end)
        return found

    def close(self) -> None:
        pass


Explains = Callable[..., Explanation]


@pytest.fixture
def explaining(
    database: str, sample: Declared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Explains]:
    settings = settings_for("nowhere:1", database, tmp_path, topic_prefix="")

    def of(log: Log, declared: Declared = sample) -> Explains:
        monkeypatch.setattr(search, "LogReader", log.reader)
        explainer = Explainer(settings, CATALOG, declared, log)  # type: ignore[arg-type]  # a history in memory

        def explain(model: str, key: Sequence[Any], **more: Any) -> Explanation:
            texts = [None if part is None else str(part) for part in key]
            return explainer.explain(Asked("sample", model, texts, **{"limit": 1000, **more}))

        return explain

    return of


def folded(fold: ModelsFold, db: Database, log: Log) -> None:
    """Fold all, as after a core that has noted each stream's offsets."""
    core_stands(db, {place: chunk.end for place, chunk in log.chunks.items()})
    for (topic, part), chunk in log.chunks.items():
        for offset, value in enumerate(chunk.values):
            category = category_of("", topic)
            meta = kept.Records(CATALOG)._codec.read_event(value)[0]
            if not meta.is_event:
                continue
            db.execute(
                "INSERT INTO refold.stream_offsets (category, stream, first_version, part, offsets) VALUES (%s, %s, %s, %s, %s)",
                (category, meta.stream, meta.version, part, [offset]),
            )
    fold.stored(list(log.chunks))
    fold.apply(list(log.chunks.values()))


def key_of(layout: Layout, row: dict[str, Any]) -> list[Any]:
    return [row[name] for name in layout.key_names]


@pytest.mark.parametrize("seed", range(3))
def test_each_row_of_each_model_adds_up(
    fold: ModelsFold, db: Database, sample: Declared, explaining: Callable[..., Explains], seed: int
) -> None:
    log = Log(random_log(seed))
    folded(fold, db, log)
    explain = explaining(log)
    for layout in sample.layouts.values():
        found = rows(db, layout)
        assert found
        for row in found:
            told = explain(layout.name, key_of(layout, row))
            assert (told.complete, told.adds_up, told.is_empty) == (True, True, False)
            assert told.row == {name: value for name, value in row.items() if name not in layout.key_names}
            assert told.by_stream is (layout.name in {"accounts", "balances", "history", "opened_steps", "steps"})
            assert len(told.changes) == told.events > 0
            backwards = explain(layout.name, key_of(layout, row), newest=True)
            assert backwards.changes == told.changes[::-1]
    there = {row["account"] for row in rows(db, sample.named("accounts"))}
    for gone in {item.stream for item in random_log(seed) if item.kind.category.name == "sample.account"} - there:
        told = explain("accounts", [gone])
        assert (told.row, told.adds_up, told.is_empty) == (None, True, False), (
            "it was deleted, and by which event is said"
        )
        assert DELETES in [change.effect for _, change in told.changes]


def test_events_that_wait_or_do_not_count_are_named_and_not_added(
    fold: ModelsFold, db: Database, explaining: Callable[..., Explains]
) -> None:
    amount = Decimal("1.00")
    happened = log_of(
        [
            ("a", Paid(amount=amount, points=1, huge=1, owner="ann"), 0),
            ("a", Paid(amount=amount, points=13, huge=1, owner="ann"), 0),  # `balances` fails on it
            ("a", Paid(amount=amount, points=1, huge=1, owner="ann"), 0),
            ("c", Paid(amount=amount, points=1, huge=1, owner="ann"), 0),  # does not count
            ("e", Paid(amount=amount, points=1, huge=1, owner="ann"), 0),
            ("e", Paid(amount=amount, points=1, huge=1, owner="ann"), 0),  # cannot be read: e waits for all
            ("e", Paid(amount=amount, points=1, huge=1, owner="ann"), 0),
        ]
    )
    assert {partition_of(stream) for stream in "ace"} == {partition_of("a")}
    log = Log(happened)
    (place,) = log.chunks
    db.execute("INSERT INTO refold.voids VALUES (%s, %s, 3, 3, 'void')", place)
    values = list(log.chunks[place].values)
    values[5] = cut_off(values[5])
    log.chunks[place] = Chunk(*place, 0, values)
    core_stands(db, {place: len(values)})
    for offset, item in (one for one in enumerate(happened) if one[0] != 3):
        db.execute(
            "INSERT INTO refold.stream_offsets (category, stream, first_version, part, offsets) VALUES ('sample.account', %s, %s, %s, %s)",
            (item.stream, item.version, place[1], [offset]),
        )
    fold.stored([place])
    fold.apply([log.chunks[place]])
    explain = explaining(log)

    owner = explain("by_owner", ["ann", "2024-01-01"])
    assert (owner.adds_up, owner.events) == (True, 4)
    assert owner.row is not None
    assert owner.row["payments"] == 4
    (waiting,) = owner.unfolded.waiting
    assert (waiting.park.stream, [one.offset for one in waiting.events], waiting.unreadable) == ("e", [6], 1)
    assert [(one.record.offset, one.reason) for one in owner.unfolded.voids] == [(3, "void")]

    balance = explain("balances", ["a"])
    assert (balance.adds_up, balance.events) == (True, 1)
    (waiting,) = balance.unfolded.waiting
    assert (waiting.park.code, [one.offset for one in waiting.events]) == ("event-failed", [1, 2])
    assert explain("accounts", ["a"]).events == 3

    never = explain("accounts", ["c"])
    assert (never.row, never.events, never.is_empty) == (None, 0, False)
    assert [one.record.offset for one in never.unfolded.voids] == [3]
    assert explain("accounts", ["nobody"]).is_empty
    assert explain("by_owner", ["nobody", "2024-01-01"]).is_empty


def test_a_record_that_is_set_aside_is_named_and_not_tried_again(
    fold: ModelsFold, db: Database, explaining: Callable[..., Explains]
) -> None:
    log = Log(log_of([("a", Paid(amount=Decimal(1), points=1, huge=1, owner="ann"), 0) for _ in range(4)]))
    (place,) = log.chunks
    whole = log.chunks[place]
    db.execute("INSERT INTO refold.set_aside (grp, topic, part, record_offset) VALUES ('models', %s, %s, 2)", place)
    core_stands(db, {place: whole.end})
    db.execute(
        "INSERT INTO refold.stream_offsets (category, stream, first_version, part, offsets) VALUES ('sample.account', 'a', 1, %s, %s)",
        (place[1], [0, 1, 2, 3]),
    )
    fold.stored([place])
    fold.apply([masked(whole, {place: {2: "decode-kills"}})])
    explain = explaining(log)
    for model, key in (("accounts", ["a"]), ("by_owner", ["ann", "2024-01-01"])):
        told = explain(model, key)
        assert (told.adds_up, told.events) == (True, 2)
        (waiting,) = told.unfolded.waiting
        assert (waiting.park.code, waiting.park.first_offset, waiting.unreadable) == ("decode-kills", 2, 1)
        assert [one.offset for one in waiting.events] == [3]
        assert [record.offset for record, _ in told.changes] == [0, 1]


def test_a_search_that_stops_says_so_and_goes_on_where_it_was(
    fold: ModelsFold, db: Database, explaining: Callable[..., Explains]
) -> None:
    steps = [("a", Paid(amount=Decimal(1), points=1, huge=1, owner="ann"), 0) for _ in range(20)]
    log = Log(log_of(steps))
    folded(fold, db, log)
    explain, key = explaining(log), ["ann", "2024-01-01"]
    none = explain("by_owner", key, seconds=0.0)
    assert (none.complete, none.adds_up, none.events, none.read, none.of) == (False, None, 0, 0, 20)
    assert not none.is_empty
    whole = explain("by_owner", key)
    assert (whole.complete, whole.adds_up, whole.events) == (True, True, 20)
    again = explain("by_owner", key)
    assert (again.adds_up, again.events) == (True, 20)
    assert log.read == list(range(20)), "no record is read twice"
    page = explain("by_owner", key, limit=7)
    assert (len(page.changes), page.following) == (7, 7)
    last = explain("by_owner", key, limit=7, start=14, positions=page.positions)
    assert (len(last.changes), last.following, last.adds_up) == (6, None, None)
    assert last.changes == whole.changes[14:]


def test_a_table_of_other_code_and_a_key_that_no_column_holds_are_refused(
    fold: ModelsFold, db: Database, explaining: Callable[..., Explains]
) -> None:
    log = Log(random_log(1, 5))
    folded(fold, db, log)
    for value in ("infinity", "soon"):
        with pytest.raises(KeyUnfit, match=f"^ann,{value} is no key of by_owner: .*{value}[^\n]*$") as refused:
            explaining(log)("by_owner", ["ann", value])
        assert "\n" not in refused.value.message, "an error is one line"
    other = replace(BY_OWNER, columns=dict(list(BY_OWNER.columns.items())[:2]))
    with pytest.raises(DeclarationDiffers):
        explaining(log, declared_of([other]))("by_owner", ["ann", dt.date(2024, 1, 1)])
