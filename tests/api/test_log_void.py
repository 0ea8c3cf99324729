"""`refold log void` through the real door: it takes out the forged claims that stop a partition.

Afterwards commands are answered, and a rebuild agrees.
"""

import json
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from refold.api.cli import exits
from refold.api.cli.app import run
from refold.api.cli.stack import Stack
from refold.schemas.codec import encode_voiding
from refold.schemas.meta import LAST_EPOCH, RULES
from refold.streams.log.topics import events_topic
from refold.streams.operation.presence import Me, Presence
from refold.streams.settings import Settings
from tests.conftest import settings_for
from tests.streams.broker import append, claimed, encoded, fold_all, prepare, rows, tables
from tests.streams.logs import claim, record, voiding
from tests.streams.test_core import BASKET, OPENED, basket

pytestmark = pytest.mark.timeout(240)
BOUND_S = 60.0


class Operator:
    """Runs commands against a test's servers."""

    def __init__(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], part: int = 0
    ) -> None:
        self.topic, self._capsys = events_topic(settings.topic_prefix, BASKET), capsys
        self._part = str(part)
        for name, value in settings.environment().items():
            monkeypatch.setenv(name, value)

    def does(self, *arguments: str) -> tuple[int, Any]:
        """The exit code, and the JSON or the error's line."""
        self._capsys.readouterr()
        code = run([*arguments, "--json"])
        out, err = self._capsys.readouterr()
        return code, json.loads(out) if out else err

    def voids(self, offset: int | None, *more: str) -> tuple[int, Any]:
        where = [self.topic, self._part, *([] if offset is None else [str(offset)])]
        return self.does("log", "void", *where, "--operator", "ops", "--reason", "ticket 4711", *more)


def opened(api_url: str, name: str, wait_s: int) -> int:
    """The status of a command; sent again under its id it is the same command."""
    body = {"basket_id": name, "store_id": 7}
    headers = {"Idempotency-Key": str(uuid.uuid5(uuid.NAMESPACE_URL, name)), "Prefer": f"wait={wait_s}"}
    url = f"{api_url}/v1/commands/retail/basket/OpenBasket"
    return httpx.post(url, json=body, headers=headers, timeout=60).status_code


def is_answered(api_url: str, name: str) -> bool:
    until = time.monotonic() + BOUND_S
    while time.monotonic() < until:
        if opened(api_url, name, 10) == 201:
            return True
    return False


def waits_for(operator: Operator, text: str) -> bool:
    until = time.monotonic() + BOUND_S
    while time.monotonic() < until:
        _, found = operator.does("status")
        if any(text in each["says"] for each in found["troubles"]):
            return True
        time.sleep(0.2)
    return False


