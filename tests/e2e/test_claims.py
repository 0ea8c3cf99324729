"""Work goes on despite claims that nobody keeps, equal epochs, and two handlers that both believe they own all."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest

from refold.retail.schemas.basket import BasketOpened
from refold.schemas.codec import read_envelope
from refold.schemas.meta import RULES, Claim, Meta
from refold.streams.handler.decide import utc_now
from refold.streams.log.topics import events_topic
from refold.streams.settings import Settings
from tests.e2e import results
from tests.e2e.conftest import Running
from tests.e2e.load import expected
from tests.e2e.oracle import assert_tables_are_the_fold_of_the_log, read_topic
from tests.e2e.site import another
from tests.e2e.tables import assert_equal_totals, decided, query, until
from tests.streams.broker import append, claimed, encoded
from tests.streams.logs import record

BASKET = "retail.basket"
BELIEVERS_S = float(os.environ.get("BELIEVERS_S", "10"))


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_a_claim_by_a_process_that_dies_at_once(running: Running) -> None:
    """H1: the running handler learns that its claim is passed, and claims again, within seconds."""
    with running.under_load(40):
        progress(running)
        for _ in range(2):
            ours = {part: claim_of_nobody(epoch) for part, epoch in epochs(running.settings).items()}
            for part, claim in ours.items():
                append(running.settings, BASKET, part, [claimed(claim)])
            until(
                lambda: all(epochs(running.settings)[part] > claim.epoch for part, claim in ours.items()),  # noqa: B023 - called before the loop goes on
                60,
                "nobody claimed again",
            )
            progress(running)
    assert_equal_totals(running.settings, running.load.sent)


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_two_starters_of_one_epoch_and_the_winner_dies_inside_a_group(running: Running) -> None:
    """H2: the loser's claim lies behind the open group, which no fold may pass; it waits for the epoch, and claims again."""
    settings, lost = running.settings, {}
    with running.under_load(40):
        progress(running)
        with stopped(running.stack.pids()["core"]):
            for part, epoch in epochs(settings).items():
                lost[part] = claim_of_nobody(epoch)
                opening = record("", 0, f"half {part} {lost[part].writer}", f"half-{part}", 0, count=2)
                half = encoded(with_writer(opening, lost[part]), BasketOpened(store_id=1, household_id=None))
                append(settings, BASKET, part, [claimed(lost[part]), half])
            os.kill(running.stack.pids()["handler"], signal.SIGKILL)
            until(
                lambda: set(twice_claimed(settings)) >= {(p, c.epoch) for p, c in lost.items()}, 90, "no second starter"
            )
        progress(running)
    assert_equal_totals(settings, running.load.sent)
    assert not query(settings, "SELECT 1 FROM refold.streams WHERE stream LIKE 'half-%'")


@pytest.mark.e2e
@pytest.mark.timeout(240 + 2 * BELIEVERS_S)
def test_two_believers(running: Running) -> None:
    """H8: a second handler in another group claims every partition, again and again. Both back off, so work gets done."""
    before, began, windows = sum(epochs(running.settings).values()), time.monotonic(), 0
    with running.under_load(10):
        progress(running)
        with another("handler", running.settings, "tests.e2e.believer"):
            until(lambda: sum(epochs(running.settings).values()) > before + 8, 90, "the second handler claims nothing")
            while time.monotonic() - began < BELIEVERS_S:
                progress(running)
                windows += 1
    assert_equal_totals(running.settings, running.load.sent)
    found = assert_tables_are_the_fold_of_the_log(running.settings)
    claims = sum(epochs(running.settings).values()) - before
    results.note("believers", seconds=round(time.monotonic() - began), claims=claims, records=found.records)


def progress(running: Running) -> None:
    """A basket that is sent from now on is decided, and all before it."""
    target = running.load.sent + 20
    until(lambda: running.load.sent >= target, 60, "the load stands still")
    wanted = expected(target).commands
    until(lambda: decided(running.settings, target) >= wanted, 120, "commands are not decided any more")


def claim_of_nobody(epoch: int) -> Claim:
    return Claim(writer=uuid4(), epoch=epoch + 1, rules=RULES, claimed_at=utc_now(), host="nobody")


def epochs(settings: Settings) -> dict[int, int]:
    rows = query(settings, f"SELECT part, epoch FROM refold.claims WHERE category = '{BASKET}'")
    return {int(str(part)): int(str(epoch)) for part, epoch in rows}


def with_writer(meta: Meta, claim: Claim) -> Meta:
    return Meta(**{name: getattr(meta, name) for name in meta.__struct_fields__} | {"writer": claim.writer})


def twice_claimed(settings: Settings) -> list[tuple[int, int]]:
    """Partition and epoch of claims that lie in the log twice."""
    chunks = read_topic(settings, events_topic(settings.topic_prefix, BASKET))
    found = Counter(
        (part, envelope.epoch)
        for (_, part), chunk in chunks.items()
        for value, key in zip(chunk.values, chunk.keys or (), strict=True)
        if key is None and isinstance(envelope := read_envelope(value), Claim)
    )
    return [claim for claim, times in found.items() if times > 1]


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
