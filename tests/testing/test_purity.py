"""Impure functions are caught with the reason and the line; pure ones pass with the answer that they give anyway."""

import gc
import time
from collections.abc import Callable
from typing import Any

import pytest

from refold.testing import Impure
from refold.testing.purity import pure
from tests.testing.zoo import IMPURE, PURE, State


@pytest.mark.parametrize("function", IMPURE, ids=lambda function: function.__name__)
def test_an_impure_function_is_caught(function: Callable[..., Any]) -> None:
    with pytest.raises(Impure) as caught:
        pure(function)(3, State())
    assert IMPURE[function] in str(caught.value)
    assert function.__name__ in str(caught.value)


@pytest.mark.parametrize("function", PURE, ids=lambda function: function.__name__)
def test_a_pure_function_passes(function: Callable[..., Any]) -> None:
    assert pure(function)(3, State()) == function(3, State())


def test_the_line_of_the_authors_file_is_named() -> None:
    with pytest.raises(Impure, match=r"in line \d+ of zoo\.py"):
        pure(next(function for function in IMPURE if function.__name__ == "by_a_secret"))(3, State())


def test_a_collection_that_reads_a_clock_meanwhile_is_not_the_functions() -> None:
    def timed(_phase: str, _told: dict[str, int]) -> None:
        time.perf_counter()

    def many(count: int) -> list[list[int]]:
        return [[number] for number in range(count)]

    gc.callbacks.append(timed)
    try:
        assert len(pure(many)(50_000)) == 50_000
        assert gc.isenabled()
    finally:
        gc.callbacks.remove(timed)
