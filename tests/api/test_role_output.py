"""Lines of supervised processes when the disk refuses them."""

import io
import sys
from pathlib import Path

import pytest

from refold.api.cli import logs
from refold.api.cli.logs import formed, keep_in_files, stderr_lines
from refold.api.cli.supervisor import Child
from refold.streams.journal.formats import Form, LineWriter, as_json, as_text, read


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
    assert capsys.readouterr().err.count("log lines of core are dropped: No space left on device") == 1
    (tmp_path / "core.log").unlink()
    write("core", "line 3")
    write("core", "line 4")
    note, *rest = (tmp_path / "core.log").read_text().splitlines()
    assert (found := read(note))
    assert found.message == "3 lines were dropped here because the disk refused them"
    assert rest == ["line 3", "line 4"]


def test_a_folder_that_cannot_be_made_ends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    keep_in_files(tmp_path / "file" / "logs")("core", "a line")
    assert "log lines of core are dropped" in capsys.readouterr().err


def test_a_stderr_on_a_full_disk_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with io.TextIOWrapper(io.FileIO("/dev/full", "w"), write_through=True) as full:
        monkeypatch.setattr(sys, "stderr", full)
        stderr_lines("core", "a line")
        monkeypatch.undo()


def test_a_role_is_restarted_though_its_lines_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = iter((1, None, 1))
    child = Child("core", "core", {"REFOLD_DATA": str(tmp_path)}, keep_in_files(full_disk(tmp_path)), lambda _: True)
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


RAW = "Fatal Python error: Aborted: postgresql://u:hidden@h/d"


@pytest.mark.parametrize("form", [as_text, as_json])
def test_what_comes_from_below_a_process_is_put_into_the_form_of_its_lines(form: Form) -> None:
    line = formed(RAW, form, LineWriter("core", 7))
    assert (found := read(line))
    assert (found.level, found.logger) == ("WARNING", "stderr")
    assert found.message == "Fatal Python error: Aborted: postgresql://u:**********@h/d"
    assert formed(line, form, LineWriter("other", 8)) == line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_the_process_the_time_and_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    stderr_lines("core", "2026-11-28T08:44:38.123Z INFO core[7] refold.x: it is said")
    stderr_lines("handler-2", "2026-11-28T08:44:38.123Z ERROR handler[8] refold.x: it failed")
    stderr_lines("handler-2", "    Traceback")
    monkeypatch.setenv("NO_COLOR", "1")
    stderr_lines("core", "2026-11-28T08:44:38.123Z WARNING core[7] refold.x: w")
    monkeypatch.undo()
    assert terminal.getvalue().splitlines() == [
        "\x1b[36mcore    |\x1b[0m 08:44:38 it is said",
        "\x1b[33mhandler-2|\x1b[0m 08:44:38 ERROR it failed",
        "\x1b[33mhandler-2|\x1b[0m     Traceback",
        "core    | 08:44:38 WARNING w",
    ]


def test_elsewhere_a_line_stays_as_its_process_wrote_it(capsys: pytest.CaptureFixture[str]) -> None:
    line = "2026-11-28T08:44:38.123Z INFO core[7] refold.x: it is said"
    stderr_lines("core", line)
    assert capsys.readouterr().err == f"{line}\n"


def test_large_files_of_processes_begin_anew_and_those_of_servers_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LIMIT", 3)
    for name in ("core.log", "handler-2.log", "kafka.log", "postgres.log", "core.old.log"):
        (tmp_path / name).write_text("long")
    keep_in_files(tmp_path)
    keep_in_files(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "core.old.log", "handler-2.old.log", "kafka.log", "postgres.log",
    ]  # fmt: skip
