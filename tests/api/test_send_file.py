"""`refold send --file`: the files that it refuses, and the ids that it gives to lines without one."""

import os
from pathlib import Path

import pytest

from refold.api.cli import exits
from refold.api.cli.app import run
from refold.api.cli.send_file import Tally, _content_id


def test_a_file_that_is_not_there_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["send", "--file", str(tmp_path / "nothing.ndjson")]) == exits.USAGE
    err = capsys.readouterr().err
    assert err.startswith("refold: file-unreadable: ")
    assert err.count("\n") == 1


def test_a_pipe_is_refused_since_nothing_would_be_left_to_send(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    writing = os.open(pipe, os.O_RDWR)
    try:
        assert run(["send", "--file", str(pipe)]) == exits.USAGE
    finally:
        os.close(writing)
    assert "not a regular file" in capsys.readouterr().err


@pytest.mark.parametrize("results", ["x.ndjson", "link.ndjson"])
def test_answers_are_not_written_over_the_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], results: str
) -> None:
    commands = tmp_path / "x.ndjson"
    commands.write_text("{}\n")
    (tmp_path / "link.ndjson").symlink_to(commands)
    assert run(["send", "--file", str(commands), "--results", str(tmp_path / results)]) == exits.USAGE
    assert "both the commands and the answers" in capsys.readouterr().err
    assert commands.read_text() == "{}\n"


@pytest.mark.parametrize("arguments", [[], ["retail.basket.OpenBasket", "--file", "x"]])
def test_either_a_command_or_a_file(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["send", *arguments]) == exits.USAGE
    assert "--file" in capsys.readouterr().err


def test_ids_are_made_of_all_that_the_file_holds(tmp_path: Path) -> None:
    one, same, other = (tmp_path / name for name in ("one", "same", "other"))
    for path, text in [(one, "a\nb\n"), (same, "a\nb\n"), (other, "a\nb\nc\n")]:
        path.write_text(text)
    assert _content_id(one) == _content_id(same) != _content_id(other)


def test_results_are_counted_by_status_and_code_with_the_first_of_each() -> None:
    tally = Tally(1000)
    tally.read = 500
    tally.take([{"line": n, "status": 201} for n in range(5)])
    rejected = {"status": 409, "code": "basket-exists", "detail": "the basket is open already"}
    tally.take([{"line": n, **rejected} for n in (6, 7)])
    assert tally.rows() == [
        {"status": 201, "code": "", "lines": 5, "first": ""},
        {"status": 409, "code": "basket-exists", "lines": 2, "first": "line 6: the basket is open already"},
    ]
    assert tally.progress().startswith("7 lines answered, ")
