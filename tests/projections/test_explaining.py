"""What explains a row adds up to it: the events that concern a key, taken one by one, give the row of the naive fold."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refold.projections.declaring.declaration import Entity, Model, Rollup, handled
from refold.projections.declaring.expressions import Field
from refold.projections.declaring.gathering import events, key
from refold.projections.explaining.kept import Kept, Records, Total, add_up
from refold.projections.explaining.search import FoundValue
from refold.projections.explaining.steps import (
    CREATED,
    DELETES,
    FAILED,
    UNCHANGED,
    Change,
    Key,
    RowRecord,
    concerns,
    steps_of,
)
from refold.projections.partials.by_rows import plan
from refold.projections.partials.of_key import rows_of_key
from refold.projections.tables.derived import value_in
from refold.projections.tables.layout import Layout, Merge, layout_of
from refold.schemas.columns import envelope as m
from refold.schemas.meta import Meta
from tests.projections.naive import Happened, naive_rows
from tests.projections.sample import (
    ACCOUNT,
    ACCOUNTS,
    BALANCES,
    BY_OWNER,
    CATALOG,
    HISTORY,
    LETTER,
    REFUSALS,
    REFUSED_STEPS,
    STEPS,
    Closed,
    Opened,
    Paid,
    Sent,
    as_today,
    log_of,
    partition_of,
    value_of,
)
from tests.projections.test_partial import LOGS, frames_of

_GATHERS = ("count", "sum", "min", "max", "first", "last", "avg", "stddev")


@st.composite
def declarations(draw: st.DrawFn) -> Model:
    """A rollup or an entity with some columns of every kind, over some events, perhaps under a condition."""
    paid, both = events(ACCOUNT, Paid), events(ACCOUNT, Paid) | events(LETTER, Sent)
    is_entity = draw(st.booleans())
    columns = {}
    for number in range(draw(st.integers(1, 4))):
        of, gather = draw(st.sampled_from([paid] if is_entity else [paid, both])), draw(st.sampled_from(_GATHERS))
        if draw(st.booleans()):
            of = of.where(Field("amount").gt(draw(st.sampled_from([Decimal(-1), Decimal("0.5")]))))
        places = {"scale": 3} if gather in {"avg", "stddev"} else {}
        columns[f"c{number}"] = of.count("x") if gather == "count" else getattr(of, gather)("amount", "x", **places)
    named: dict[str, Any] = {"name": "made", "domain": "sample", "description": "Made.", "columns": columns}
    if is_entity:
        deleted = draw(st.sampled_from([None, Closed]))
        return Entity(**named, category=ACCOUNT, key_name="account", key_doc="x", deleted_when=deleted)
    parts = draw(st.sampled_from([("owner",), ("amount",), (m.STREAM,), ("owner", m.STREAM)]))
    return Rollup(**named, key={f"k{n}": key(part, "x") for n, part in enumerate(parts)})


def found_in(log: Sequence[Happened]) -> list[FoundValue]:
    """The log's records at their places."""
    ends: dict[tuple[str, int], int] = {}
    found = []
    for item in log:
        name, part = item.kind.category.name, partition_of(item.stream)
        offset = ends.get((name, part), 0)
        ends[name, part] = offset + 1
        found.append(FoundValue(name, part, offset, value_of(item)))
    return found


def keys_of(layout: Layout, log: Sequence[Happened]) -> set[Key]:
    """Every key that an event of the log has."""
    found = set()
    for kind, frame in frames_of(log).items():
        if kind in handled(layout.model):
            found |= {key for row in frame.to_dicts() if (key := plan(layout, kind)[0](row)) is not None}
    return found


def explained(layout: Layout, key: Key, log: Sequence[Happened]) -> tuple[Any, list[tuple[RowRecord, Change]]]:
    kept = Kept(layout, key, {"sample.account": "a", "sample.letter": "l"})
    kept.searched.found = found_in(log)
    steps = steps_of(layout, key)
    changes = [(one, steps.take(one)) for one in kept.in_order(Records(CATALOG)) if concerns(layout, key, one)]
    return steps.shown(), changes


def without_key(layout: Layout, row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in layout.key_names}


@settings(max_examples=150, deadline=None)
@given(model=st.sampled_from([ACCOUNTS, BY_OWNER, HISTORY, STEPS, REFUSALS, REFUSED_STEPS]) | declarations(), log=LOGS)
def test_the_events_of_each_key_give_exactly_its_row(model: Model, log: list[Happened]) -> None:
    layout = layout_of(model)
    rows = {tuple(row[name] for name in layout.key_names): row for row in naive_rows(model, as_today(log))}
    for found_key in keys_of(layout, log) | set(rows):
        shown, changes = explained(layout, found_key, log)
        row = rows.get(found_key)
        assert shown == (None if row is None else without_key(layout, row))
        totals: dict[str, Total] = {}
        for _, change in changes:
            add_up(totals, change)
        for part in layout.columns:
            if part.merge is Merge.ADD and part.doc is not None and row is not None:
                assert (totals.get(part.name, Total()).adds or 0) == row[part.name]
        for derived in layout.derived:  # its sum and count, by which a reader can compute it
            parts = {name: totals.get(name, Total()).adds or 0 for name in derived.parts}
            assert row is None or value_in(derived, parts) == row[derived.name]


