"""`refold status` and /metrics of a running whole: what an operator must be able to see."""

import json
from dataclasses import asdict
from typing import Any

import pytest

from refold.api.cli.app import run
from refold.api.cli.stack import Stack
from refold.streams.running_code import running_code

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def status(stack: Stack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for name, value in stack.settings.environment().items():
        monkeypatch.setenv(name, value)
    assert run(["status", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_status_shows_each_process_with_the_code_that_it_runs(
    stack: Stack, status: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    processes = {process["role"]: process for process in status["processes"]}
    assert {role: process["pid"] for role, process in processes.items()} == stack.pids()
    (ours,) = running_code(["retail"])
    assert all(process["code"] == [asdict(ours)] for process in processes.values())
    assert processes["models"]["writes"].keys() >= {"retail.store_daily", "retail.baskets"}
    assert processes["core"]["writes"] == {}
    assert status["disagreements"] == []
    assert run(["status"]) == 0
    assert ours.fingerprint in capsys.readouterr().out
