"""An attempt that never ends is ended by the CPU time of its thread; whoever waits, was stopped or gets somewhere is left alone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from refold.streams.exit_codes import WORK_FAILED as STUCK
from refold.streams.guard.attempts import Attempts

PROGRAM = """
import os, re, sys, threading, time
from pathlib import Path
from refold.streams import stuck
from refold.streams.guard.attempts import Attempts
from refold.streams.chunk import Chunk

LIMIT = 0.5

def burns(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        sum(range(1000))

def loops():
    burns(60)

def holds_the_lock():
    re.match(r"(a+)+$", "a" * 60 + "b")

def waits():
    time.sleep(2.5)

def waits_while_others_work():
    other = threading.Thread(target=burns, args=(2,))
    other.start()
    other.join()

def is_long_but_gets_somewhere():
    for _ in range(6):
        burns(0.3)
        stuck.goes_on()

def is_many():
    for _ in range(6):
        attempts.begin([Chunk("t", 0, 3, [b""])])
        burns(0.3)
        attempts.end()

def works_outside_of_attempts():
    attempts.end()
    burns(2)

attempts = Attempts(Path(sys.argv[1]), "g")
stuck.StuckWatch(LIMIT, tick_s=0.1)
print("watched", flush=True)

def attempt():
    attempts.begin([Chunk("t", 0, 3, [b""])])
    globals()[sys.argv[2]]()
    attempts.end()

thread = threading.Thread(target=attempt)
thread.start()
thread.join()
attempts.close()
"""


def started(folder: Path, work: str) -> "subprocess.Popen[str]":
    arguments = [sys.executable, "-c", PROGRAM, str(folder), work]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "watched\n"
    return process


@pytest.mark.parametrize(
    ("work", "code", "line"),
    [("loops", STUCK, "in burns"), ("holds_the_lock", signal.SIGPROF, "in holds_the_lock")],
)
def test_what_never_ends_is_a_death_with_a_traceback(tmp_path: Path, work: str, code: int, line: str) -> None:
    process = started(tmp_path, work)
    _, errors = process.communicate(timeout=50)
    assert process.returncode == code, errors
    assert line in errors
    assert [(s.start, s.end, s.deaths) for s in Attempts(tmp_path, "g").suspects] == [(3, 4, 1)]


@pytest.mark.parametrize(
    "work",
    ["waits", "waits_while_others_work", "is_long_but_gets_somewhere", "is_many", "works_outside_of_attempts"],
)
def test_who_waits_or_gets_somewhere_lives(tmp_path: Path, work: str) -> None:
    process = started(tmp_path, work)
    _, errors = process.communicate(timeout=50)
    assert (process.returncode, errors) == (0, "")
    assert Attempts(tmp_path, "g").suspects == []


def test_a_stopped_process_lives_on(tmp_path: Path) -> None:
    process = started(tmp_path, "waits")
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(3)
    os.kill(process.pid, signal.SIGCONT)
    _, errors = process.communicate(timeout=50)
    assert (process.returncode, errors) == (0, "")
