"""Flips one bit of the log on the broker's disk, as a worn disk does; the broker serves the flipped bytes."""

import struct
import tempfile
from pathlib import Path

import pytest

from tests.conftest import PREFIX

_BATCH = struct.Struct(">qi")


def segment(topic: str, part: int, room: Path | None = None) -> Path:
    """The newest segment of a partition, below a data folder; by default that of this run's servers."""
    rooms = [room] if room else list(Path(tempfile.gettempdir()).glob(f"{PREFIX}*"))
    found = sorted(file for each in rooms for file in each.rglob(f"{topic}-{part}/*.log"))
    if not found:
        pytest.skip("the broker's files are not here")
    return found[-1]


def flip(file: Path, offset: int) -> None:
    """Turn over the last bit of a value in the batch that holds the offset; again, and it is as it was."""
    with file.open("r+b") as log:
        data, at, place = log.read(), 0, None
        while at < len(data):
            base, length = _BATCH.unpack_from(data, at)
            if base <= offset:
                place = at + _BATCH.size + length - 8
            at += _BATCH.size + length
        assert place is not None
        log.seek(place)
        log.write(bytes([data[place] ^ 1]))
