"""A client that follows changes has, at each id, exactly the rows of that position: API, models and client are killed meanwhile."""

import os
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import Running
from tests.e2e.following import Follower, Key, Row, StoreDays, plain
from tests.e2e.results import note
from tests.e2e.tables import number, until
from tests.e2e.test_kills import kill_and_wait

KILLS = int(os.environ.get("CHANGES_KILLS", "2"))
VICTIMS = ("api", "models", "core")
KEY = ("store_id", "day")
Shown = Callable[[Row], bool]
FILTERS: dict[str, Shown] = {
    "since=beginning": lambda _: True,
    "since=beginning&store_id=eq.3": lambda row: bool(row["store_id"] == 3),
    "since=beginning&largest_basket=is.null": lambda row: row["largest_basket"] is None,
}


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_changes_go_on_without_hole_or_double_whatever_is_killed(running: Running) -> None:
    stack, chance = running.stack, random.Random(KILLS)
    path = f"{stack.api_url}/v1/retail/store_daily/changes"
    followers = {query: Follower(f"{path}?{query}", KEY, breaks=0.02) for query in FILTERS}
    for one in followers.values():
        one.start()
    with running.under_load(60):
        for kill in range(KILLS):
            time.sleep(1 + chance.random())
            kill_and_wait(stack, VICTIMS[kill % len(VICTIMS)])
        time.sleep(2)
    until(
        lambda: number(stack.settings, "SELECT sum(baskets_paid)::int FROM retail.store_daily") == running.load.sent,
        90,
        "the models stand",
    )
    last = followers["since=beginning"]
    until(
        lambda: sum(row["baskets_paid"] for row in dict(last.rows).values()) == running.load.sent,
        60,
        "changes are missing",
    )
    until(
        lambda: all(one.place == last.place for one in followers.values()), 60, "the streams stand at different places"
    )
    for one in followers.values():
        one.stop()
    checked = {query: exact(running, one, FILTERS[query]) for query, one in followers.items()}
    assert all(not one.resets for one in followers.values())
    note(
        "changes",
        kills=KILLS,
        ids=sum(checked.values()),
        connections=sum(one.connections for one in followers.values()),
    )


def exact(running: Running, follower: Follower, shown: Shown) -> int:
    """Judge each id; returns how many there were. Within a batch a key comes once, and only if an event touched it."""
    truth, before = StoreDays(running.settings), dict[Key, Any]()
    for place, rows, told in follower.history:
        touched = truth.upto(place)
        now = {key: dict(row) for key, row in truth.rows.items() if shown(row)}
        assert plain(rows) == now, place
        assert len(told) == len(set(told)), "a key is there twice"
        assert set(told) <= touched | (set(now) if not before else set()), "a row was sent that no event touched"
        before = rows or before
    return len(follower.history)