def test_forged_claims_stop_a_partition_until_they_are_taken_out(
    kafka: str, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_for(kafka, database, tmp_path / "data", partitions=1)
    prepare(settings)
    old = encoded(record("A", 0, "old", "old", 0, command_offset=-1), OPENED)
    append(settings, BASKET, 0, [claimed(claim("A", 4)), old, claimed(claim("F", LAST_EPOCH))])
    with Stack(settings, lambda _: None) as stack:
        stack.wait_until_ready()
        operator = Operator(stack.settings, monkeypatch, capsys)
        assert opened(stack.api_url, "first", 1) == 202
        assert waits_for(operator, f"refold log void {operator.topic} 0")

        code, plans = operator.voids(None)
        assert (code, [plan["offset"] for plan in plans]) == (exits.DONE, [2])
        code, plan = operator.voids(2)
        assert (code, plan["voided"], plan["already"]) == (exits.DONE, False, False)
        assert "from there on the epoch is 5" in plan["comes"]
        assert opened(stack.api_url, "first", 1) == 202, "a plan changes nothing"
        code, done = operator.voids(2, "--execute")
        assert (code, done["voided"]) == (exits.DONE, True)
        assert is_answered(stack.api_url, "first")
        code, again = operator.voids(2, "--execute")
        assert (code, again["already"], again["voiding"]) == (exits.DONE, True, done["voiding"])

        ((end, epoch),) = rows(
            settings,
            "SELECT next_offset, epoch FROM refold.positions p JOIN refold.claims c ON p.topic LIKE '%' || c.category || '.events'"
            " WHERE grp = 'core' AND category = 'retail.basket'",
        )
        append(settings, BASKET, 0, [claimed(claim("G", epoch + 1, RULES + 1)), *basket("G", 0, "forged")])
        assert opened(stack.api_url, "second", 1) == 202
        assert waits_for(operator, f"if it is forged: refold log void {operator.topic} 0 {end}")
        assert operator.voids(None)[1][0]["stops"] == f"readers that know rules {RULES} stop at it"
        assert operator.voids(end, "--execute")[1]["voided"]
        assert is_answered(stack.api_url, "second")
        code, found = operator.does("log", "voids")
        assert [(one["claim at"], one["epoch"], one["operator"], one["reason"]) for one in found] == [
            (2, 5, "ops", "ticket 4711"),
            (end, None, "ops", "ticket 4711"),
        ]
        assert run(["replay", "rebuild", "--all", "--execute"]) == exits.DONE, "the rows are those of the live fold"
        _, check = operator.does("schemas", "log-check")
        assert check["failed"] == 0
    live = tables(settings)
    assert [row[1] for row in live["streams"] if row[0] == BASKET] == ["first", "old", "second"]
    with psycopg.connect(settings.dsn(), autocommit=True) as db:
        db.execute(
            "TRUNCATE refold.claims, refold.positions, refold.streams, refold.stream_offsets, refold.outcomes, refold.voids"
        )
    fold_all(settings, records=3)
    again = tables(settings)
    assert {name: again[name] for name in ("claims", "streams", "stream_offsets", "outcomes", "voids")} == {
        name: live[name] for name in ("claims", "streams", "stream_offsets", "outcomes", "voids")
    }


@pytest.mark.usefixtures("servers")
def test_what_is_not_taken_out_is_refused_and_says_why(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(settings)
    a_voiding = (None, encode_voiding(voiding("A", 0, 0)))
    records = [
        claimed(claim("A", 1)),
        *basket("A", 0, "s"),
        (b"s", b"\0 not decodable"),
        claimed(claim("B", 2)),
        *basket("A", 4, "s"),
        a_voiding,
    ]
    append(settings, BASKET, 0, records)
    fold_all(settings)
    before = tables(settings)
    operator = Operator(settings, monkeypatch, capsys)
    for offset, code, why in [
        (0, "void-needless", "another claim follows it"),
        (1, "void-event", "is an event of the stream s"),
        (4, "void-event", "is a rejection of the stream s"),
        (5, "void-needless", "is of nobody: it does not count"),
        (6, "void-needless", "in force with epoch 2, which is within reach"),
        (7, "void-needless", "is void by the rules"),
        (11, "void-needless", "is a voiding"),
        (12, "void-unknown", "the partition ends at 12"),
    ]:
        found, told = operator.voids(offset, "--execute")
        assert found == (exits.USAGE if code == "void-unknown" else exits.PRECONDITION), (offset, told)
        assert told.startswith(f"refold: {code}: ")
        assert why in told
    assert operator.voids(None) == (exits.DONE, [])
    assert operator.does("log", "void", "retail.basket.events", "0")[1].startswith("refold: void-unknown: ")
    forged = [(None, encode_voiding(voiding("A", at, epoch))) for at, epoch in [(1, None), (5, None), (0, 0), (6, 1)]]
    append(settings, BASKET, 0, forged)
    fold_all(settings)
    after = tables(settings)
    assert after["outcomes"] == before["outcomes"], "a forged voiding takes no event out of count"
    assert after["claims"][0][:6] == before["claims"][0][:6]


@pytest.mark.usefixtures("servers")
def test_nothing_is_taken_out_while_another_version_runs_or_once_newer_code_has_passed_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(settings)
    append(settings, BASKET, 0, [claimed(claim("A", 1)), claimed(claim("N", 2, RULES + 1))])
    operator = Operator(settings, monkeypatch, capsys)
    with Presence(settings.dsn(), Me("core", ())), psycopg.connect(settings.dsn(), autocommit=True) as db:
        db.execute("UPDATE refold.processes SET version = '0.0.9'")
        for more in ([], ["--execute"]):
            code, told = operator.voids(1, *more)
            assert (code, told.split(": ")[1]) == (exits.PRECONDITION, "void-other-version")
    with psycopg.connect(settings.dsn(), autocommit=True) as db:
        db.execute(
            "INSERT INTO refold.positions (grp, topic, part, next_offset) VALUES ('core', %s, 0, 2)", (operator.topic,)
        )
    code, told = operator.voids(1, "--execute")
    assert (code, told.split(": ")[1]) == (exits.PRECONDITION, "void-passed")
