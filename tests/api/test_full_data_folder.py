"""Whole processes on a data folder whose disk is full: at the start, while they run, and when they start again."""

import json
from collections import Counter
from pathlib import Path

import pytest

from refold.streams.settings import Settings
from tests.e2e.tables import number
from tests.test_embedded_full_disk import on_a_full_disk

EACH = 12
WORK = """
import json, os, re, signal, time, urllib.request, uuid
from refold.api.cli.stack import Stack
from refold.streams.guard.attempts import Attempts
from refold.streams.full_disk import is_full
from refold.streams.settings import Settings

settings = Settings.load({environ!r}).model_copy(update={{"data": disk}})
ballast, lines = disk / "ballast", []


def fill():
    with open(ballast, "ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            assert is_full(disk)


def answers(ask):
    for _ in range(4):  # a slow machine takes its time to start a handler: a repetition waits for the same outcome
        yield urllib.request.urlopen(ask, timeout=60).status


def commands(name):
    statuses = []
    for number in range({each}):
        body = json.dumps({{"basket_id": f"{{name}}-{{number}}", "store_id": 1}}).encode()
        headers = {{"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4()), "Prefer": "wait=30"}}
        ask = urllib.request.Request(f"{{stack.api_url}}/v1/commands/retail/basket/OpenBasket", body, headers)
        statuses.append(next(status for status in answers(ask) if status != 202))
    with urllib.request.urlopen(f"{{stack.api_url}}/v1/retail/baskets?limit=1", timeout=30) as answer:
        statuses.append(answer.status)
    return sorted(set(statuses))


def restarted():
    before = stack.pids()
    for pid in before.values():
        os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + 120
    while any(stack.pids().get(role, pid) == pid for role, pid in before.items()) and time.monotonic() < until:
        time.sleep(0.05)
    stack.wait_until_ready()


assert is_full(disk)
found = {{}}
with Stack(settings, lambda _: None, lambda role, line: lines.append((role, line))) as stack:
    stack.wait_until_ready()
    found["at the start"] = commands("start")
    ballast.unlink()
    restarted()
    fill()
    found["while it runs"] = commands("run")
    restarted()
    found["after a restart"] = commands("restart")
found["suspects"] = [len(Attempts(disk / "attempts", role).suspects) for role in ("handler", "core", "models")]
found["traces"] = [line for _, line in lines if "Traceback" in line]
found["told"] = [(role, json.loads(line)) for role, line in lines if "No space left on device" in line]
print(json.dumps(found))
"""


@pytest.mark.servers
@pytest.mark.timeout(600)
def test_a_full_disk_under_the_data_folder_costs_no_command_and_no_record_is_blamed(
    settings: Settings, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    environ = settings.model_copy(update={"api_port": 0, "log_format": "json"}).environment()
    found = json.loads(on_a_full_disk(disk, WORK.format(environ=environ, each=EACH), "4m", 570).splitlines()[-1])
    for when in ("at the start", "while it runs", "after a restart"):
        assert found[when] == [200, 201], when
    assert found["suspects"] == [0, 0, 0]
    assert found["traces"] == []
    assert {"api", "core", "handler", "models"} <= {role for role, _ in found["told"]}
    told = [line for _, line in found["told"]]
    # However often its disk refuses, a process tells it once of its metrics and once of each group's notes.
    once = Counter((line["pid"], line["logger"], line["message"]) for line in told if "count" not in line)
    assert {logger for _, logger, _ in once} == {"refold.streams.metric_files", "refold.streams.guard.attempts"}
    assert set(once.values()) == {1}, once
    firsts = {(line["pid"], line["logger"]) for line in told if "count" not in line}
    assert {(line["pid"], line["logger"]) for line in told} == firsts  # all others are counts of a line that was told
    assert number(settings, "SELECT count(*)::int FROM refold.outcomes WHERE code IS NULL") == 3 * EACH
