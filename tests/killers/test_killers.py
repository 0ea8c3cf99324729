"""A decode that kills the process is tried three times, then the record is found and set aside; everything else goes on."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from refold.schemas.errors import RefoldError
from refold.streams.chunk import Chunk
from refold.streams.errors import RecordKills
from refold.streams.guard.attempts import Attempts
from refold.streams.guard.guard import GuardLimits, ProcessGuard
from refold.streams.guard.probe import Probe
from refold.streams.postgres.set_aside import Offsets, SetAside, masked, original
from tests.streams.broker import CODEC, claimed, encoded
from tests.streams.logs import claim, record
from tests.streams.test_core import OPENED

PATCHED = Path(__file__).parent / "patched"
PLACE = ("t", 0)


def chunk(start: int, end: int, values: list[bytes | None] | None = None) -> Chunk:
    return Chunk(*PLACE, start, values or [b""] * (end - start))


DIES = """
import sys, os
from pathlib import Path
from refold.streams.guard.attempts import Attempts
from refold.streams.chunk import Chunk
found = Attempts(Path(sys.argv[1]), "g")
found.begin([Chunk("t", 0, int(sys.argv[2]), [b""] * int(sys.argv[3]))], alone=bool(sys.argv[4:]))
os._exit(139)
"""


def die(folder: Path, start: int, records: int, *alone: str) -> None:
    """A process that ends at its work."""
    subprocess.run([sys.executable, "-c", DIES, str(folder), str(start), str(records), *alone], check=False, timeout=60)


def test_deaths_on_the_same_records_are_counted_and_narrowed_down(tmp_path: Path) -> None:
    die(tmp_path, 0, 100)
    die(tmp_path, 40, 100)
    found = Attempts(tmp_path, "g")
    assert [(s.start, s.end, s.deaths) for s in found.suspects] == [(40, 100, 2)]
    assert (found.deaths(chunk(0, 40)), found.deaths(chunk(0, 41)), found.deaths(chunk(100, 120))) == (0, 2, 0)
    found.passed(PLACE, 0, 60)
    assert [(s.start, s.end) for s in found.suspects] == [(60, 100)]
    found.passed(PLACE, 60, 100)
    found.close()
    assert Attempts(tmp_path, "g").suspects == []


def test_a_living_process_and_one_that_ended_in_peace_are_no_deaths(tmp_path: Path) -> None:
    living, peaceful = Attempts(tmp_path, "g"), Attempts(tmp_path, "g")
    living.begin([chunk(0, 5)])
    peaceful.begin([chunk(0, 5)])
    peaceful.end()
    peaceful.close()
    assert Attempts(tmp_path, "g").suspects == []
    assert Attempts(tmp_path, "other").suspects == []
    living.close()


class Kept:
    """A store in memory."""

    def __init__(self) -> None:
        self.aside: dict[tuple[str, int], dict[int, str]] = {}

    def load(self) -> Offsets:
        return self.aside

    def add(self, place: tuple[str, int], offsets: list[int], reason: str) -> Offsets:
        self.aside[place] = dict.fromkeys(offsets, reason)
        return self.aside


def guard_of(folder: Path, finds: list[int], asked: list[Any], kept: Any, whole: int = 1) -> ProcessGuard:
    def find(_: object, values: Any) -> list[int]:
        asked.append(len(values))
        return finds

    return ProcessGuard("g", Attempts(folder, "g"), GuardLimits(3, whole), find, kept)


def test_after_three_deaths_the_record_is_out_of_reach_and_its_neighbours_are_not(tmp_path: Path) -> None:
    value, asked, seen = encoded(record("A", 0, "c", "s", 0), OPENED)[1], list[int](), list[Any]()
    for deaths in range(3):
        guard_of(tmp_path, [2], asked, Kept())
        assert asked == [], deaths
        die(tmp_path, 0, 5)

    def work(chunks: Any) -> dict[tuple[str, int], int]:
        seen.extend(chunks[0].values)
        return {PLACE: 5}

    kept = Kept()
    guard = guard_of(tmp_path, [2], asked, kept)
    assert guard.attempt([chunk(0, 5, [value] * 5)], work) == {PLACE: 5}
    assert (asked, kept.aside) == ([5], {PLACE: {2: "decode-kills"}})
    assert [isinstance(one, SetAside) for one in seen] == [False, False, True, False, False]
    assert original(seen[2]) == value
    assert guard_of(tmp_path, [2], asked, kept).attempt([chunk(0, 5, [value] * 5)], work) == {PLACE: 5}
    assert asked == [5], "nobody is asked again"


def test_kills_that_no_record_explains_make_records_be_tried_one_by_one(tmp_path: Path) -> None:
    asked, kept, seen = list[int](), Kept(), list[tuple[int, int]]()
    for _ in range(3):
        die(tmp_path, 2, 2)

    def work(chunks: Any) -> dict[tuple[str, int], int]:
        seen.append((chunks[0].start, chunks[0].end))
        return {PLACE: chunks[0].end}

    guard = guard_of(tmp_path, [], asked, kept)
    assert guard.attempt([chunk(0, 9)], work) == {PLACE: 9}
    assert (asked, kept.aside) == ([9], {})
    assert seen == [(0, 2), (2, 3), (3, 4), (4, 9)], "alone only where deaths were"
    assert Attempts(tmp_path, "g").suspects == []


def test_what_kills_alone_three_times_is_set_aside_with_its_group(tmp_path: Path) -> None:
    """The core is given the records of one command together: alone none of them counts."""
    asked, kept, seen = list[int](), Kept(), list[tuple[int, int]]()
    for _ in range(3):
        die(tmp_path, 0, 5)

    def work(chunks: Any) -> dict[tuple[str, int], int]:
        start, end = chunks[0].start, chunks[0].end
        if end == 4 and not isinstance(chunks[0].values[-1], SetAside):
            raise Dead
        seen.append((start, end))
        return {PLACE: start if end == 3 else end}

    value = encoded(record("A", 0, "c", "s", 0), OPENED)[1]
    for deaths in range(3):
        with pytest.raises(Dead):
            guard_of(tmp_path, [], asked, kept, whole=500).attempt([chunk(0, 5, [value] * 5)], work)
        assert (asked, kept.aside) == ([5], {}), deaths
        die(tmp_path, 2, 2, "alone")
    guard = guard_of(tmp_path, [], asked, kept, whole=500)
    assert guard.attempt([chunk(0, 5, [value] * 5)], work) == {PLACE: 5}
    assert (asked, kept.aside) == ([5], {PLACE: {2: "code-kills", 3: "code-kills"}})
    assert seen == [(0, 1), (1, 2), (2, 3), *[(0, 2), (2, 3)] * 2, (0, 5)]


class Dead(BaseException):
    """Where a process would end."""


def test_a_claim_that_kills_stops_the_fold_and_is_named(tmp_path: Path) -> None:
    for _ in range(3):
        die(tmp_path, 10, 1)
    values: list[bytes | None] = [claimed(claim("A", 1))[1]]
    with pytest.raises(RecordKills, match="t/0: decoding the record at 10"):
        guard_of(tmp_path, [0], [], Kept()).attempt([chunk(10, 11, values)], lambda _: {PLACE: 11})


def test_a_failing_fold_is_no_death(tmp_path: Path) -> None:
    def fail(_: object) -> dict[tuple[str, int], int]:
        raise RefoldError("away")

    guard = guard_of(tmp_path, [], [], Kept())
    with pytest.raises(RefoldError):
        guard.attempt([chunk(0, 5)], fail)
    assert Attempts(tmp_path, "g").suspects == []


def test_an_exception_that_ends_the_process_is_a_death(tmp_path: Path) -> None:
    """`sys.exit` in a domain's code, a panic of an extension: no worker goes on behind it."""

    def fail(_: object) -> dict[tuple[str, int], int]:
        raise SystemExit

    attempts = Attempts(tmp_path, "g")
    with pytest.raises(SystemExit):
        ProcessGuard("g", attempts, GuardLimits(3), lambda *_: [], Kept()).attempt([chunk(0, 5)], fail)  # type: ignore[arg-type]  # Kept is what a guard asks of its store
    assert attempts._file is not None
    os.close(attempts._file)  # as the end of the process does
    assert [(s.start, s.end, s.deaths) for s in Attempts(tmp_path, "g").suspects] == [(0, 5, 1)]


