"""`refold status` and /metrics of a running whole show everything that an operator must see."""

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import httpx
import pytest

from refold.api.cli import exits
from refold.api.cli.app import run
from refold.api.cli.stack import Stack
from refold.retail.schemas.basket import OpenBasket
from refold.streams.domain import load_domains
from refold.streams.operation.running_code import running_code
from refold.streams.postgres.connection import connect
from refold.streams.sending.producer import Producer
from refold.streams.settings import Settings
from tests.streams.broker import prepare

pytestmark = pytest.mark.timeout(180)
Status = Callable[[Settings], dict[str, Any]]


@pytest.fixture
def status(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Status:
    def ask(settings: Settings) -> dict[str, Any]:
        for name, value in settings.environment().items():
            monkeypatch.setenv(name, value)
        code = run(["status", "--json"])
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert code == (exits.DIFFERENT if found["findings"] else exits.DONE)
        return found

    return ask


def lag_of(status: dict[str, Any], group: str, topic: str) -> int:
    return sum(lag["records"] for lag in status["lag"] if lag["group"] == group and lag["topic"].endswith(topic))


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.3)


def test_status_shows_each_process_with_the_code_that_it_runs(
    stack: Stack, status: Status, capsys: pytest.CaptureFixture[str]
) -> None:
    found = status(stack.settings)
    processes = {process["role"]: process for process in found["processes"]}
    assert {role: process["pid"] for role, process in processes.items()} == stack.pids()
    (ours,) = running_code(["retail"])
    assert all(process["code"] == [asdict(ours)] for process in processes.values())
    assert processes["models"]["writes"].keys() >= {"retail.store_daily", "retail.baskets"}
    assert processes["core"]["writes"] == {}
    assert found["disagreements"] == []
    assert run(["status"]) == 0
    assert ours.fingerprint in capsys.readouterr().out


def test_rejections_are_counted_by_code_and_repeats_at_the_end_leave_no_lag(stack: Stack, status: Status) -> None:
    name = f"b-{uuid.uuid4().hex}"
    url = f"{stack.api_url}/v1/commands/retail/basket/OpenBasket"
    for key in (name, f"{name}-again", f"{name}-again", f"{name}-again"):
        headers = {"Idempotency-Key": key, "Prefer": "wait=30"}
        httpx.post(url, json={"basket_id": name, "store_id": 1}, headers=headers, timeout=60)
    eventually(lambda: lag_of(status(stack.settings), "handler", "basket.commands") == 0)
    counted = {"category": "retail.basket", "code": "basket-exists", "commands": 1}
    assert counted in status(stack.settings)["rejections"]

    def page() -> str:
        return httpx.get(f"{stack.api_url}/metrics", timeout=60).text

    assert 'refold_commands_rejected_total{category="retail.basket",code="basket-exists"} 1.0' in page()
    eventually(lambda: 'refold_rejections{category="retail.basket",code="basket-exists"} 1.0' in page())
    topic = f"{stack.settings.topic_prefix}retail.basket.commands"
    left = [f'refold_lag_records{{group="handler",partition="{part}",topic="{topic}"}} 0.0' for part in "0123"]
    eventually(lambda: all(line in page() for line in left))
    assert 'refold_processes{role="handler"} 1.0' in page()
    assert 'refold_codes{domain="retail"} 1.0' in page()


def test_commands_that_wait_to_be_decided_are_the_handlers_lag(settings: Settings, status: Status) -> None:
    prepare(settings)
    with Producer(settings.kafka_servers(), settings.topic_prefix, load_domains(["retail"])) as producer:
        for number in range(30):
            producer.send(OpenBasket(basket_id=f"b{number}", store_id=1), command_id=uuid.uuid4())
    found = status(settings)
    assert lag_of(found, "handler", "basket.commands") == 30
    assert lag_of(found, "core", "basket.events") == 0
    assert {lag["group"] for lag in found["lag"]} == {"handler", "core", "models", "reactors"}


def workers(api_url: str) -> str:
    checks = httpx.get(f"{api_url}/readyz", timeout=60).json()["checks"]
    return "; ".join(check["detail"] for check in checks if check["name"] == "workers")


def test_a_worker_that_dies_again_and_again_is_told_with_its_reason(stack: Stack, status: Status) -> None:
    """Somebody takes a column away: neither waiting nor another start brings it back."""
    with connect(stack.settings.dsn(), application_name="test") as db:
        db.execute("ALTER TABLE refold.claims RENAME COLUMN epoch TO gone")
        try:
            eventually(lambda: "ends-again-and-again: " in workers(stack.api_url))
            assert httpx.get(f"{stack.api_url}/readyz", timeout=60).status_code == 503
            assert "epoch" in workers(stack.api_url)
            page = httpx.get(f"{stack.api_url}/metrics", timeout=60).text
            assert 'refold_troubles{role="handler"}' in page
        finally:
            db.execute("ALTER TABLE refold.claims RENAME COLUMN gone TO epoch")
    told = [trouble["says"] for trouble in status(stack.settings)["troubles"]]
    assert any("epoch" in says for says in told)
