"""What a build notes before `evolve`: whole batches at first, single records after a death, and who died of which."""

from pathlib import Path

import pytest

from refold.projections.replay.evolve_notes import EvolveNotes
from refold.streams.chunk import Chunk
from refold.streams.guard.attempts import Attempts
from tests.killers.test_killers import PLACE, chunk, die

BATCH = chunk(0, 5)


def notes_of(folder: Path) -> EvolveNotes:
    return EvolveNotes(Attempts(folder, "g"))


def test_records_are_told_after_a_death_only_and_until_it_is_passed(tmp_path: Path) -> None:
    with notes_of(tmp_path).of([BATCH]) as tell:
        assert tell is None
    die(tmp_path, 3, 5)

    notes = notes_of(tmp_path)
    assert notes.wary
    for batch, passes in ((chunk(0, 5), False), (chunk(5, 9), True)):
        with notes.of([batch]) as tell:
            assert tell is not None
        assert notes.wary is not passes, "the record that kills may lie up to 7"
    with notes.of([chunk(9, 12)]) as tell:
        assert tell is None


def test_a_record_is_found_by_deaths_of_it_alone(tmp_path: Path) -> None:
    die(tmp_path, 0, 5)
    for deaths in range(3):
        notes = notes_of(tmp_path)
        assert notes.found(3) == [], deaths
        die(tmp_path, 2, 1, "alone")
    assert notes_of(tmp_path).found(3) == [(PLACE, 2)]


def test_another_end_of_the_process_hides_no_record(tmp_path: Path) -> None:
    """An operator's kill hits some record; what it hit is not found, and what kills still is."""
    die(tmp_path, 0, 5)
    die(tmp_path, 4, 1, "alone")
    for _ in range(2):
        die(tmp_path, 2, 1, "alone")
    notes = notes_of(tmp_path)
    assert notes.found(2) == [(PLACE, 2)]
    notes.forget(PLACE, 2)
    assert notes.found(2) == []
    with notes.of([BATCH]):
        pass
    assert not notes.wary


def test_a_failure_passes_nothing(tmp_path: Path) -> None:
    die(tmp_path, 0, 5)
    notes = notes_of(tmp_path)
    with pytest.raises(ZeroDivisionError), notes.of([BATCH]):
        _ = 1 // 0
    assert notes.wary
    assert notes_of(tmp_path).found(1) == [], "it lives"


def test_a_record_is_noted_where_it_lies(tmp_path: Path) -> None:
    die(tmp_path, 0, 5)
    with notes_of(tmp_path).of([Chunk("t", 0, 0, [b""]), Chunk("t", 1, 7, [b""])]) as tell:
        assert tell is not None
        tell(1, 7)
        lines = [path.read_text().splitlines()[0] for path in tmp_path.glob("*.note")]
        (noted,) = [line for line in lines if line]
    assert noted == '[["t", 1, 7, 8, 1, 1]]'
