"""`refold status` reports whether writes wait, by the partitions whose newest claim is not folded, not by other lag."""

import json
import re

import pytest

from refold.api.cli import exits
from refold.api.cli.app import run
from refold.streams.domain import load_domains
from refold.streams.log.topics import events_topic
from refold.streams.operation.claims_ahead import waiting
from refold.streams.operation.lag import LagReader
from refold.streams.operation.presence import Me, Presence
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
