"""Tests a handler's hold on a partition: own, wait, lose, evict (H1-H5, F1-F8: docs/log-rules.md)."""

import random
from uuid import uuid4

from refold.streams.handler.holder import Change, Holder, Mode
from refold.streams.rules.judge import MOST_AHEAD, ClaimState


def owning() -> tuple[Holder, ClaimState]:
    """A holder whose claim the tables show."""
    holder = Holder(random.Random(1))
    epoch, writer = holder.claim(ClaimState(epoch=4))
    row = ClaimState(epoch=epoch, writer=writer)
    assert holder.observe(row, 0.0) is Change.OWNED
    return holder, row


def at(row: ClaimState, next_seq: int) -> ClaimState:
    return ClaimState(row.epoch, 1, row.writer, next_seq, next_seq - 1)


def test_a_claim_takes_the_next_epoch_and_a_new_writer() -> None:
    """Epoch of the row plus one; the writer is never used again."""
    holder = Holder(random.Random(1))
    first = holder.claim(None)
    second = holder.claim(ClaimState(epoch=7))
    assert (first[0], second[0]) == (1, 8)
    assert first[1] != second[1]


def test_waits_for_the_row_not_for_the_acknowledgement() -> None:
    """F2: while the row is older than the claim nothing is decided; another writer at my epoch means lost."""
    holder = Holder(random.Random(1))
    epoch, _ = holder.claim(ClaimState(epoch=4))
    assert holder.observe(ClaimState(epoch=4, writer=uuid4()), 0.0) is Change.NONE
    assert not holder.wants_claim(9.0)
    assert holder.observe(ClaimState(epoch=epoch, writer=uuid4()), 0.0) is Change.LOST
    assert holder.wants_claim(9.0)


def test_learns_that_its_claim_is_gone() -> None:
    """F1: a row with another writer (or none, after a gap) at my epoch or later ends it; a row from before does not."""
    for writer in (uuid4(), None):
        holder, row = owning()
        assert holder.observe(ClaimState(epoch=row.epoch + (1 if writer else 0), writer=writer), 0.0) is Change.LOST
    holder, row = owning()
    assert holder.observe(ClaimState(epoch=row.epoch - 1, writer=uuid4()), 0.0) is Change.NONE
    assert not holder.usable(ClaimState(epoch=row.epoch - 1, writer=uuid4()))


def test_a_claim_that_rules_2_let_count_no_more_is_lost_and_one_within_their_bound_is_waited_for() -> None:
    """An operator's voiding has put the row far below; a row at the edge of what is in reach is an ordinary one."""
    for rules, below, change in (
        (2, MOST_AHEAD + 1, Change.LOST),
        (2, 1, Change.NONE),
        (1, MOST_AHEAD + 1, Change.NONE),
    ):
        holder = Holder(random.Random(1))
        epoch, _ = holder.claim(ClaimState(epoch=2**62 - 1))
        assert holder.observe(ClaimState(epoch=epoch - below, rules=rules, writer=uuid4()), 0.0) is change


def lost_at(holder: Holder, row: ClaimState | None, start: float) -> float:
    """When the holder gives up its claim while the tables show this row alone, looked at each second."""
    return next(start + t for t in range(10_000) if holder.observe(row, start + t) is Change.LOST)


def test_a_claim_that_the_tables_never_show_is_claimed_again_after_long_and_longer() -> None:
    """F8: a forged voiding may leave the row below my epoch for good. The times differ, so believers do not stay in step."""
    for row in (None, ClaimState(epoch=0, rules=2)):
        firsts = set()
        for seed in range(20):
            holder, now, waits = Holder(random.Random(seed)), 0.0, []
            writers = set()
            for _ in range(8):
                writers.add(holder.claim(ClaimState(epoch=4))[1])
                lost = lost_at(holder, row, now)
                waits.append(lost - now)
                now = lost + 5.0
                assert holder.wants_claim(now)
            assert 10 <= waits[0] <= 21
            assert all(10 * 2**n <= waits[n] <= 20 * 2**n + 1 for n in range(6))
            assert all(320 <= wait <= 641 for wait in waits[5:])
            assert len(writers) == 8
            firsts.add(waits[0])
        assert len(firsts) > 3