@settings(max_examples=100, deadline=None)
@given(model=st.sampled_from([ACCOUNTS, BY_OWNER, HISTORY, STEPS, REFUSALS, REFUSED_STEPS]) | declarations(), log=LOGS)
def test_a_search_by_columns_finds_the_events_that_a_reading_one_by_one_finds(
    model: Model, log: list[Happened]
) -> None:
    layout = layout_of(model)
    for found_key in keys_of(layout, log):
        for kind, frame in frames_of(log).items():
            if kind in handled(layout.model):
                key_of = plan(layout, kind)[0]
                expected = [row["m_row"] for row in frame.to_dicts() if key_of(row) == found_key]
                assert rows_of_key(layout, kind, frame, found_key).to_list() == expected


@settings(max_examples=60, deadline=None)
@given(model=st.sampled_from([ACCOUNTS, BY_OWNER, BALANCES, STEPS, REFUSALS]), log=LOGS, most=st.integers(1, 4))
def test_events_that_are_summed_up_leave_row_and_totals_as_they_are(
    model: Model, log: list[Happened], most: int
) -> None:
    layout, records = layout_of(model), Records(CATALOG)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("refold.projections.explaining.kept.MOST_LISTED", most)
        for found_key in keys_of(layout, log):
            kept = Kept(layout, found_key, {"sample.account": "a", "sample.letter": "l"})
            expected, changes = explained(layout, found_key, log)
            for one in found_in(log):
                record = records.read(one)
                if record is not None and concerns(layout, found_key, record):
                    kept.searched.found.append(one)
                    kept.sum_up(records, lambda _: False)
                    assert len(kept.searched.found) <= 2 * most
            totals = dict(kept.summed.totals)
            steps = kept.summed.steps.copied()
            for record in kept.in_order(records):
                add_up(totals, steps.take(record))
            assert steps.shown() == expected
            assert kept.summed.events + len(kept.searched.found) == len(changes)


def test_each_event_says_what_it_did_to_the_row() -> None:
    layout = layout_of(ACCOUNTS)
    log = log_of(
        [
            ("a", Opened(owner="ann"), 0),
            ("a", Paid(amount=Decimal("1.50"), points=3, huge=1), 1),
            ("a", Closed(), 2),
            ("a", Opened(owner="bob"), 3),
            ("a", Opened(owner="bob"), 4),
        ]
    )
    row, changes = explained(layout, ("a",), log)
    assert [change.effect for _, change in changes] == [CREATED, "changed", DELETES, CREATED, UNCHANGED]
    paid = changes[1][1].columns
    assert (paid["amount"].before, paid["amount"].after, paid["amount"].adds) == (0, Decimal("1.50"), Decimal("1.50"))
    assert (paid["state"].before, paid["state"].after, paid["state"].adds) == ("open", "used", None)
    assert changes[2][1].columns["amount"].after is None
    assert row == {
        "owner": "bob", "state": "open", "payments": 0, "amount": 0, "first_points": None, "last_owner": None,
        "owners": 1, "sizes": 0, "usual_owner": "bob", "usual_points": None,
    }  # fmt: skip


def test_an_event_on_which_the_authors_code_fails_is_named_and_changes_nothing() -> None:
    log = log_of(
        [
            ("a", Paid(amount=Decimal("1.00"), points=3, huge=1), 0),
            ("a", Paid(amount=Decimal("2.00"), points=13, huge=1), 1),
        ]
    )
    row, changes = explained(layout_of(BALANCES), ("a",), log)
    assert [change.effect for _, change in changes] == [CREATED, FAILED]
    assert row == {"owner": None, "amount": Decimal("1.00"), "streak": 1}


def test_a_record_of_another_row_concerns_none_of_its_columns() -> None:
    layout = layout_of(BY_OWNER)
    (item,) = log_of([("a", Sent(amount=Decimal(1), owner="ann"), 0)])
    meta = Meta(
        writer=UUID(int=1), command_id=UUID(int=2), body_hash=bytes(16), event_id=UUID(int=3), category=LETTER.name,
        stream="a", version=1, base_version=0, seq=0, index=0, count=1, command_offset=0,
        occurred_at=item.occurred_at, recorded_at=item.occurred_at,
    )  # fmt: skip
    record = RowRecord(LETTER, 0, 0, meta, "Sent", (item.event,))
    day = item.occurred_at.date()
    assert concerns(layout, ("ann", day), record)
    assert not concerns(layout, ("bob", day), record)
