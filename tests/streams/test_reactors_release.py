"""Tests the release of parked streams: waiting events are answered once, whatever live reactors do meanwhile."""

import dataclasses
import json
from contextlib import closing

import pytest

from refold.api.cli import app as cli
from refold.retail.reactors import REACTORS
from refold.retail.schemas.basket import BASKET
from refold.streams.chunk import Chunk
from refold.streams.errors import Lost, StillUnreadable
from refold.streams.kafka.partitioner import partition_of
from refold.streams.log.history import History
from refold.streams.postgres.connection import connect
from refold.streams.reactors import fold as fold_module
from refold.streams.reactors import process as process_module
from refold.streams.reactors.fold import ReactorsFold
from refold.streams.reactors.reactor import Reactor
from refold.streams.reactors.release import Release, Waited
from refold.streams.reactors.sender import Sender
from refold.streams.sending.producer import Producer
from refold.streams.settings import Settings
from tests.streams.broker import DOMAINS, rows
from tests.streams.test_reactors_running import (
    CODEC,
    assert_once_each,
    chunks,
    expected,
    log,
    named,
    process,
    run,
    sent,
)

__all__ = ["log"]
B8 = {("h1", "b8", 8)}
STATES = "SELECT stream, version, state, fingerprint FROM refold.reactor_states ORDER BY 1"


def sender(settings: Settings) -> Sender:
    return Sender(lambda: Producer(settings.kafka_servers(), settings.topic_prefix, DOMAINS))


def release(settings: Settings, *reactors: Reactor) -> list[Waited]:
    history = History(settings.kafka_servers(), settings.topic_prefix, DOMAINS)
    with closing(history), closing(sender(settings)) as sending, connect(settings.dsn(), application_name="t") as db:
        return Release(db, settings.topic_prefix, DOMAINS, history, sending).release(
            BASKET.name, "b8", reactors or REACTORS
        )


def failing(*, opened: bool) -> Reactor:
    """Points whose code fails on the first, or on the last event of b8."""

    def react(event: object, state: object, seen: object) -> object:
        if getattr(seen, "stream", None) == "b8" and (opened or getattr(seen, "version", 0) > 1):
            raise ValueError("not yet")
        return REACTORS[0].react(event, state, seen)  # type: ignore[arg-type]  # wider than the contract: it looks first

    return dataclasses.replace(REACTORS[0], react=react)  # type: ignore[arg-type]  # as above


def waits(settings: Settings) -> list[tuple[int, str, int]]:
    return rows(settings, "SELECT first_offset, code, waiting FROM refold.reactor_parked")


def run_with(settings: Settings, reactor: Reactor) -> None:
    with closing(ReactorsFold(settings, DOMAINS, (reactor,), sender(settings))) as fold:
        for chunk in chunks(settings, fold):
            fold.apply([chunk])


def test_what_waited_is_answered_and_the_states_are_those_of_one_that_never_waited(
    log: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_with(log, failing(opened=True))
    assert named(sent(log)) == expected(range(60)) - B8
    for name, value in log.environment().items():
        monkeypatch.setenv(name, value)
    assert cli.run(["replay", "release", BASKET.name, "b8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"category": BASKET.name, "stream": "b8", "reactor": "points", "code": "react-failed", "events": 2}
    ]
    assert waits(log) == []
    assert_once_each(log, range(60))
    states = rows(log, STATES)
    assert cli.run(["replay", "release", BASKET.name, "b8"]) == 1
    assert "not-parked" in capsys.readouterr().err
    with connect(log.dsn(), application_name="t") as db:
        db.execute("TRUNCATE refold.reactor_states")
        db.execute("DELETE FROM refold.positions WHERE grp = 'reactors'")
    run(log)
    assert rows(log, STATES) == states


def test_one_that_still_fails_goes_on_waiting_where_it_fails(log: Settings) -> None:
    run_with(log, failing(opened=True))
    before = waits(log)
    with pytest.raises(StillUnreadable, match="not yet"):
        release(log, failing(opened=True))
    assert waits(log) == before
    with pytest.raises(StillUnreadable, match="no reactor points"):
        release(log, dataclasses.replace(REACTORS[0], name="other"))
    with pytest.raises(StillUnreadable, match="not yet"):
        release(log, failing(opened=False))
    ((first, code, waiting),) = waits(log)
    assert (first > before[0][0], code, waiting) == (True, "react-failed", 1)
    assert named(sent(log)) == expected(range(60)) - B8
    assert [one.events for one in release(log)] == [1]
    assert_once_each(log, range(60))


def test_a_live_reactor_that_passed_over_events_meanwhile_reads_them_again(
    log: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It decided that the stream waits, then the stream was released: its commit would lose what it passed over."""
    with closing(process(log)) as fold:
        part = partition_of(b"b8", log.partitions)
        (chunk,) = [one for one in chunks(log, fold) if one.part == part]
        first = next(row for row, value in enumerate(chunk.values) if b"b8" in (value or b"") and is_event(value))
        run_until(log, chunk.upto(chunk.start + first + 1))
        assert [waiting for _, _, waiting in waits(log)] == [1]
        released = list[Waited]()

        def meanwhile(name: str) -> None:
            if name == "reactors.before-send" and not released:
                released.extend(release(log))

        monkeypatch.setattr(fold_module, "failpoint", meanwhile)
        rest = chunk.since(chunk.start + first + 1)
        with pytest.raises(Lost):
            fold.apply([rest])
        assert [one.events for one in released] == [1]
        assert fold.apply([rest]) == {rest.place: rest.end}
    run(log)
    assert waits(log) == []
    assert_once_each(log, range(60))


def is_event(value: bytes | None) -> bool:
    return CODEC.read_events(value)[0].stream == "b8"


def run_until(settings: Settings, chunk: Chunk) -> None:
    with closing(ReactorsFold(settings, DOMAINS, (failing(opened=True),), sender(settings))) as fold:
        fold.apply([chunk])


def test_streams_that_older_code_left_at_newer_events_go_on_by_themselves(log: Settings) -> None:
    run_with(log, failing(opened=True))
    with connect(log.dsn(), application_name="t") as db:
        db.execute("UPDATE refold.reactor_parked SET code = 'newer-schema'")  # as older code leaves them
        process_module.go_on(log, db, [(BASKET.name, "b8"), (BASKET.name, "no-such-stream")])
    assert waits(log) == []
    assert_once_each(log, range(60))


def test_all_streams_that_wait_are_released_at_once_but_those_that_killed(
    log: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_with(log, failing(opened=True))
    for name, value in log.environment().items():
        monkeypatch.setenv(name, value)
    with connect(log.dsn(), application_name="t") as db:
        db.execute("UPDATE refold.reactor_parked SET code = 'code-kills'")
        assert cli.run(["replay", "release", "--all", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == []
        assert len(waits(log)) == 1
        db.execute("UPDATE refold.reactor_parked SET code = 'react-failed'")
        assert cli.run(["replay", "release", "--all", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"category": BASKET.name, "stream": "b8", "reactor": "points", "code": "react-failed", "events": 2}
    ]
    assert waits(log) == []
    assert cli.run(["replay", "release", "--all", BASKET.name, "b8"]) == 2
    assert_once_each(log, range(60))
