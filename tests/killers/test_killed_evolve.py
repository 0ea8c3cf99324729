"""A rebuild dies of a read model's `evolve`; run again it finds the record, and its tables are those of a worker that died of it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.log_writer import LogWriter
from benchmarks.receipts import Decided
from refold.retail.schemas.basket import BASKET, BasketOpened
from refold.streams.exit_codes import WORK_FAILED as STUCK
from refold.streams.kafka.partitioner import partition_of
from refold.streams.log.topics import events_topic
from refold.streams.settings import Settings
from tests.conftest import settings_for
from tests.streams.broker import DOMAINS, fold_all, prepare, rows

EVOLVED = Path(__file__).parent / "evolved"
NOW = datetime(2026, 1, 2, tzinfo=UTC)
DIED = 139
WORKER = """
from refold.projections.live.process import models_fold
from refold.streams.guard.wiring import process_guard
from refold.streams.worker.guarded_fold import GuardedFold
from refold.streams.settings import Settings
from tests.streams.broker import fold_with

settings = Settings.load()
fold_with(settings, GuardedFold(models_fold(settings), process_guard(settings, "models")))
"""
REBUILD = ("-m", "refold.api.cli.app", "replay", "rebuild", "--execute")
Run = subprocess.CompletedProcess[str]


def until_it_lives(settings: Settings, arguments: Sequence[str]) -> list[Run]:
    """The same command, again while it dies."""
    runs: list[Run] = []
    while not runs or (runs[-1].returncode in {DIED, STUCK} and len(runs) < 6):
        runs.append(run(settings, arguments))
    return runs


def run(settings: Settings, arguments: Sequence[str], path: Sequence[Path] = (EVOLVED,)) -> Run:
    """A process that knows the read model whose `evolve` kills."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("REFOLD_")}
    return subprocess.run(
        [sys.executable, *arguments],
        env=clean | settings.environment() | {"PYTHONPATH": os.pathsep.join(map(str, [*path, Path.cwd()]))},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def codes(runs: Sequence[Run]) -> list[int]:
    found = [run.returncode for run in runs]
    assert found[-1] == 0, "\n--\n".join(run.stderr for run in runs)
    return found


def write(settings: Settings, text: str = "kills-evolve") -> str:
    """Twenty baskets, one of which kills, and goes on afterwards; where it kills."""
    prepare(settings)
    names = [text if number == 7 else "fine" for number in range(20)]
    opened = [(f"b{number}", name) for number, name in enumerate(names)]
    LogWriter(settings, DOMAINS).write(
        Decided(BASKET.name, stream, NOW, BasketOpened(store_id=1, household_id=name))
        for stream, name in [*opened, ("b7", "fine"), ("b8", "fine")]
    )
    return f"{events_topic(settings.topic_prefix, BASKET.name)}/{partition_of(b'b7', settings.partitions)}"


def tables(settings: Settings) -> list[list[tuple[object, ...]]]:
    return [
        rows(settings, "SELECT * FROM retail.baskets ORDER BY 1"),
        rows(settings, "SELECT * FROM retail.visits ORDER BY 1"),
        rows(settings, "SELECT build, stream, part, first_offset, code, waiting FROM refold.parked ORDER BY 1, 2"),
        rows(settings, "SELECT grp, topic, part, record_offset, reason FROM refold.set_aside ORDER BY 1, 2, 3, 4"),
    ]


@pytest.mark.timeout(600)
def test_a_database_filled_anew_is_that_of_a_worker_that_died_as_often(
    settings: Settings, module_database: str, tmp_path: Path
) -> None:
    live = settings.model_copy(update={"decode_attempts": 1})
    place = write(live)
    fold_all(live)
    assert codes(until_it_lives(live, ["-c", WORKER])) == [DIED, DIED, 0]
    anew = settings_for(
        settings.kafka, module_database, tmp_path / "anew", topic_prefix=settings.topic_prefix, decode_attempts=1
    )

    runs = until_it_lives(anew, [*REBUILD, "--all"])

    assert codes(runs) == [DIED, DIED, 0], "of a batch, of the record alone, and not again"
    ((offset,),) = rows(anew, "SELECT offsets[1] FROM refold.stream_offsets WHERE stream = 'b7' AND first_version = 1")
    assert [f"{place} [{offset}]" in run.stderr for run in runs] == [False, False, True]
    assert tables(anew) == tables(live)
    (parked,) = rows(anew, "SELECT build, stream, code, waiting FROM refold.parked")
    assert parked == (0, "b7", "code-kills", 2)
    assert rows(anew, "SELECT count(*), sum(openings) FROM retail.visits") == [(19, 20)]
    again = run(anew, [*REBUILD, "--all", "--json"])
    assert again.returncode == 0, again.stderr
    assert '"differing": 0' in again.stdout


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("text", "ends"), [("kills-evolve", DIED), ("loops-in-evolve", STUCK)])
def test_a_new_model_that_kills_keeps_nothing_from_the_others(settings: Settings, text: str, ends: int) -> None:
    """The live tables have passed what kills it, or never ends: only the new table is without."""
    once = settings.model_copy(update={"decode_attempts": 1, "stuck_cpu_s": 5.0})
    write(once, text)
    assert run(once, [*REBUILD, "--all"], path=()).returncode == 0

    runs = until_it_lives(once, [*REBUILD, "visits"])

    assert codes(runs) == [ends, ends, 0]
    assert rows(once, "SELECT build > 0, stream, code, waiting FROM refold.parked") == [(True, "b7", "code-kills", 2)]
    assert rows(once, "SELECT count(*), sum(openings) FROM retail.visits") == [(19, 20)]
    assert rows(once, "SELECT count(*) FROM retail.baskets") == [(20,)]
    assert rows(once, "SELECT count(*) FROM refold.set_aside") == [(0,)]
    again = run(once, [*REBUILD, "baskets", "--json"])
    assert '"differing": 0' in again.stdout, again.stderr
