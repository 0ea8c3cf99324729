"""A decode that kills the process is tried three times, then the record is found and set aside; everything else goes on."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from refold.api.cli import app as cli
from refold.api.cli.stack import Stack
from refold.schemas.errors import RefoldError
from refold.streams.attempts import Attempts
from refold.streams.chunk import Chunk
from refold.streams.errors import RecordKills
from refold.streams.guard import ProcessGuard
from refold.streams.probe import Probe
from refold.streams.set_aside import Offsets, SetAside, masked, original
from refold.streams.settings import Settings
from tests.streams.broker import CODEC, claimed, encoded
from tests.streams.logs import claim, record
from tests.streams.test_core import OPENED

PATCHED = Path(__file__).parent / "patched"
PLACE = ("t", 0)


def chunk(start: int, end: int, values: list[bytes | None] | None = None) -> Chunk:
    return Chunk(*PLACE, start, values or [b""] * (end - start))


DIES = """
import sys, os
from pathlib import Path
from refold.streams.attempts import Attempts
from refold.streams.chunk import Chunk
found = Attempts(Path(sys.argv[1]), "g")
found.begin([Chunk("t", 0, int(sys.argv[2]), [b""] * int(sys.argv[3]))])
os._exit(139)
"""


def die(folder: Path, start: int, records: int) -> None:
    """A process that ends while it decodes."""
    subprocess.run([sys.executable, "-c", DIES, str(folder), str(start), str(records)], check=False, timeout=60)


def test_deaths_on_the_same_records_are_counted_and_narrowed_down(tmp_path: Path) -> None:
    die(tmp_path, 0, 100)
    die(tmp_path, 40, 100)
    found = Attempts(tmp_path, "g")
    assert [(s.start, s.end, s.deaths) for s in found.suspects] == [(40, 100, 2)]
    assert (found.deaths(chunk(0, 40)), found.deaths(chunk(0, 41)), found.deaths(chunk(100, 120))) == (0, 2, 0)
    found.passed(PLACE, 0, 60)
    assert [(s.start, s.end) for s in found.suspects] == [(60, 100)]
    found.passed(PLACE, 60, 100)
    found.close()
    assert Attempts(tmp_path, "g").suspects == []


def test_a_living_process_and_one_that_ended_in_peace_are_no_deaths(tmp_path: Path) -> None:
    living, peaceful = Attempts(tmp_path, "g"), Attempts(tmp_path, "g")
    living.begin([chunk(0, 5)])
    peaceful.begin([chunk(0, 5)])
    peaceful.end()
    peaceful.close()
    assert Attempts(tmp_path, "g").suspects == []
    assert Attempts(tmp_path, "other").suspects == []
    living.close()


class Kept:
    """A store in memory."""

    def __init__(self) -> None:
        self.aside: dict[tuple[str, int], frozenset[int]] = {}

    def load(self) -> Offsets:
        return self.aside

    def add(self, place: tuple[str, int], offsets: list[int]) -> Offsets:
        self.aside[place] = frozenset(offsets)
        return self.aside


def guard_of(folder: Path, finds: list[int], asked: list[Any], kept: Any) -> ProcessGuard:
    def find(_: object, values: Any) -> list[int]:
        asked.append(len(values))
        return finds

    return ProcessGuard("g", Attempts(folder, "g"), 3, find, kept)


def test_after_three_deaths_the_record_is_out_of_reach_and_its_neighbours_are_not(tmp_path: Path) -> None:
    value, asked, seen = encoded(record("A", 0, "c", "s", 0), OPENED)[1], list[int](), list[Any]()
    for deaths in range(3):
        guard_of(tmp_path, [2], asked, Kept())
        assert asked == [], deaths
        die(tmp_path, 0, 5)

    def work(chunks: Any) -> dict[tuple[str, int], int]:
        seen.extend(chunks[0].values)
        return {PLACE: 5}

    kept = Kept()
    guard = guard_of(tmp_path, [2], asked, kept)
    assert guard.attempt([chunk(0, 5, [value] * 5)], work) == {PLACE: 5}
    assert (asked, kept.aside) == ([5], {PLACE: frozenset({2})})
    assert [isinstance(one, SetAside) for one in seen] == [False, False, True, False, False]
    assert original(seen[2]) == value
    assert guard_of(tmp_path, [2], asked, kept).attempt([chunk(0, 5, [value] * 5)], work) == {PLACE: 5}
    assert asked == [5], "nobody is asked again"


def test_kills_that_no_record_explains_do_not_set_anything_aside(tmp_path: Path) -> None:
    asked, kept = list[int](), Kept()
    for _ in range(3):
        die(tmp_path, 0, 5)
    guard_of(tmp_path, [], asked, kept).attempt([chunk(0, 5)], lambda _: {PLACE: 3})
    assert (asked, kept.aside) == ([5], {})


def test_a_claim_that_kills_stops_the_fold_and_is_named(tmp_path: Path) -> None:
    for _ in range(3):
        die(tmp_path, 10, 1)
    values: list[bytes | None] = [claimed(claim("A", 1))[1]]
    with pytest.raises(RecordKills, match="t/0: decoding the record at 10"):
        guard_of(tmp_path, [0], [], Kept()).attempt([chunk(10, 11, values)], lambda _: {PLACE: 11})


def test_a_failing_fold_is_no_death(tmp_path: Path) -> None:
    def fail(_: object) -> dict[tuple[str, int], int]:
        raise RefoldError("away")

    guard = guard_of(tmp_path, [], [], Kept())
    with pytest.raises(RefoldError):
        guard.attempt([chunk(0, 5)], fail)
    assert Attempts(tmp_path, "g").suspects == []


def test_what_is_set_aside_keeps_its_envelope_and_loses_its_body() -> None:
    from refold.schemas.codec import read_envelope
    from refold.schemas.errors import Undecodable

    value = encoded(record("A", 0, "c", "s", 0), OPENED)[1]
    (aside,) = masked(chunk(7, 8, [value]), {PLACE: frozenset({7, 99})}).values
    assert read_envelope(aside) == read_envelope(value)
    with pytest.raises(Undecodable):
        CODEC.read_event(aside)


@pytest.fixture
def _patched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PATCHED))


@pytest.mark.usefixtures("_patched")
def test_the_probe_names_the_records_that_kill() -> None:
    good = encoded(record("A", 0, "c", "s", 0), OPENED)[1]
    bad = encoded(record("A", 0, "c", "s", 0), type(OPENED)(store_id=1, household_id="kills-the-fold"))[1]
    values: list[bytes | None] = [good] * 600
    values[3], values[300], values[301], values[599] = bad, None, bad, b"\0" * 30
    assert Probe(["retail"], "retail.basket", is_events=True).killers(values) == [3, 301]
    assert Probe(["retail"], "retail.basket", is_events=False).killers(values) == []


@pytest.fixture
def stack(
    kafka: str, database: str, tmp_path: Path, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stack]:
    monkeypatch.setenv("PYTHONPATH", str(PATCHED))
    settings = Settings(
        kafka=kafka, database_url=SecretStr(database), topic_prefix=topic_prefix, data=tmp_path / "data", api_port=0
    )
    with Stack(settings, lambda _: None) as running:
        running.wait_until_ready()
        yield running


@pytest.mark.e2e
@pytest.mark.timeout(240)
def test_real_workers_die_of_a_record_three_times_and_then_live_with_it(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with httpx.Client(base_url=stack.api_url, timeout=100, headers={"Prefer": "wait=30"}) as api:
        refused = until_decided(api, stack, opened("h", "kills-the-handler"))
        assert (refused.status_code, refused.json()["code"]) == (422, "command-unreadable")
        assert until_decided(api, stack, opened("h", "fine")).status_code == 201

        assert until_decided(api, stack, opened("m", "kills-the-fold")).status_code == 201
        after = until_decided(api, stack, opened("n", "fine"))
        assert after.status_code == 201
        fresh = {"Refold-Min-Position": after.headers["refold-position"]}
        wait_for(stack, "SELECT 1 FROM refold.parked WHERE stream = 'm' AND code = 'decode-kills'")
        rows = api.get("/v1/retail/baskets/n", headers=fresh)
        assert (rows.status_code, rows.headers["refold-parked"]) == (200, "1")
        scanned = api.post(
            "/v1/commands/retail/basket/VoidBasket",
            json={"basket_id": "m", "reason": "x"},
            headers={"Idempotency-Key": str(uuid.uuid4())},
        )
        assert (scanned.status_code, scanned.json()["code"]) == (409, "stream-unreadable")
        history = api.get("/v1/streams/retail/basket/m")
        assert (history.status_code, history.json()["code"]) == (503, "stream-unreadable")
        assert [fault["code"] for fault in history.json()["errors"]] == ["decode-kills"]
        groups = wait_for(stack, "SELECT array_agg(DISTINCT grp ORDER BY grp) FROM refold.set_aside")
        assert {"core", "handler", "models"} <= set(groups[0]) <= {"core", "handler", "models", "reactors"}
        for name, value in stack.settings.environment().items():
            monkeypatch.setenv(name, value)
        assert cli.run(["status", "--json"]) == 0
        (parked,) = json.loads(capsys.readouterr().out)["parked"]
        assert (parked["stream"], parked["code"], parked["waiting"]) == ("m", "decode-kills", 1)
        assert cli.run(["replay", "release", "retail.basket", "m", "--json"]) == 0, "this process has sound decoders"
        assert json.loads(capsys.readouterr().out)[0]["events"] == 1
        assert api.get("/v1/retail/baskets/m").json()["row"]["status"] == "open"
        assert cli.run(["replay", "release", "retail.basket", "m"]) == 1


def opened(stream: str, text: str) -> tuple[str, dict[str, Any]]:
    return str(uuid.uuid4()), {"basket_id": stream, "store_id": 1, "household_id": text}


def until_decided(api: httpx.Client, stack: Stack, command: tuple[str, dict[str, Any]]) -> httpx.Response:
    """Sent again under one key until it has its outcome, as a client does while workers die."""
    key, body = command
    for _ in range(4):
        answer = api.post("/v1/commands/retail/basket/OpenBasket", json=body, headers={"Idempotency-Key": key})
        if answer.status_code not in {202, 503}:
            return answer
    logs = "".join(path.read_text()[-3000:] for path in (stack.settings.data / "logs").glob("*"))
    raise AssertionError(f"{answer.text}\n{logs}")


def wait_for(stack: Stack, query: str) -> tuple[Any, ...]:
    until = time.monotonic() + 60
    with psycopg.connect(stack.settings.dsn(), autocommit=True) as db:
        while time.monotonic() < until:
            row = db.execute(query.encode()).fetchone()
            if row is not None:
                return row
            time.sleep(0.2)
    raise AssertionError(query)


def test_the_patch_is_not_in_this_process() -> None:
    assert "sitecustomize" not in sys.modules or str(PATCHED) not in str(sys.modules["sitecustomize"].__file__)
    assert str(PATCHED) not in os.environ.get("PYTHONPATH", "")
