"""Columns as lists: equal to what Polars gives, places and all."""

from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refold.schemas.columns.values import values_of


@pytest.mark.parametrize(("precision", "scale"), [(12, 2), (18, 18), (18, 0), (19, 2), (38, 5)])
@given(unscaled=st.lists(st.one_of(st.none(), st.integers(-(10**11), 10**11))))
def test_amounts_keep_sign_places_and_gaps(precision: int, scale: int, unscaled: list[int | None]) -> None:
    held = [None if n is None else Decimal(n).scaleb(-scale) for n in unscaled]
    column = pl.Series("n", held, dtype=pl.Decimal(precision, scale))
    found = values_of(column)
    assert [str(value) for value in found] == [str(value) for value in column.to_list()] == [str(v) for v in held]


def test_what_is_no_amount_is_what_polars_gives() -> None:
    for column in (pl.Series(["a", None]), pl.Series([1, 2]), pl.Series([True, None]), pl.Series([b"x"])):
        assert values_of(column) == column.to_list()
