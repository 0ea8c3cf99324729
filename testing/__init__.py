"""Tests of a domain: `given(…).when(…).then(…)` for rules and reactors, `rows(…)` for read models, `stack(…)` for everything together.

The first two need no server. Each call also holds what the platform relies on: functions are pure, states survive being stored, and a read model has the
same rows however the log is cut. Read `deciding` and `rows` first, then `purity` and `folding`.
"""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

with suppress(ImportError):  # pytest explains the kit's asserts as it explains a test's own
    import pytest

    pytest.register_assert_rewrite("refold.testing.deciding", "refold.testing.rows")

from refold.testing.deciding import given, rejected
from refold.testing.happening import event_at, rejected_at
from refold.testing.purity import Impure
from refold.testing.rows import rows

if TYPE_CHECKING:
    from refold.testing.running import Running, stack

__all__ = ["Impure", "Running", "event_at", "given", "rejected", "rejected_at", "rows", "stack"]


def __getattr__(name: str) -> Any:
    """Import the whole platform only for a test that runs it."""
    if name in {"Running", "stack"}:
        from refold.testing import running

        return getattr(running, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
