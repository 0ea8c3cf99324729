"""The keys that events touch: the rows of one position, with those of the touched keys replaced, are the rows of a later one."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refold.projections.declaring.declaration import Entity, Model
from refold.projections.partials.batch import batch_of, by_category, counted_events
from refold.projections.partials.touched import Key, touched
from refold.projections.tables.layout import layout_of
from tests.projections.naive import Happened, naive_rows
from tests.projections.sample import (
    ACCOUNTS,
    BALANCES,
    BY_OWNER,
    REFUSALS,
    REFUSED_STEPS,
    STEPS,
    as_today,
    chunks_of,
    log_of,
    types_of,
)
from tests.projections.test_partial import DECODER, LOGS, cut

Rows = dict[Key, dict[str, Any]]


def rows_at(model: Model, log: Sequence[Happened]) -> Rows:
    layout = layout_of(model)
    return {tuple(row[name] for name in layout.key_names): row for row in naive_rows(model, as_today(log))}


def keys_touched(model: Model, log: Sequence[Happened]) -> dict[tuple[str, int, int], set[Key]]:
    """By topic, partition and offset."""
    layout, found = layout_of(model), dict[tuple[str, int, int], set[Key]]()
    for category, chunks in by_category("", chunks_of(log, {})).items():
        batch = batch_of(category, chunks)
        counted = counted_events(DECODER, types_of(category), batch, {}, [])
        for one in touched(layout, batch, counted.frames):
            found.setdefault((chunks[0].topic, one.part, one.offset), set()).add(one.key)
    return found


@pytest.mark.parametrize("model", [BY_OWNER, ACCOUNTS, STEPS, REFUSALS, REFUSED_STEPS])
@settings(max_examples=60, deadline=None)
@given(log=LOGS, cuts=st.sets(st.integers(1, 24)))
def test_changes_folded_over_any_chunking_give_the_rows_of_the_naive_fold(
    model: Model, log: list[Happened], cuts: set[int]
) -> None:
    rows: Rows = {}
    read = 0
    for piece in cut(log, cuts):
        read += len(piece)
        now = rows_at(model, log[:read])
        for key in {key for keys in keys_touched(model, piece).values() for key in keys}:
            rows.pop(key, None)
            if key in now:
                rows[key] = now[key]
        assert rows == now


@settings(max_examples=60, deadline=None)
@given(log=LOGS)
def test_an_evolved_row_is_touched_by_every_event_of_its_stream(log: list[Happened]) -> None:
    wanted = {(one.stream,) for one in log if one.kind.category.name == "sample.account" and not one.kind.is_rejection}
    assert {key for keys in keys_touched(BALANCES, log).values() for key in keys} == wanted


@settings(max_examples=60, deadline=None)
@given(log=LOGS)
def test_each_key_is_told_at_the_offset_of_its_event(log: list[Happened]) -> None:
    at: dict[tuple[str, int], int] = {}
    wanted: dict[tuple[str, int, int], set[Key]] = {}
    for item in log:
        place = chunks_of([item], {})[0].place
        offset = at.setdefault(place, 0)
        at[place] += 1
        keys = keys_touched(BY_OWNER, [item])
        for found in keys.values():
            wanted[*place, offset] = found
    assert keys_touched(BY_OWNER, log) == wanted


def test_a_batch_without_events_of_the_model_touches_nothing() -> None:
    assert isinstance(ACCOUNTS, Entity)
    assert keys_touched(ACCOUNTS, log_of([])) == {}