def test_what_is_set_aside_keeps_its_envelope_and_loses_its_body() -> None:
    from refold.schemas.codec import read_envelope
    from refold.schemas.errors import Undecodable

    value = encoded(record("A", 0, "c", "s", 0), OPENED)[1]
    (aside,) = masked(chunk(7, 8, [value]), {PLACE: {7: "decode-kills", 99: "decode-kills"}}).values
    assert read_envelope(aside) == read_envelope(value)
    with pytest.raises(Undecodable):
        CODEC.read_event(aside)


@pytest.fixture
def _patched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PATCHED))
    monkeypatch.syspath_prepend(
        PATCHED
    )  # Debian's Python has a sitecustomize of its own, which the probe would take first


@pytest.mark.usefixtures("_patched")
def test_the_probe_names_the_records_that_kill() -> None:
    good = encoded(record("A", 0, "c", "s", 0), OPENED)[1]
    bad = encoded(record("A", 0, "c", "s", 0), type(OPENED)(store_id=1, household_id="kills-the-fold"))[1]
    values: list[bytes | None] = [good] * 600
    values[3], values[300], values[301], values[599] = bad, None, bad, b"\0" * 30
    assert Probe(["retail"], "retail.basket", is_events=True).killers(values) == [3, 301]
    assert Probe(["retail"], "retail.basket", is_events=False).killers(values) == []


def test_the_patch_is_not_in_this_process() -> None:
    assert "sitecustomize" not in sys.modules or str(PATCHED) not in str(sys.modules["sitecustomize"].__file__)
    assert str(PATCHED) not in os.environ.get("PYTHONPATH", "")


def test_the_probe_answers_where_a_domain_prints_as_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker's processes write without a buffer."""
    frozen = tmp_path / "noisy" / "schemas" / "frozen"
    frozen.mkdir(parents=True)
    (frozen.parent / "__init__.py").write_text("print('hello')\nCATEGORIES = ()\n")
    (tmp_path / "noisy" / "streams.py").write_text("DECIDERS = ()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    assert Probe(["retail", "noisy"], "retail.basket", is_events=True).killers([b"x"]) == []
