"""What pytest has by itself once Refold is installed: the fixture `refold_stack`, and differences of rows by their keys.

Each run of pytest imports it, of whatever project, so it imports nothing of ours before a test uses it.
"""

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from refold.testing.running import Running


@pytest.fixture(scope="session")
def refold_stack() -> Iterator["Running"]:
    """The whole platform with the domains of refold.toml, once a run; with pytest-xdist once for each of its processes."""
    from refold.testing.running import stack

    with stack() as running:
        yield running


def pytest_assertrepr_compare(op: str, left: object, right: object) -> Sequence[str] | None:
    """Say which rows are missing, too many or other, by key and column, where `rows(…) == […]` fails."""
    rows = sys.modules.get("refold.testing.row_list")
    if op != "==" or rows is None:
        return None
    told: Sequence[str] | None = rows.told(left, right)
    return told
