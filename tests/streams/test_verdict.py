"""Tests the verdict: from facts alone, what stands still and what to do; slow is not still, and idle is well."""

from dataclasses import replace
from typing import Any

import pytest

from refold.streams.operation.lag import Lag
from refold.streams.operation.last_seen import LastSeen
from refold.streams.operation.members import Member, client_id, unknown
from refold.streams.operation.members import _member as member_of
from refold.streams.operation.presence import Said, Trouble
from refold.streams.operation.verdict import Facts, findings, suspects, unmoved
from refold.streams.standing import STILL_S

ROLES = ("handler", "core", "models", "reactors")
WELL = Facts(ROLES, dict.fromkeys(ROLES, 1))
BEHIND = Lag("core", "retail.basket.events", 2, 10, 50, 40, STILL_S + 1)
KEY = ("core", "retail.basket.events", 2)
FOREIGN = Member("core", "rdkafka", "/10.0.0.7", None, None, (("retail.basket.events", 1),))
COPY = Member("core", "refold-refold-core@h.7", "/10.0.0.7", "h", 7, (("retail.basket.events", 1),), "m-2")
CORRUPT = "log-corrupt: retail.basket.events/0 cannot be read from offset 10 on"


def test_all_is_well_when_all_run_and_nothing_waits() -> None:
    assert findings(WELL) == []


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"running": {**WELL.running, "core": 0}}, "no-core", "no core runs: appended events are not counted"),
        ({"running": {"core": 1, "models": 1, "reactors": 2}}, "no-handler", "no handler runs: commands are acknowledged and not decided"),
        ({"running": {**WELL.running, "core": 0}, "last_seen": {"core": LastSeen("h", 7, 14.2)}}, "no-core", "no core runs: appended events are not counted, so no command gets its outcome; the last one, 7@h, was last heard of 14 s ago"),
        ({"last_seen": {"api": LastSeen("h", 9, 75.0)}}, "no-api", "no api runs: no command is taken and no read model is served over HTTP; the last one, 9@h, was last heard of 75 s ago"),
        ({"troubles": [Trouble("core", "h", 7, CORRUPT, 11.0)]}, "waits", f"core 7@h waits: {CORRUPT}"),
        ({"troubles": [Trouble("core", "h", 7, "ended: x", 9.0), Trouble("core", "h", 8, "ended: x", 2.0)]}, "ends-again-and-again", "core 7@h ended: x"),
        ({"members": [FOREIGN]}, "foreign-member", "a client that is not Refold's (rdkafka, /10.0.0.7) is in the group of the core and holds retail.basket.events/1"),
        ({"copies": [COPY]}, "foreign-member", "a client with the name of a Refold process (refold-refold-core@h.7, /10.0.0.7) that does not run is in the group of the core and holds retail.basket.events/1"),
        ({"lags": [BEHIND], "still": frozenset({KEY})}, "does-not-move", "the core does not move on retail.basket.events/2: 40 records wait"),
        ({"detached": {"retail.baskets": "sum-overflow"}}, "detached", "the read model retail.baskets is detached (sum-overflow)"),
        ({"parked": 3}, "parked", "3 streams wait at an event that cannot be applied"),
        ({"parked": 1}, "parked", "1 stream waits at an event that cannot be applied"),
        ({"lags": [replace(BEHIND, records=1)], "still": frozenset({KEY})}, "does-not-move", "the core does not move on retail.basket.events/2: 1 record waits"),
    ],
)  # fmt: skip
def test_each_fault_is_one_sentence_with_what_to_do(change: dict[str, Any], code: str, says: str) -> None:
    found = findings(replace(WELL, **change))
    assert found[0].code == code
    assert found[0].says.startswith(says)
    assert found[0].do


@pytest.mark.parametrize(
    ("says", "do"),
    [
        (CORRUPT, "docs/errors.md has the remedy of log-corrupt; the process tries again by itself (11 s now)"),
        ("refold.positions has no key: the database is being restored, or a restore was broken off", "wait; if the restore was broken off, run it again (docs/backup.md); the process tries again by itself (11 s now)"),
        ("connection refused", "the log of that process has more; the process tries again by itself (11 s now)"),
        ("ended: sum-overflow: too large", "docs/errors.md has the remedy of sum-overflow; it is started again by itself (11 s now)"),
    ],
)  # fmt: skip
def test_only_a_code_that_is_in_the_sentence_is_looked_up(says: str, do: str) -> None:
    found = findings(replace(WELL, troubles=[Trouble("core", "h", pid, says, 11.0) for pid in (7, 8)]))
    assert [finding.do for finding in found] == [do, do]


def test_an_api_that_runs_is_not_missed() -> None:
    assert findings(replace(WELL, running={**WELL.running, "api": 1}, last_seen={"api": LastSeen("h", 9, 1.0)})) == []


def test_what_is_behind_and_moves_is_slow_and_not_still() -> None:
    assert suspects([BEHIND, replace(BEHIND, part=3, seconds=1.0), replace(BEHIND, part=4, records=0)]) == {KEY}
    assert unmoved({KEY}, [BEHIND], [replace(BEHIND, position=11)]) == frozenset()
    assert unmoved({KEY}, [BEHIND], [BEHIND]) == {KEY}
    assert unmoved({KEY}, [BEHIND], [replace(BEHIND, records=0)]) == frozenset()
    assert findings(replace(WELL, lags=[BEHIND])) == []


def test_a_process_of_ours_is_known_by_what_it_calls_itself_in_its_group() -> None:
    ours = member_of("core", "refold-core", client_id("refold-core"), "/127.0.0.1", [])
    assert not ours.is_foreign
    for strange in ("rdkafka", "refold", client_id("refold-models"), "refold-refold-core@host"):
        assert member_of("core", "refold-core", strange, "/127.0.0.1", []).is_foreign


@pytest.mark.parametrize(
    ("said", "is_ours"),
    [
        (Said(frozenset({"m-2"}), frozenset()), True),
        (Said(frozenset({"m-1"}), frozenset()), False),
        (Said(frozenset(), frozenset({("h", 7)})), True),
        (Said(frozenset({"m-1"}), frozenset({("h", 8)})), False),
    ],
    ids=["it said so", "another is the one", "a process that names no member", "no such process"],
)
def test_a_member_is_ours_if_one_of_our_processes_says_that_it_is_it(said: Said, is_ours: bool) -> None:
    assert unknown([COPY, FOREIGN], said) == ([] if is_ours else [COPY])
