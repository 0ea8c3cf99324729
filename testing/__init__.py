"""Tests of a domain without a server: `given(…).when(…).then(…)` for rules and reactors, `rows(…)` for read models.

Each call also holds what the platform relies on: functions are pure, states survive being stored, and a read model has the
same rows however the log is cut. Read `deciding` and `rows` first, then `purity` and `folding`.
"""

from contextlib import suppress

with suppress(ImportError):  # pytest explains the kit's asserts as it explains a test's own
    import pytest

    pytest.register_assert_rewrite("refold.testing.deciding", "refold.testing.rows")

from refold.testing.deciding import given, rejected
from refold.testing.happening import event_at
from refold.testing.purity import Impure
from refold.testing.rows import rows

__all__ = ["Impure", "event_at", "given", "rejected", "rows"]
