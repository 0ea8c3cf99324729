"""The log lines of real processes, from the first to the last, while Kafka is killed and comes back."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from refold.api.cli.stack import Stack
from refold.streams.journal.line import _NUMBERS, line_of
from refold.streams.journal.masking import Masking
from refold.streams.kafka import clients
from refold.streams.settings import Settings
from tests.e2e.tables import until
from tests.streams.spoken import TEXT

Said = list[dict[str, Any]]
_COUNTED = re.compile(r" \((?:\d+ times? more in|over: |at the end).*\)$")


def faults(lines: Said) -> dict[tuple[object, ...], Said]:
    """The warnings and errors of each process, those of one fault together, in their order."""
    found = defaultdict[tuple[object, ...], Said](list)
    for line in lines:
        if line["level"] in {"WARNING", "ERROR"}:
            found[line["pid"], line["logger"], line.get("topic"), line.get("partition"), words_of(line)].append(line)
    return found


def words_of(line: dict[str, Any]) -> object:
    """The words that lines of one fault share: librdkafka names one broker in several ways, which are one fault."""
    words = _COUNTED.sub("", line["message"])
    if line["logger"] == "librdkafka" and (parts := re.fullmatch(r"(\S+) \[(.*?)\] (.*)", words)):
        record = logging.LogRecord("librdkafka", logging.WARNING, "", 0, "%s [%s] %s", parts.groups(), None)
        assert clients._log.filter(record)
        return line_of(record, Masking()).fault
    return _NUMBERS.sub("#", words)[:300]


def assert_counts_add_up(lines: Said) -> None:
    for fault, told in faults(lines).items():
        since_first = 0
        for line in told:
            since_first += line.get("count", 1)
            if "total" in line:
                assert line["total"] == since_first, fault
                since_first = 0


@contextmanager
def alone(command: Sequence[str], settings: Settings, said: Path) -> Iterator[None]:
    """A process that nobody supervises; at its end it is stopped as an operator would."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REFOLD_")}
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "refold.api.cli.app", *command],
            env=environment | settings.environment(), stdout=output, stderr=output,
        )  # fmt: skip
        try:
            yield
            process.terminate()
            assert process.wait(60) == 0, said.read_text()[-3000:]
        finally:
            process.kill()
            process.wait()


def opened(api_url: str, name: str) -> int:
    try:
        return httpx.post(
            f"{api_url}/v1/commands/retail/basket/OpenBasket",
            json={"basket_id": name, "store_id": 330},
            headers={"Idempotency-Key": name, "X-Request-Id": f"opens-{name}", "Prefer": "wait=30"},
            timeout=60,
        ).status_code
    except httpx.TransportError:
        return 0


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_every_line_has_its_form_while_kafka_is_killed_and_comes_back(tmp_path: Path) -> None:
    heard: list[str] = []
    settings = Settings(data=tmp_path / "data", log_format="json", api_port=0, api_access_log=True)
    began = time.monotonic()
    with Stack(settings, lambda _: None, lambda _, line: heard.append(line)) as stack:
        stack.wait_until_ready()
        as_text = stack.settings.model_copy(update={"log_format": "text"})
        with (
            alone(["worker", "models"], stack.settings, tmp_path / "json"),
            alone(["worker", "core"], as_text, tmp_path / "text"),
        ):
            assert opened(stack.api_url, "before") == 201
            assert httpx.get(f"{stack.api_url}/v1/retail/baskets/none?status=eq.secret-value").status_code in (400, 404)
            os.kill(stack.pids()["kafka"], signal.SIGKILL)
            time.sleep(12)
            until(lambda: opened(stack.api_url, "after") == 201, 120, "no command is taken again")
            time.sleep(2)
    seconds = time.monotonic() - began

    lines = [json.loads(line) for line in heard]
    own = [json.loads(line) for line in (tmp_path / "json").read_text().splitlines()]
    assert [line for line in lines if line["logger"] == "stderr"] == [], "no library wrote past us"
    assert [text for text in (tmp_path / "text").read_text().splitlines() if not TEXT.fullmatch(text)] == []
    assert {"handler", "core", "models", "reactors", "api", "supervisor"} >= {line["role"] for line in lines} > {"api"}
    assert {line["role"] for line in own} == {"models"}
    assert any(line["logger"] == "librdkafka" for line in [*lines, *own])
    assert_counts_add_up(lines)
    assert_counts_add_up(own)
    for fault, told in faults([*lines, *own]).items():
        assert len(told) <= 3 + seconds / 10, fault
    assert "secret-value" not in "".join(heard)
    (access,) = [
        line for line in lines if line.get("request_id") == "opens-before" and line["logger"] == "refold.access"
    ]
    assert (access["method"], access["status"], access["route"]) == (
        "POST",
        201,
        "/v1/commands/{domain}/{category}/{name}",
    )
    assert access["command_id"]
