"""Tests that a replay cannot cause an effect: it sends nothing, and does not even load code that could."""

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from refold.streams.chunk import Place
from refold.streams.kafka import clients
from refold.streams.kafka.messages import watermarks
from refold.streams.log.topics import commands_topic, events_topic
from refold.streams.settings import Settings
from tests.streams.broker import DOMAINS
from tests.streams.test_reactors_running import log, sent

__all__ = ["log"]
SENDS = (
    "refold.streams.sending.producer",
    "refold.streams.sending.command_record",
    "refold.streams.handler.appender",
    "refold.streams.reactors",
)
REPLAYS = (
    "refold.api.cli.replay",
    "refold.projections.replay.command",
    "refold.projections.replay.builder",
    "refold.projections.replay.promote",
    "refold.projections.replay.core_first",
    "refold.projections.live.process",
    "refold.streams.core.process",
)
SAY = f"""
import sys
loaded = sorted(name for name in sys.modules if name in {SENDS!r} or name.startswith('refold.streams.reactors'))
print('loaded:', *loaded)
"""


def fresh(program: str, environment: Mapping[str, str] | None = None) -> str:
    """What a program says in an interpreter of its own; its last line names what is loaded of what can send."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("REFOLD_")}
    done = subprocess.run(
        [sys.executable, "-c", program + SAY],
        env=clean | dict(environment or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("module", REPLAYS)
def test_replay_loads_nothing_that_sends(module: str) -> None:
    assert fresh(f"import {module}") == "loaded:"


@pytest.mark.parametrize("command", ["replay", "release", "drop", "log_check", "schema_list", "config", "sql"])
def test_a_one_shot_command_loads_no_faust(command: str) -> None:
    code = f"import refold.api.cli.{command}, sys\nprint(sorted({{'faust', 'mode'}} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_check_sees_what_is_loaded() -> None:
    """It can fail: the reactors' own process loads all but the handler's appender."""
    found = fresh("import refold.streams.reactors.process")
    assert {"refold.streams.reactors.fold", "refold.streams.sending.producer"} <= set(found.split())
    assert "refold.streams.sending.producer" in fresh("from refold.streams import Producer")


def ends(settings: Settings) -> dict[Place, int]:
    """Where every topic of commands and events ends."""
    client = clients.consumer(settings.kafka_servers())
    found = {
        (topic, part): watermarks(client, (topic, part))[1]
        for name in DOMAINS.categories
        for topic in (commands_topic(settings.topic_prefix, name), events_topic(settings.topic_prefix, name))
        for part in range(settings.partitions)
    }
    client.close()
    return found


def test_a_rebuild_of_everything_sends_nothing_and_loads_nothing_that_could(log: Settings) -> None:
    """Sixty baskets that the reactors would answer, none of them answered yet: the rebuild leaves them so."""
    before = ends(log)
    rebuild = (
        "from refold.api.cli.app import run\nassert run(['replay', 'rebuild', '--all', '--execute', '--json']) == 0\n"
    )
    assert fresh(rebuild, log.environment()) == "loaded:"
    assert ends(log) == before
    assert sent(log) == []
