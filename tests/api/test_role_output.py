"""Where supervised lines go when the disk refuses them."""

import io
import sys
from pathlib import Path

import pytest

from refold.api.cli.logs import keep_in_files, labelled_lines
from refold.api.cli.supervisor import Child


def full_disk(folder: Path) -> Path:
    """A log file on which each write says that no space is left."""
    (folder / "core.log").symlink_to("/dev/full")
    return folder


def test_lines_that_a_full_disk_refuses_are_dropped_with_one_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write = keep_in_files(full_disk(tmp_path))
    for number in range(3):
        write("core", f"line {number}")
    assert capsys.readouterr().err.count("log lines are dropped: No space left on device") == 1
    (tmp_path / "core.log").unlink()
    write("core", "line 3")
    write("core", "line 4")
    assert (tmp_path / "core.log").read_text().splitlines() == [
        "3 lines were dropped here: the disk refused them",
        "line 3",
        "line 4",
    ]


def test_a_folder_that_cannot_be_made_ends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    keep_in_files(tmp_path / "file" / "logs")("core", "a line")
    assert "log lines are dropped" in capsys.readouterr().err


def test_a_stderr_on_a_full_disk_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with io.TextIOWrapper(io.FileIO("/dev/full", "w"), write_through=True) as full:
        monkeypatch.setattr(sys, "stderr", full)
        labelled_lines("core", "a line")
        monkeypatch.undo()


def test_a_role_is_restarted_though_its_lines_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = iter((1, None, 1))
    child = Child("core", "core", {}, keep_in_files(full_disk(tmp_path)), lambda _: True)
    runs: list[int | None] = []

    def run_once(self: Child) -> int:
        runs.append(result := next(codes))
        if len(runs) == 3:
            self.ask_to_stop()
        if result is None:
            raise OSError(11, "Resource temporarily unavailable")
        return result

    monkeypatch.setattr(Child, "_run_once", run_once)
    child.start()
    child._thread.join(30)
    assert len(runs) == 3
