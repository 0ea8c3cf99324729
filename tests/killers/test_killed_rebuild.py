"""A rebuild of an empty database dies of a record; run again, it finds the record, names it, and passes over it."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.log_writer import LogWriter
from benchmarks.receipts import Decided
from refold.retail.schemas.basket import BASKET, BasketOpened
from refold.streams.kafka.partitioner import partition_of
from refold.streams.log.topics import events_topic
from refold.streams.settings import Settings
from tests.streams.broker import DOMAINS, prepare, rows

PATCHED = Path(__file__).parent / "patched"
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def rebuilt(settings: Settings) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("REFOLD_")}
    return subprocess.run(
        [sys.executable, "-m", "refold.api.cli.app", "replay", "rebuild", "--all", "--execute"],
        env=clean | settings.environment() | {"PYTHONPATH": str(PATCHED)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.timeout(900)
def test_run_again_it_passes_over_what_killed_it(settings: Settings) -> None:
    """Once for the core, which decodes first, and once for the read models."""
    prepare(settings)
    names = ["kills-the-fold" if number == 7 else "fine" for number in range(20)]
    LogWriter(settings, DOMAINS).write(
        [
            Decided(BASKET.name, f"b{n}", NOW, BasketOpened(store_id=1, household_id=name))
            for n, name in enumerate(names)
        ]
    )
    runs = [rebuilt(settings)]
    while runs[-1].returncode == 139 and len(runs) < 5:
        runs.append(rebuilt(settings))
    assert [run.returncode for run in runs] == [139, 139, 0], "\n--\n".join(run.stderr for run in runs)
    part = partition_of(b"b7", settings.partitions)
    ((offset,),) = rows(settings, "SELECT offsets[1] FROM refold.stream_offsets WHERE stream = 'b7'")
    found = f"{events_topic(settings.topic_prefix, BASKET.name)}/{part} [{offset}]"
    assert [found in run.stderr for run in runs] == [False, True, True]
    assert rows(settings, "SELECT grp, record_offset FROM refold.set_aside ORDER BY 1") == [
        ("core", offset),
        ("models", offset),
    ]
    assert rows(settings, "SELECT stream, code FROM refold.parked") == [("b7", "decode-kills")]
    assert rows(settings, "SELECT stream FROM refold.streams WHERE state IS NULL") == [("b7",)]
    assert rows(settings, "SELECT count(*) FROM retail.baskets") == [(19,)]