def test_the_wait_begins_with_a_look_and_is_short_again_once_a_claim_has_counted() -> None:
    """F8: while Postgres is away nobody looks; and what is shown late is owned, however often it was claimed before."""
    holder = Holder(random.Random(1))
    holder.claim(None)
    assert holder.observe(None, 1_000.0) is Change.NONE, "the first look, long after the claim"
    for start in (2_000.0, 3_000.0):
        lost_at(holder, None, start)
        epoch, writer = holder.claim(None)
    assert holder.observe(None, 4_000.0) is Change.NONE
    assert holder.observe(ClaimState(epoch=epoch, writer=writer), 9_000.0) is Change.OWNED
    holder.lose(9_000.0)
    holder.claim(ClaimState(epoch=epoch))
    assert lost_at(holder, ClaimState(epoch=epoch), 9_010.0) <= 9_031.0


def test_an_owner_gives_its_claim_up_if_the_tables_show_it_no_more_or_too_little_of_it() -> None:
    """F8: a restored log may never bring the tables to where they were; any usable look begins the wait again."""
    holder, row = owning()
    holder.decided(b"k", 2)
    holder.observe(at(row, 2), 0.0)
    for start, older in ((100.0, at(row, 1)), (200.0, ClaimState(epoch=row.epoch - 1, writer=uuid4()))):
        assert holder.observe(older, start) is Change.NONE
        assert holder.observe(older, start + 9.0) is Change.NONE
        assert holder.observe(at(row, 2), start + 50.0) is Change.NONE, "it is shown again"
    assert 310.0 <= lost_at(holder, at(row, 1), 300.0) <= 321.0
    assert (holder.mode, holder.floor) == (Mode.IDLE, 0)


def test_an_older_snapshot_is_not_usable_after_eviction() -> None:
    """F3: what was evicted is in neither place of an older snapshot; the floor says so, my own writer id does not."""
    holder, row = owning()
    holder.decided(b"k", 2)
    holder.moved("s", "state", 2)
    assert holder.usable(at(row, 0))
    holder.observe(at(row, 2), 0.0)
    assert not holder.has_decided(b"k")
    assert holder.ahead("s") is None
    assert holder.usable(at(row, 2))
    assert not holder.usable(at(row, 1))


def test_an_entry_stays_until_all_of_its_records_are_counted() -> None:
    """F6: by seq, not by offset or acknowledgement."""
    holder, row = owning()
    holder.decided(b"k", 3)
    holder.moved("s", "state", 3)
    holder.observe(at(row, 2), 0.0)
    assert holder.has_decided(b"k")
    ahead = holder.ahead("s")
    assert ahead is not None
    assert (ahead.version, ahead.seq) == (3, 2)


def test_the_newest_state_of_a_stream_stays() -> None:
    """Evicting an older command of a stream leaves the newer state that was built on it."""
    holder, row = owning()
    for i in range(2):
        holder.decided(f"k{i}".encode(), 1)
        holder.moved("s", f"state{i}", i + 1)
    holder.observe(at(row, 1), 0.0)
    ahead = holder.ahead("s")
    assert ahead is not None
    assert ahead.state == "state1"
    assert not holder.has_decided(b"k0")
    assert holder.outstanding == 1


def test_losing_forgets_everything_and_backs_off_longer_each_time() -> None:
    """H8: two believers must not stay in step; the wait grows and is random."""
    most = []
    for losses in range(1, 7):
        holder = Holder(random.Random(losses))
        for _ in range(losses):
            holder.claim(None)
            holder.decided(b"k", 1)
            holder.lose(now=100.0)
        assert (holder.mode, holder.outstanding, holder.next_seq, holder.floor) == (Mode.IDLE, 0, 0, 0)
        assert holder.wants_claim(200.0)
        waits = []
        for seed in range(50):
            other = Holder(random.Random(seed))
            for _ in range(losses):
                other.lose(now=0.0)
            waits.append(next(t / 10 for t in range(100) if other.wants_claim(t / 10)))
        most.append(max(waits))
        assert len(set(waits)) > 1
    assert most[0] < most[3] <= 5.0
