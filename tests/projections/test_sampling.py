"""A sample of streams is the same everywhere, and what it says about the whole is right as often as it promises."""

import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from refold.projections.errors import BadSample
from refold.projections.replay.sampling import Estimate, Sample, estimated
from refold.schemas.columns import compiled
from refold.schemas.columns.binary_column import BinaryColumn
from tests.schemas.decoding import slices

TENTH_OF_FIFTY = ["s7", "s23", "s25", "s39"]
STREAMS = [f"s{number}" for number in range(10_000)]


def test_the_ids_alone_decide_and_a_larger_sample_holds_a_smaller_one() -> None:
    tenth, half = Sample.read("10%"), Sample.read("50%")
    assert [stream for stream in STREAMS[:50] if tenth.holds(stream)] == TENTH_OF_FIFTY
    chosen = {stream for stream in STREAMS if tenth.holds(stream)}
    assert 850 < len(chosen) < 1150
    assert all(half.holds(stream) for stream in chosen)
    assert all(Sample.read("100%").holds(stream) for stream in STREAMS)
    assert Sample.read("0.5%").share == 0.005


@pytest.mark.parametrize("held", [list, lambda keys: BinaryColumn(pl.Series(keys)), slices])
def test_the_keys_of_records_say_which_are_of_its_streams(held: Callable[[list[bytes | None]], Any]) -> None:
    if held is slices and compiled.load() is None:
        pytest.skip("needs the extra speed")
    sample = Sample.read("30%")
    keys: list[list[bytes | None]] = [
        [key.encode() for key in STREAMS[:100] for _ in range(3)],
        [None, b"s7", None],
        [],
    ]
    expected = [key is not None and sample.holds(key.decode()) for some in keys for key in some]
    assert sample.of(held(some) for some in keys if some or held is not slices).tolist() == expected


@pytest.mark.parametrize("wrong", ["0%", "0.0%", "100.1%", "10", "-1%", "1e1%", "", "%", "٣%"])
def test_what_is_no_share_of_the_streams_is_refused(wrong: str) -> None:
    with pytest.raises(BadSample, match="for example 10%"):
        Sample.read(wrong)


def test_the_whole_is_no_estimate_and_nothing_met_is_not_nothing() -> None:
    assert estimated(3, 50, 50, Sample(Decimal(100))) == Estimate(3, 3, 3)
    assert estimated(0, 0, 70, Sample(Decimal(1))) == Estimate(0, 0, 70)
    none = estimated(0, 100, 1000, Sample(Decimal(10)))
    assert (none.differing, none.low, none.high > 0) == (0, 0, True)


@pytest.mark.parametrize("differing", [2, 40, 500, 1990])
def test_the_bounds_hold_the_right_number_in_nearly_all_samples(differing: int) -> None:
    drawn, held, sample, whole = random.Random(differing), 0, Sample(Decimal(20)), 2000
    for _ in range(400):
        met = [number < differing for number in range(whole) if drawn.random() < sample.share]
        found = estimated(sum(met), len(met), whole, sample)
        assert sum(met) <= found.low <= found.differing <= found.high
        held += found.low <= differing <= found.high
    assert held >= 0.92 * 400
