"""Eight clients, a seeded plan of kills and pauses, and a checker that one history of each stream must satisfy."""

import os
import random
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest

from tests.e2e import history, results
from tests.e2e.agreement import assert_agreement
from tests.e2e.audited import assert_audit_finds_nothing
from tests.e2e.clients import Crowd, counted
from tests.e2e.faults import Faults
from tests.e2e.history import Op, Outcome, anomalies
from tests.e2e.oracle import assert_tables_are_the_fold_of_the_log
from tests.e2e.site import Site
from tests.e2e.tables import until

FAULTS = int(os.environ.get("CHAOS_FAULTS", "5"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
CLIENTS = 8
ALONE = 0.6
"""Share of the faults whose end is waited for; the next comes on top of the others."""


@pytest.mark.e2e
@pytest.mark.timeout(400 + 40 * FAULTS)
def test_chaos(tmp_path: Path) -> None:
    """No acknowledged command lost, none applied twice, appends with an expected version linearizable, models equal."""
    tmp_path.chmod(0o755)
    rng = random.Random(SEED)
    with Site(tmp_path / "data") as site:
        site.stack.wait_until_ready()
        faults, waits = Faults(site, rng), list[float]()
        with Crowd(site.stack.settings, CLIENTS, SEED) as crowd:
            for _ in range(FAULTS):
                time.sleep(rng.uniform(1, 4))
                faults.one()
                if rng.random() < ALONE:
                    waits.append(until_answered(crowd))
            until_answered(crowd)
        history.write(crowd.seen, tmp_path / "history.jsonl")
        assert site.stack.ended() is None, "a worker gave up for good"
        assert_agreement(site.settings, crowd.seen)
        found = assert_tables_are_the_fold_of_the_log(site.settings)
        assert_audit_finds_nothing(site.settings)
    results.note("chaos", seed=SEED, faults=FAULTS, **faults.done, **counted(crowd.seen), records=found.records)
    if waits:
        results.note("first answer after a fault", median_s=round(median(waits), 1), most_s=round(max(waits), 1))


def until_answered(crowd: Crowd) -> float:
    """Seconds until commands take effect again, all processes being up or on their way."""
    began, before = time.monotonic(), crowd.accepted
    until(lambda: crowd.accepted > before, 180, "no command takes effect any more")
    return time.monotonic() - began


def op(
    key: str, stream: str, invoked: float, completed: float, *, base: int, expected: int | None = None, code: str = ""
) -> Op:
    """An operation for the checker's own tests: one event, or a refusal."""
    status = 412 if code else 201
    return Op(
        1,
        key,
        "b",
        stream,
        expected,
        invoked,
        completed,
        "fail" if code else "ok",
        status,
        base + (not code),
        base,
        code,
    )


@pytest.mark.parametrize(
    ("seen", "tables", "version", "complaint"),
    [
        ([op("a", "s", 0, 1, base=0)], {}, 0, "lost"),
        ([op("a", "s", 0, 1, base=0)], {"a": Outcome(None, 1, 1)}, 2, "told version 1"),
        ([op("a", "s", 0, 1, base=1, expected=0)], {"a": Outcome(None, 1, 1)}, 2, "expected version 0"),
        ([op("a", "s", 0, 1, base=0), op("b", "s", 0, 1, base=0)], {"a": Outcome(None, 0, 1), "b": Outcome(None, 0, 1)}, 1, "applied at 0"),
        ([op("a", "s", 0, 1, base=0), op("a", "s", 2, 3, base=4)], {"a": Outcome(None, 0, 1)}, 1, "before"),
        ([op("a", "s", 0, 1, base=1), op("b", "s", 2, 3, base=0)], {"a": Outcome(None, 1, 1), "b": Outcome(None, 0, 1)}, 2, "earlier version"),
        ([op("a", "s", 0, 1, base=0), op("b", "s", 2, 3, base=1, expected=1, code="version-conflict")], {"a": Outcome(None, 0, 1), "b": Outcome("version-conflict", 1, 0)}, 1, "stood at 1"),
        ([op("a", "s", 0, 1, base=0)], {"a": Outcome(None, 0, 1)}, 2, "by outcomes"),
        ([op("a", "s", 0, 1, base=0), replace(op("a", "s", 2, 3, base=0), body="other")], {"a": Outcome(None, 0, 1)}, 1, "two bodies"),
    ],
)  # fmt: skip
def test_the_checker_can_fail(seen: list[Op], tables: dict[str, Outcome], version: int, complaint: str) -> None:
    """Each kind of anomaly is named; a checker that never failed proves nothing."""
    found = anomalies(seen, {("s", key): outcome for key, outcome in tables.items()}, {"s": version})
    assert any(complaint in text for text in found), found


def test_the_checker_passes_a_good_history() -> None:
    """Concurrent calls, a conflict that was one, and an unknown end are all fine."""
    seen = [
        op("a", "s", 0, 1, base=0),
        op("b", "s", 2, 5, base=1, expected=1),
        op("c", "s", 2, 5, base=2, expected=1, code="version-conflict"),
        Op(1, "d", "b", "s", None, 6, float("inf"), "info"),
    ]
    tables = {"a": Outcome(None, 0, 1), "b": Outcome(None, 1, 1), "c": Outcome("version-conflict", 2, 0)}
    assert anomalies(seen, {("s", key): outcome for key, outcome in tables.items()}, {"s": 2}) == []
