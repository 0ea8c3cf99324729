"""Benchmarks keep up with the code: each function that a profile watches is where it is called."""

from pkgutil import resolve_name

import pytest

from benchmarks.profile import WATCHED


@pytest.mark.parametrize("place", sorted(WATCHED.values()))
def test_a_watched_function_is_found_where_it_is_called(place: str) -> None:
    module, _, name = place.rpartition(".")
    assert callable(getattr(resolve_name(module), name))
