"""Sums of decimals equal those of whole numbers, by rows and by columns, however events are cut, at every scale."""

from decimal import Decimal, localcontext
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refold.projections.errors import SumOverflow
from refold.projections.partials.batch import batch_of, counted_events
from refold.projections.partials.by_rows import partial_columns
from refold.projections.partials.partial import merged, partial_of
from refold.projections.partials.row_batch import RowReader
from refold.projections.partials.wide_sums import Partial, writable
from refold.projections.tables.layout import layout_of
from refold.schemas.columns.decoder import ColumnDecoder
from refold.schemas.contracts import Event
from refold.streams.postgres.arrays import literal
from tests.projections.numbers import CATALOG, LEDGER, SCALES, TOTALS, chunk_of, kind_of, moved, number

MOST = 10**38 - 1
DECODER = ColumnDecoder(CATALOG, thin=True)
NUMBERS = st.integers(-MOST, MOST) | st.integers(-3, 3) | st.sampled_from([MOST, -MOST, MOST // 2, 1 - MOST])
LAYOUTS = {scale: layout_of(TOTALS[scale]) for scale in SCALES}


def by_columns(scale: int, found: list[Event], cuts: set[int]) -> list[dict[str, list[str]]]:
    """The literals of what would be written."""
    layout, ends = LAYOUTS[scale], sorted({0, len(found), *(cut for cut in cuts if cut < len(found))})
    partials = []
    for low, high in pairwise(ends):
        batch = batch_of(LEDGER.name, [chunk_of(found[low:high], low)])
        partials.append(partial_of(layout, counted_events(DECODER, [kind_of(scale)], batch, {}, []).frames))
    return _literals(scale, merged(layout, partials))


def by_rows(scale: int, found: list[Event]) -> list[dict[str, list[str]]]:
    rows = RowReader(CATALOG, LEDGER.name, [kind_of(scale)]).read([chunk_of(found)], {})
    assert rows is not None
    return _literals(scale, partial_columns(LAYOUTS[scale], rows))


def _literals(scale: int, partial: Partial) -> list[dict[str, list[str]]]:
    layout = LAYOUTS[scale]
    return [
        {part.name: _cells(literal(half[part.name])) for part in layout.stored} for half in writable(layout, partial)
    ]


def _cells(array: str) -> list[str]:
    return [cell.strip('"') for cell in array[1:-1].split(",")]


def added(halves: list[dict[str, list[str]]], scale: int) -> int:
    """The total of the one row, of one or two halves that a column can each hold."""
    with localcontext(prec=200):
        unscaled = [int(Decimal(half["total"][0]).scaleb(scale)) for half in halves]
    assert all(abs(one) <= MOST for one in unscaled)
    return sum(unscaled)


@settings(max_examples=150, deadline=None)
@given(
    scale=st.sampled_from(SCALES), found=st.lists(NUMBERS, min_size=1, max_size=12), cuts=st.sets(st.integers(1, 11))
)
def test_a_sum_is_that_of_whole_numbers_or_is_refused(scale: int, found: list[int], cuts: set[int]) -> None:
    happened = [moved(scale, unscaled) for unscaled in found]
    if abs(sum(found)) > 2 * MOST:
        with pytest.raises(SumOverflow, match=f"totals_{scale}: .* which total cannot hold"):
            by_rows(scale, happened)
        with pytest.raises(SumOverflow, match=f"totals_{scale}: .* which total cannot hold"):
            by_columns(scale, happened, cuts)
        return
    rows, columns = by_rows(scale, happened), by_columns(scale, happened, cuts)
    assert rows == columns
    assert added(rows, scale) == sum(found)
    assert rows[0]["least"] == [format(number(min(found), scale), "f")]
    assert rows[0]["most"] == [format(number(max(found), scale), "f")]
    assert rows[0]["latest"] == [format(number(found[-1], scale), "f")]
    assert rows[0]["moves"] == [str(len(found))]


@pytest.mark.parametrize("digits", [1, 5, 28])
def test_no_context_of_a_thread_changes_a_sum(digits: int) -> None:
    found = [12345678901234567123456789012345678] * 2
    happened = [moved(18, unscaled) for unscaled in found]
    with localcontext(prec=digits):
        rows, columns = by_rows(18, happened), by_columns(18, happened, {1})
    assert rows == columns
    assert rows[0]["total"] == ["24691357802469134.246913578024691356"]
