"""Workers on a disk that is really full: nothing is noted, and no record is blamed for what the disk did."""

import signal
from pathlib import Path

import pytest

from tests.test_embedded_full_disk import on_a_full_disk

NOTES = """
import os, signal, time
from refold.streams.guard.attempts import Attempts
from refold.streams.chunk import Chunk
from refold.streams.full_disk import is_full

ballast = disk / "ballast"
CHUNK = Chunk("retail.basket.events", 0, 7, [b"a", b"b"])


def fill():
    with open(ballast, "ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
"""
DIES = """
import sys
from pathlib import Path
disk = Path({disk!r})
{notes}
attempts = Attempts(disk / "attempts", "core")
attempts.begin([CHUNK])
fill()
print("full", is_full(disk), flush=True)
attempts.end()
attempts.begin([CHUNK])
os.kill(os.getpid(), signal.{name})
"""
SUPERVISED = """
from refold.api.cli import supervisor
from refold.streams.settings import Settings

ballast.unlink()
supervisor.role_command = lambda _: [sys.executable, "-c", {child!r}]
supervisor.FIRST_PAUSE_S = 60
lines = []
watched = supervisor.Supervisor(Settings(data=disk), ["core"], lambda _, line: lines.append(line))
with watched:
    until = time.monotonic() + 50
    while not any("starting it again" in line for line in lines) and time.monotonic() < until:
        time.sleep(0.05)
said = [line for line in lines if "full disk" in line]
ballast.unlink()
print(len(said), [suspect.deaths for suspect in Attempts(disk / "attempts", "core").suspects])
"""


def test_attempts_on_a_full_disk_are_not_noted_and_hinder_nobody(tmp_path: Path) -> None:
    program = NOTES + (
        "attempts = Attempts(disk / 'attempts', 'core')\n"
        "attempts.begin([CHUNK]); attempts.end(); attempts.begin([CHUNK]); attempts.close()\n"
        "print(is_full(disk), attempts.suspects, list(disk.glob('attempts/*.note')))"
    )
    assert on_a_full_disk(tmp_path, program) == "True [] []"


@pytest.mark.parametrize(("killed_by", "told"), [(signal.SIGBUS, "1 []"), (signal.SIGSEGV, "0 [1]")])
def test_a_death_by_a_full_disk_is_no_records_fault_and_any_other_is(
    tmp_path: Path, killed_by: signal.Signals, told: str
) -> None:
    """The note of the attempt was reserved before, so it is there though the disk has filled up since."""
    child = DIES.format(disk=str(tmp_path), notes=NOTES, name=killed_by.name)
    assert on_a_full_disk(tmp_path, NOTES + SUPERVISED.format(child=child)).splitlines()[-1] == told
