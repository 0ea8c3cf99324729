"""`refold status` reports whether writes wait, by the partitions whose newest claim is not folded, not by other lag."""

import json
import os
import re
import socket
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from refold.api import health
from refold.api.cli import exits
from refold.api.cli.app import run
from refold.streams.domain import load_domains
from refold.streams.log.topics import events_topic
from refold.streams.operation.claims_ahead import waiting
from refold.streams.operation.lag import LagReader
from refold.streams.operation.presence import BEAT_S, Me, Presence
from refold.streams.postgres.connection import connect
from refold.streams.settings import Settings
from tests.streams.broker import append, claimed, encoded, fold_all, prepare
from tests.streams.logs import claim, record
from tests.streams.test_core import OPENED

CATEGORY = "retail.basket"


def events(writer: str, first: int, number: int) -> list[tuple[bytes, bytes]]:
    return [
        encoded(record(writer, seq, f"{writer}{seq}", f"{writer}-{seq}", 0), OPENED)
        for seq in range(first, first + number)
    ]


def told(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    with Presence(settings.dsn(), Me("handler", ())), Presence(settings.dsn(), Me("core", ())):
        assert run(["status", "--json"]) == exits.DIFFERENT
    found = json.loads(capsys.readouterr().out)
    assert [each["code"] for each in found["findings"]] == ["no-models", "no-reactors"]
    return str(found["writes"])


@pytest.mark.parametrize("goes_on", [True, False], ids=["the processes live", "the processes are dead"])
def test_old_rows_of_a_restored_database_are_no_dead_processes_until_no_heartbeat_comes(
    goes_on: bool, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(settings)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    processes = [Me(role, ()) for role in ("handler", "core", "models", "reactors")]
    with connect(settings.dsn(), application_name="test") as db:
        clock = [0.0]

        def beat() -> None:
            for each in processes:
                each.beat(db)

        def sleep(seconds: float) -> None:
            clock[0] += seconds
            if goes_on:
                beat()

        beat()
        db.execute("UPDATE refold.processes SET seen_at = seen_at - interval '1 hour'")
        monkeypatch.setattr(health, "time", SimpleNamespace(monotonic=lambda: clock[0], sleep=sleep))
        exit_code = run(["status", "--json"])
    found = json.loads(capsys.readouterr().out)["findings"]
    assert clock[0] > BEAT_S
    if goes_on:
        assert (exit_code, found) == (exits.DONE, [])
        return
    assert exit_code == exits.DIFFERENT
    assert [each["code"] for each in found] == ["no-handler", "no-core", "no-models", "no-reactors"]
    last = f"the last one, {os.getpid()}@{socket.gethostname()}, was last heard of 3,6"
    assert all(last in each["says"] for each in found)


def test_time_that_a_silent_kafka_takes_counts_for_the_heartbeats_that_are_waited_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(settings)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    clock = [100.0]

    def passes(seconds: float) -> None:
        clock[0] += seconds

    def silent(_: str, seconds: float) -> None:
        passes(seconds)
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    monkeypatch.setattr(health, "time", SimpleNamespace(monotonic=lambda: clock[0], sleep=passes))
    monkeypatch.setattr(health, "check_answers", silent)
    with connect(settings.dsn(), application_name="test") as db:
        Me("handler", ()).beat(db)
        db.execute("UPDATE refold.processes SET seen_at = seen_at - interval '1 hour'")
    assert run(["status", "--json"]) == exits.DIFFERENT
    codes = {each["code"] for each in json.loads(capsys.readouterr().out)["findings"]}
    assert {"kafka-unavailable", "no-handler"} <= codes
    assert clock[0] == pytest.approx(100.0 + health.BEATS_S)


def test_a_partition_waits_for_its_claim_and_not_for_what_others_are_behind(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(settings)
    for part, writer in enumerate("AB"):
        append(settings, CATEGORY, part, [claimed(claim(writer, 1)), *events(writer, 0, 3)])
    fold_all(settings)
    assert told(settings, monkeypatch, capsys) == "open"

    append(settings, CATEGORY, 0, events("A", 3, 1500))
    assert told(settings, monkeypatch, capsys) == "open", "its writer decides on: only the tables are behind"

    append(settings, CATEGORY, 1, [*events("B", 3, 40), claimed(claim("C", 2)), *events("B", 43, 1)])
    topic = events_topic(settings.topic_prefix, CATEGORY)
    with connect(settings.dsn(), application_name="test") as db:
        lags = LagReader(settings, load_domains(["retail"]), ["retail.basket"]).read(db)
    everywhere = settings.partitions * len(load_domains(["retail"]).categories)
    assert waiting(settings.kafka_servers(), lags) == [(topic, 1)]
    found = told(settings, monkeypatch, capsys)
    assert re.fullmatch(
        rf"writes wait for the fold on 1 of {everywhere} partitions: 42 events on {re.escape(topic)}/1, ETA unknown: .*",
        found,
    ), found
    fold_all(settings)
    assert told(settings, monkeypatch, capsys) == "open"


def test_nobody_who_works_and_a_log_that_is_too_short_are_said(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    prepare(settings)
    append(settings, CATEGORY, 0, [claimed(claim("A", 1)), *events("A", 0, 3)])
    fold_all(settings)
    topic = events_topic(settings.topic_prefix, CATEGORY)
    with connect(settings.dsn(), application_name="test") as db:
        db.execute("UPDATE refold.positions SET next_offset = 99 WHERE topic = %s AND part = 0", (topic,))
    assert run(["status", "--json"]) == exits.DIFFERENT
    found = json.loads(capsys.readouterr().out)
    says = {each["code"]: each["says"] for each in found["findings"]}
    assert says.keys() == {"log-shorter", "no-handler", "no-core", "no-models", "no-reactors"}
    assert says["log-shorter"] == f"{topic}/0 ends at 4, before the stored position 99"
    assert found["writes"] == "closed: no handler and no core runs"
