"""Tests metrics on a really full disk: they stay in memory, with one log line and no SIGBUS."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from refold.api.cli import roles
from refold.api.cli.supervisor import empty_metrics
from refold.streams.settings import Settings
from tests.test_embedded_full_disk import on_a_full_disk

COUNT = """
import logging
import os
logging.basicConfig(stream=sys.stdout, format="%(message)s")
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(disk)
from refold.streams.metric_files import install
install()
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
BEFORE
counter = Counter("some_total", "Some.", ["label"])
for number in range(3000):
    counter.labels(f"label-{number:0100}").inc()
AFTER
registry = CollectorRegistry()
MultiProcessCollector(registry)
print(counter.labels(f"label-{7:0100}")._value.get(), generate_latest(registry).count(b"some_total{"))
"""


@pytest.mark.parametrize("before", ["", "del os.posix_fallocate"], ids=["", "where no such call is"])
def test_on_a_full_disk_values_are_kept_in_memory_with_one_line(tmp_path: Path, before: str) -> None:
    said = on_a_full_disk(tmp_path, COUNT.replace("BEFORE", before).replace("AFTER", "")).splitlines()
    assert [line.startswith("metrics of this process are kept in memory") for line in said] == [True, False]
    assert said[1] == "1.0 0"


def test_a_disk_that_fills_up_while_the_file_grows_ends_nothing(tmp_path: Path) -> None:
    room = "(disk / 'ballast').write_bytes(bytes(4096 * 30))"
    said = on_a_full_disk(tmp_path, COUNT.replace("BEFORE", room).replace("AFTER", "")).splitlines()
    assert len(said) == 2
    value, shown = said[1].split()
    assert value == "1.0"
    assert 0 < int(shown) < 3000


def test_with_room_every_value_is_in_the_file_and_the_file_has_no_holes(tmp_path: Path) -> None:
    program = "import sys\nfrom pathlib import Path\ndisk = Path(sys.argv[1])\n" + COUNT.replace("BEFORE", "")
    after = "[file] = disk.glob('*.db'); assert file.stat().st_blocks * 512 >= file.stat().st_size"
    done = subprocess.run(
        [sys.executable, "-c", program.replace("AFTER", after), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "1.0 3000", done.stderr


def test_a_folder_that_cannot_be_made_leaves_metrics_in_the_process_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    settings = Settings(data=tmp_path / "file")
    monkeypatch.delenv(roles.METRICS_VARIABLE, raising=False)
    roles.share_metrics(settings)
    empty_metrics(roles.metrics_folder(settings))
    assert roles.METRICS_VARIABLE not in os.environ
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "metrics are kept in this process alone"
    ]
