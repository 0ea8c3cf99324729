"""The `refold` command from the outside: one line an error, documented exit codes, help with an example."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest
from cyclopts import App

import refold
from refold.api.cli import app as cli
from refold.api.cli import exits
from refold.api.cli.freed import say_dropped
from refold.api.cli.numbers import seconds, whole
from refold.api.cli.output import print_json, print_table, say
from refold.schemas.plurals import counted
from refold.streams.errors import NotConnected

ROOT = Path(__file__).parent.parent
COMMANDS = [["dev"], ["demo"], ["worker"], ["api"], ["version"], ["config", "show"]]
COMMANDS += [["status"], ["sql"], ["replay", "rebuild"], ["replay", "release"]]
COMMANDS += [
    ["replay", name] for name in ("prepare", "verify", "preview", "builds", "promote", "rollback", "prune", "as-of")
]
COMMANDS += [["replay", "snapshots", name] for name in ("list", "drop")]
COMMANDS += [["log", "void"], ["log", "voids"]]
COMMANDS += [["keys", name] for name in ("create", "list", "rotate", "revoke")]
COMMANDS += [["schemas", name] for name in ("freeze", "check", "list", "log-check")]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("REFOLD_KAFKA", "REFOLD_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_version_as_text_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["version"]) == 0
    assert capsys.readouterr().out.strip() == refold.__version__
    assert cli.run(["version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"version": refold.__version__}


def test_config_show_masks_secrets_and_names_origins(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFOLD_DATABASE_URL", "postgresql://u:hidden@h/d")
    assert cli.run(["config", "show", "--json"]) == 0
    out = capsys.readouterr().out
    rows = {row["setting"]: row for row in json.loads(out)}
    assert "hidden" not in out
    assert rows["database_url"]["origin"] == "environment (REFOLD_DATABASE_URL)"
    assert cli.run(["config", "show"]) == 0
    assert "hidden" not in capsys.readouterr().out


def test_an_error_is_one_line_on_stderr_with_code_and_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["worker"]) == exits.UNREACHABLE
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("refold: not-connected: ")
    assert NotConnected.remedy in err


@pytest.mark.parametrize(
    "arguments",
    [["replay", "rebuild", "--all"], ["replay", "rebuild", "baskets", "--execute"], ["replay", "release", "a.b", "1"]],
)
def test_a_database_that_is_away_is_one_line_and_is_not_waited_for(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFOLD_KAFKA", "127.0.0.1:9")
    monkeypatch.setenv("REFOLD_DATABASE_URL", "postgresql://u:hidden@127.0.0.1:9/d")
    assert cli.run(arguments) == exits.UNREACHABLE
    err = capsys.readouterr().err
    assert err.startswith("refold: database-unavailable: ")
    assert err.count("\n") == 1
    assert "hidden" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["nope"],
        ["dev", "--nope"],
        ["worker", "cook"],
        *(["send", "a.b.C", "--expect", number] for number in ("1.5", "0x10", "1_000", "-1", "9" * 19, "1e3")),
        *(["send", "a.b.C", "--wait", number] for number in ("nan", "inf", "-1", "1e999")),
        ["demo", "--weeks", "2.6"],
        *(["replay", "watch", "--looks", looks] for looks in ("0", "-1", "1.5")),
        *(["replay", "watch", "--every", every] for every in ("0", "-1", "nan")),
        *(["explain", "retail.baskets", "7", "--limit", limit] for limit in ("-3", "1001", "0x10")),
        *(["trace", "7", "--limit", limit] for limit in ("0", "-1", "1001")),
        *(["log", "void", "a.b.events", "0", offset, "--reason", "r"] for offset in ("1.5", "0x10", "-1", "1_0")),
        ["log", "void", "a.b.events", "0.5"],
        ["log", "void", "a.b.events", "0", "--reason", "r", "--execute"],
        ["log", "void", "a.b.events", "0", "7", "--execute"],
        ["log", "void", "a.b.events", "0", "7", "--reason", " ", "--execute"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    assert cli.run(arguments) == exits.USAGE


def commands(app: App, path: tuple[str, ...] = ()) -> Iterator[tuple[str, App]]:
    """Every command with its words, at any depth."""
    for name in app:
        if name.startswith("-"):
            continue
        if app[name].default_command is not None:
            yield " ".join((*path, name)), app[name]
        yield from commands(app[name], (*path, name))


def test_each_number_on_the_command_line_is_read_strictly() -> None:
    loose, read = [], 0
    for words, command in commands(cli.app):
        for argument in command.assemble_argument_collection():
            if not {int, float} & (set(get_args(argument.hint)) or {argument.hint}):
                continue
            read += 1
            if argument.parameter.converter not in {whole, seconds}:
                loose.append(f"{words} {argument.name}")
    assert not loose, "cyclopts takes 2.6 for 3, 0x10 for 16, nan for a time"
    assert read > 5


def test_bad_settings_are_exit_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFOLD_COLOUR", "red")
    assert cli.run(["config", "show"]) == exits.USAGE


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([*command, "--help"]) == 0
    shown = capsys.readouterr().out
    examples = shown.count("Example: ")
    assert examples
    assert sum(line.startswith("Example: ") for line in shown.splitlines()) == examples, "each on a line of its own"


def test_the_documentation_lists_commands_and_exit_codes() -> None:
    page = (ROOT / "docs/cli.md").read_text()
    for command in COMMANDS:
        assert f"`refold {' '.join(command)}" in page
    codes = {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
    for code in codes:
        assert f"| {code} |" in page


def test_a_table_that_is_piped_folds_no_name(capsys: pytest.CaptureFixture[str]) -> None:
    name = "retail.household.events"
    print_table([{"group": "reactors", "topic": name, "more": "x" * 80, "end": 33513}])
    assert name in capsys.readouterr().out


def test_a_table_shows_texts_letter_for_letter_and_nothing_that_a_terminal_obeys(
    capsys: pytest.CaptureFixture[str],
) -> None:
    texts = ["[/x]", "[bold]b[/bold]", ":warning:", "\x1b[31mred\x07\x9b", "é\U0001f600"]
    print_table([{f"[i]{number}": text for number, text in enumerate(texts)}], "[/title] :bomb:")
    say(":warning: [bold]\x1b[2J")
    out, err = capsys.readouterr()
    for text in (
        "[/x]",
        "[bold]b[/bold]",
        ":warning:",
        r"\x1b[31mred\x07\x9b",
        "é\U0001f600",
        "[i]0",
        "[/title] :bomb:",
    ):
        assert text in out
    assert err == ":warning: [bold]\\x1b[2J\n"


def test_a_document_has_times_and_decimals_as_the_http_api_has_them(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(
        {
            "at": datetime(2026, 1, 31, 12, 0, 0, 500_000, UTC),
            "day": date(2026, 1, 31),
            "sum": Decimal("3.30"),
            "at_path": Path("a/b"),
        }
    )
    assert json.loads(capsys.readouterr().out) == {
        "at": "2026-01-31T12:00:00.500000Z", "day": "2026-01-31", "sum": "3.30", "at_path": "a/b",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("number", "execute", "said"),
    [
        (0, False, "There is nothing to drop: no tables are chosen."),
        (0, True, "There is nothing to drop: no tables are chosen."),
        (1, False, "Would drop 1 table and free 5.0 kB. Add --execute to do it."),
        (2, False, "Would drop 2 tables and free 5.0 kB. Add --execute to do it."),
        (2, True, "Dropped: 2. Freed: 5.0 kB."),
    ],
)
def test_a_drop_says_what_it_frees(number: int, execute: bool, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    say_dropped(number, "tables", 5000, execute=execute)
    assert capsys.readouterr().err.strip() == said


@pytest.mark.parametrize(
    ("number", "things", "said"),
    [
        (0, "builds", "0 builds"),
        (1, "builds", "1 build"),
        (2000, "builds", "2,000 builds"),
        (1, "categories", "1 category"),
        (1, "streams parked", "1 stream parked"),
    ],
)
def test_a_number_is_followed_by_its_noun_in_the_form_of_the_number(number: int, things: str, said: str) -> None:
    assert counted(number, things) == said


def test_the_demo_says_that_it_has_no_key(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("REFOLD_API_DOORS", "keys")
    assert cli.run(["demo", "--exit"]) == exits.USAGE
    assert "sends its receipts without a key" in capsys.readouterr().err


def test_commands_about_keys_say_that_nobody_needs_one(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["create", "till", "--role", "producer"], ["list"], ["rotate", "x"], ["revoke", "x"]):
        assert cli.run(["keys", *words]) == exits.PRECONDITION
        assert "keys-not-configured" in capsys.readouterr().err
