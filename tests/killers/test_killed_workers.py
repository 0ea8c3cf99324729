"""Real workers die of records and of the domain's code some times, and then live with it. One stack for all of them, all at once."""

import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from refold.api.cli import app as cli
from refold.api.cli import exits
from refold.api.cli.stack import Stack
from refold.streams.settings import Settings
from tests.conftest import settings_for

PATCHED = Path(__file__).parent / "patched"
KILLERS = {
    "h": "kills-the-handler",
    "m": "kills-the-fold",
    "d": "kills-decide",
    "e": "kills-evolve",
    "r": "kills-react",
}
ATTEMPTS = 1
PATIENCE_S = 500.0
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
Answers = dict[str, httpx.Response]


@pytest.fixture(scope="module")
def stack(kafka: str, module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Workers whose decoders and whose domain die of some texts."""
    settings = settings_for(kafka, module_database, tmp_path_factory.mktemp("killed"), decode_attempts=ATTEMPTS)
    with patched_stack(settings, PATCHED) as running:
        yield running


@contextmanager
def patched_stack(settings: Settings, patches: Path) -> Iterator[Stack]:
    """All processes, each of which begins with the folder's `sitecustomize`."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(patches))
        with Stack(settings, lambda _: None) as running:
            running.wait_until_ready()
            yield running


@pytest.fixture(scope="module")
def answers(stack: Stack, api: httpx.Client) -> Answers:
    """What became of each basket's opening, and of one that nothing is wrong with."""
    with ThreadPoolExecutor(len(KILLERS)) as pool:
        found = dict(zip(KILLERS, pool.map(lambda one: until_decided(api, stack, *one), KILLERS.items()), strict=True))
    return found | {"n": until_decided(api, stack, "n", "fine")}


def test_a_command_whose_decoding_or_deciding_kills_is_rejected(answers: Answers) -> None:
    assert {name: (answers[name].status_code, answers[name].json().get("code")) for name in "hd"} == {
        "h": (422, "command-unreadable"),
        "d": (409, "code-kills"),
    }
    assert {answers[name].status_code for name in "mern"} == {201}, "they count, whatever dies of their bodies"


def test_the_command_that_was_rejected_keeps_its_answer_and_its_stream_goes_on(
    api: httpx.Client, stack: Stack, answers: Answers
) -> None:
    key = answers["d"].request.headers["Idempotency-Key"]
    again = api.post(PATH, json=opening("d", "kills-decide"), headers={"Idempotency-Key": key})
    assert (again.status_code, again.json()["code"]) == (409, "code-kills")
    assert {until_decided(api, stack, name, "fine").status_code for name in "hd"} == {201}


def test_an_event_that_kills_parks_its_stream_and_no_other(api: httpx.Client, stack: Stack, answers: Answers) -> None:
    fresh = {"Refold-Min-Position": answers["n"].headers["refold-position"]}
    wait_for(stack, "SELECT 1 FROM refold.parked WHERE stream = 'm' AND code = 'decode-kills'")
    row = until(lambda: api.get("/v1/retail/baskets/n", headers=fresh), 200)
    assert row.headers["refold-parked"] == "1"
    wait_for(stack, "SELECT 1 FROM refold.reactor_parked WHERE stream = 'r' AND code = 'code-kills'")
    groups = wait_for(stack, "SELECT array_agg(DISTINCT grp || ' ' || reason) FROM refold.set_aside")
    every = {f"{group} decode-kills" for group in ("core", "handler", "models")}
    every |= {f"{group} code-kills" for group in ("core", "handler", "reactors")}
    assert every <= set(groups[0]) <= every | {"reactors decode-kills"}


@pytest.mark.parametrize(("stream", "why"), [("m", "decode-kills"), ("e", "code-kills")])
def test_a_stream_whose_state_cannot_be_folded_is_unreadable(
    api: httpx.Client, answers: Answers, stream: str, why: str
) -> None:
    assert answers[stream].status_code == 201
    key = {"Idempotency-Key": str(uuid.uuid4())}
    refused = api.post(VOID, json={"basket_id": stream, "reason": "x"}, headers=key)
    assert (refused.status_code, refused.json()["code"]) == (409, "stream-unreadable")
    history = api.get(f"/v1/streams/retail/basket/{stream}")
    assert (history.status_code, history.json()["code"]) == (503, "stream-unreadable")
    assert [fault["code"] for fault in history.json()["errors"]] == [why]


@pytest.mark.usefixtures("answers")
def test_what_this_process_can_read_is_released_and_goes_on(
    api: httpx.Client, stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in stack.settings.environment().items():
        monkeypatch.setenv(name, value)
    assert cli.run(["status", "--json"]) == exits.DIFFERENT
    found = json.loads(capsys.readouterr().out)
    assert "parked" in {finding["code"] for finding in found["findings"]}
    (parked,) = found["parked"]
    assert (parked["stream"], parked["code"], parked["waiting"]) == ("m", "decode-kills", 1)
    for stream, waited in {"m": 1, "e": 1, "r": 1}.items():
        assert cli.run(["replay", "release", "retail.basket", stream, "--json"]) == 0, stream
        assert json.loads(capsys.readouterr().out)[0]["events"] == waited
        assert cli.run(["replay", "release", "retail.basket", stream]) == 1
        capsys.readouterr()
    assert api.get("/v1/retail/baskets/m").json()["status"] == "open"
    assert api.get("/v1/streams/retail/basket/e").json()["version"] == 1


PATH, VOID = (f"/v1/commands/retail/basket/{name}" for name in ("OpenBasket", "VoidBasket"))


def opening(stream: str, text: str) -> dict[str, Any]:
    return {"basket_id": stream, "store_id": 1, "household_id": text}


def until_decided(api: httpx.Client, stack: Stack, stream: str, text: str) -> httpx.Response:
    """Sent again under one key until it has its outcome, as a client does while workers die."""
    key, end = {"Idempotency-Key": str(uuid.uuid4())}, time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        answer = api.post(PATH, json=opening(stream, text), headers=key)
        if answer.status_code not in {202, 503}:
            return answer
    logs = "".join(path.read_text()[-3000:] for path in (stack.settings.data / "logs").glob("*"))
    raise AssertionError(f"{answer.text}\n{logs}")


def until(ask: Any, status: int) -> httpx.Response:
    """Asked again until it answers so: a killed worker needs some seconds to come back."""
    end = time.monotonic() + PATIENCE_S
    while (answer := ask()).status_code != status and time.monotonic() < end:
        time.sleep(0.2)
    assert answer.status_code == status, answer.text
    found: httpx.Response = answer
    return found


def wait_for(stack: Stack, query: str) -> tuple[Any, ...]:
    end = time.monotonic() + PATIENCE_S
    with psycopg.connect(stack.settings.dsn(), autocommit=True) as db:
        while time.monotonic() < end:
            row = db.execute(query.encode()).fetchone()
            if row is not None:
                return row
            time.sleep(0.2)
    raise AssertionError(query)
