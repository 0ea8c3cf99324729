"""A fold by `evolve` gives the same rows, parks and counts of waiting records however the log is cut."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal, getcontext
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refold.projections.declaring.declaration import Entity, Evolve
from refold.projections.partials.author_fold import HeldRow
from refold.projections.partials.batch import Park, batch_of, counted_events
from refold.projections.partials.evolve import EvolveTarget, evolve_batch, held_of, rows_of
from refold.projections.tables.layout import DELETED, VERSION, layout_of
from refold.schemas.contracts import Event
from tests.projections.naive import Happened
from tests.projections.sample import (
    ACCOUNT,
    BALANCES,
    Balance,
    Closed,
    Paid,
    PaidTwice,
    Sent,
    as_today,
    chunks_of,
    fold_balance,
    log_of,
    partition_of,
    types_of,
)
from tests.projections.test_partial import DECODER, EVENTS, cut

REFUSED = Paid(amount=Decimal("1.00"), points=13, huge=1)
REFUSED_TWICE = PaidTwice(first=Decimal("1.00"), second=Decimal("2.00"), points=12)
"""The second of its two payments is one that `fold_balance` refuses."""
LOGS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        EVENTS.filter(lambda event: not isinstance(event, Sent)) | st.sampled_from([REFUSED, REFUSED_TWICE, Closed()]),
        st.integers(0, 4),
    ),
    min_size=1,
    max_size=25,
).map(log_of)
Rows = dict[str, dict[str, Any]]


class Table:
    """The rows, parks and waiting records of one build, written after each piece of the log."""

    def __init__(self, model: Entity, *, tells: bool = False) -> None:
        self._layout = layout_of(model)
        self._stored: dict[str, Mapping[str, Any]] = {}
        self._starts: dict[tuple[str, int], int] = {}
        self.parks: list[Park] = []
        self.waiting = Counter[str]()
        self.told: list[tuple[int, int]] = []
        self._target = EvolveTarget(self._layout, 1, self._tell if tells else None)

    def fold(self, log: Sequence[Happened]) -> None:
        batch = batch_of(ACCOUNT.name, chunks_of(log, self._starts))
        counted = counted_events(DECODER, types_of(ACCOUNT.name), batch, {}, [])
        assert counted.parks == []
        frames = {kind: frame for kind, frame in counted.frames.items() if frame.height}
        if frames:
            found = evolve_batch(self._target, batch, frames, self.parks, self._load)
            self._stored |= {row["account"]: row for row in rows_of(self._layout, found.rows).to_dicts()}
            self.parks += found.parks
            self.waiting.update(found.waiting)

    @property
    def rows(self) -> Rows:
        """The rows that analysts see."""
        names = [part.name for part in self._layout.shown]
        shown = {stream: row for stream, row in self._stored.items() if row[VERSION] > row.get(DELETED, 0)}
        return {stream: {name: row[name] for name in names} for stream, row in sorted(shown.items())}

    def _tell(self, part: int, offset: int) -> None:
        self.told.append((part, offset))

    def _load(self, streams: list[str]) -> dict[str, HeldRow]:
        return {stream: held_of(self._layout, self._stored[stream]) for stream in streams if stream in self._stored}


def folded(model: Entity, *pieces: Sequence[Happened]) -> Table:
    table = Table(model)
    for piece in pieces:
        table.fold(piece)
    return table


def naive(log: Sequence[Happened]) -> tuple[Rows, dict[str, tuple[int, int]], Counter[str]]:
    """The visible rows, the places of parked records, and the waiting records, by a loop over the log."""
    states: dict[str, Balance | None] = {}
    parked: dict[str, tuple[int, int]] = {}
    waiting, offsets = Counter[str](), Counter[int]()
    for item in log:
        part = partition_of(item.stream)
        offset = offsets[part]
        offsets[part] += 1
        if item.stream not in parked:
            try:
                states[item.stream] = _after(states.get(item.stream), item)
            except ValueError:
                parked[item.stream] = part, offset
        waiting.update([item.stream] if item.stream in parked else [])
    rows = {s: {"account": s} | msgspec.structs.asdict(state) for s, state in states.items() if state is not None}
    return dict(sorted(rows.items())), parked, waiting


def _after(state: Balance | None, item: Happened) -> Balance | None:
    for today in as_today([item]):
        state = None if isinstance(today.event, Closed) else fold_balance(state, today.event)
    return state


@settings(max_examples=80, deadline=None)
@given(log=LOGS, cuts=st.sets(st.integers(1, 24)))
def test_rows_parks_and_waiting_records_are_those_of_a_loop_over_the_log(log: list[Happened], cuts: set[int]) -> None:
    for pieces in ([log], cut(log, cuts), [[item] for item in log]):
        found, (rows, parked, waiting) = folded(BALANCES, *pieces), naive(log)
        assert found.rows == rows
        assert {park.stream: (park.part, park.first_offset) for park in found.parks} == parked
        assert found.waiting == waiting
        assert all(park.code == "event-failed" and "thirteen" in park.reason for park in found.parks)


@settings(max_examples=40, deadline=None)
@given(log=LOGS)
def test_a_fold_tells_of_each_record_that_evolve_meets_once_and_of_no_other(log: list[Happened]) -> None:
    table = Table(BALANCES, tells=True)
    table.fold(log)
    _, parked, _ = naive(log)
    offsets, expected = Counter[int](), []
    for item in log:
        place = partition_of(item.stream), offsets[partition_of(item.stream)]
        offsets[place[0]] += 1
        if item.stream not in parked or place <= parked[item.stream]:
            expected.append(place)
    assert sorted(table.told) == sorted(expected)


def third(state: Balance | None, _event: Event) -> Balance:
    """Leaves a context behind that the next event must not meet."""
    told = str(Decimal(10) / 3)
    getcontext().prec = 5
    return Balance(owner=told, amount=Decimal(1), streak=0 if state is None else state.streak + 1)


def test_each_event_meets_a_context_of_its_own_and_a_state_at_its_columns_scale() -> None:
    model = replace(BALANCES, evolve=Evolve(Balance, third, {"owner": "Owner.", "amount": "Sum.", "streak": "Number."}))
    before = getcontext().prec
    log = log_of([("a", Paid(amount=Decimal(1), points=1, huge=1), 1)] * 3)
    (row,) = folded(model, log).rows.values()
    assert row["owner"] == "3." + "3" * 159, "160 digits, also for the last event"
    assert str(row["amount"]) == "1.00"
    assert row["streak"] == 2
    assert getcontext().prec == before


@pytest.mark.parametrize("value", ["a\0b", "\ud800", 5], ids=["a NUL", "a lone surrogate", "no text"])
def test_a_state_that_a_column_cannot_hold_parks_its_event_although_the_next_one_would_mend_it(value: Any) -> None:
    def once(state: Balance | None, _event: Event) -> Balance:
        return Balance(
            owner=value if state is not None and state.streak == 1 else "fine",
            streak=(state.streak + 1 if state else 1),
        )

    model = replace(BALANCES, evolve=Evolve(Balance, once, {"owner": "Owner.", "amount": "Sum.", "streak": "Number."}))
    log = log_of([("a", Paid(amount=Decimal(1), points=1, huge=1), 1)] * 4)
    for pieces in ([log], [log[:1], log[1:]], [[item] for item in log]):
        found = folded(model, *pieces)
        assert [(park.stream, park.first_offset) for park in found.parks] == [("a", 1)]
        assert found.waiting == {"a": 3}
        assert found.rows["a"]["streak"] == 1
