"""Any chunking of any log gives the rows of the naive fold."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refold.projections.declaring.declaration import EventType, Model
from refold.projections.partials.batch import batch_of, counted_events
from refold.projections.partials.by_rows import partial_columns
from refold.projections.partials.partial import merged, partial_of
from refold.projections.tables.layout import DELETED, VERSION, Layout, layout_of
from refold.projections.tables.shown_rows import shown_in
from refold.schemas.columns.decoder import ColumnDecoder
from refold.schemas.rejections import RejectedCommand
from refold.streams.log.topics import category_of
from refold.streams.postgres.arrays import literal
from tests.projections.naive import Happened, naive_rows
from tests.projections.sample import (
    ACCOUNTS,
    BY_OWNER,
    CATALOG,
    HISTORY,
    REFUSALS,
    REFUSED_STEPS,
    STEPS,
    Closed,
    Opened,
    Paid,
    PaidTwice,
    Renamed,
    Reopened,
    Sent,
    as_today,
    chunks_of,
    log_of,
    types_of,
)

LONG = "".join(f"{number:x}" for number in range(2000))
OWNERS = st.sampled_from(
    [
        None,
        "ann",
        "eve",
        "zoë",
        "",
        "ö" * 256,
        "ö" * 257,
        LONG,
        LONG + "!",
        f"{LONG[:64]}~sha256:{'0' * 64}",
        "~sha256:",
    ]
)
MONEY = st.integers(-500, 500).map(lambda cents: Decimal(cents) / 100)
EVENTS = st.one_of(
    st.builds(Opened, owner=OWNERS),
    st.builds(
        Paid,
        amount=MONEY,
        points=st.integers(-(2**31), 2**31 - 1) | st.integers(0, 6),
        huge=st.integers(-(2**63), 2**63 - 1),
        owner=OWNERS,
    ),
    st.builds(Sent, amount=MONEY, owner=OWNERS),
    st.builds(Closed),
    st.builds(Renamed, owner=OWNERS),
    st.builds(Reopened, owner=OWNERS),
    st.builds(PaidTwice, first=MONEY, second=MONEY, points=st.integers(0, 6)),
)
REJECTIONS = st.builds(
    RejectedCommand,
    command=st.sampled_from(["Pay", "Close"]),
    code=st.sampled_from(["broke", "closed"]),
    message=st.sampled_from(["", "no", "zoë"]),
)
LOGS = st.lists(
    st.tuples(st.sampled_from(["a", "a-", "b", "B.1"]), EVENTS | REJECTIONS, st.integers(0, 4)), max_size=25
).map(log_of)
DECODER = ColumnDecoder(CATALOG, thin=True)


def frames_of(log: Sequence[Happened]) -> dict[EventType, pl.DataFrame]:
    found: dict[EventType, pl.DataFrame] = {}
    by_category: dict[str, list[Any]] = {}
    for chunk in chunks_of(log, {}):
        by_category.setdefault(category_of("", chunk.topic), []).append(chunk)
    for category, chunks in by_category.items():
        found |= counted_events(DECODER, types_of(category), batch_of(category, chunks), {}, []).frames
    return found


def shown(layout: Layout, rows: pl.DataFrame) -> list[dict[str, Any]]:
    if layout.deletes:
        rows = rows.filter(pl.col(VERSION) > pl.col(DELETED))
    return [shown_in(layout, row) for row in rows.to_dicts()]


def cut(log: Sequence[Happened], cuts: set[int]) -> list[Sequence[Happened]]:
    ends = sorted({0, len(log), *(c for c in cuts if c < len(log))})
    return [log[low:high] for low, high in pairwise(ends)]


@pytest.mark.parametrize("model", [BY_OWNER, ACCOUNTS, HISTORY, STEPS, REFUSALS, REFUSED_STEPS])
@settings(max_examples=60, deadline=None)
@given(log=LOGS)
def test_rows_and_columns_are_one_function(model: Model, log: list[Happened]) -> None:
    layout, frames = layout_of(model), frames_of(log)
    by_columns = partial_of(layout, frames)
    by_rows = partial_columns(layout, {kind: frame.to_dicts() for kind, frame in frames.items()})
    assert by_rows == {part.name: by_columns[part.name].to_list() for part in layout.stored}
    for part in layout.stored:  # as Postgres gets them: decimals with all their places
        assert literal(by_rows[part.name]) == literal(by_columns[part.name])


CLOSE = st.lists(st.tuples(st.just("a"), REJECTIONS, st.integers(0, 1)), max_size=8).map(log_of)


@settings(max_examples=40, deadline=None)
@given(log=CLOSE, cuts=st.sets(st.integers(1, 7)))
def test_rejections_of_one_version_and_time_are_ordered_by_the_log(log: list[Happened], cuts: set[int]) -> None:
    layout = layout_of(REFUSALS)
    parts = [partial_of(layout, frames_of(piece)) for piece in cut(log, cuts)]
    assert shown(layout, merged(layout, parts[::-1])) == naive_rows(REFUSALS, log)


@pytest.mark.parametrize("model", [BY_OWNER, ACCOUNTS, HISTORY, STEPS, REFUSALS, REFUSED_STEPS])
@settings(max_examples=60, deadline=None)
@given(log=LOGS, cuts=st.sets(st.integers(1, 24)), pivot=st.integers(0, 25))
def test_any_chunking_gives_the_rows_of_the_naive_fold(
    model: Model, log: list[Happened], cuts: set[int], pivot: int
) -> None:
    layout = layout_of(model)
    whole = partial_of(layout, frames_of(log))
    parts = [partial_of(layout, frames_of(piece)) for piece in cut(log, cuts)]
    left, right = merged(layout, parts[:pivot]), merged(layout, parts[pivot:])
    assert shown(layout, whole) == naive_rows(model, as_today(log))
    assert merged(layout, parts).equals(whole)
    assert merged(layout, [right, left]).equals(whole)
