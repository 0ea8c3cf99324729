"""The lines of the `refold` command as other programs get them: by settings, in the documented form, on their own page."""

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from refold.api.cli import exits
from refold.streams.errors import BadSettings
from refold.streams.journal.about import FIELDS
from refold.streams.journal.formats import LineWriter, as_json
from refold.streams.journal.line import Line
from refold.streams.journal.setup import LIBRARIES, SERVICES
from refold.streams.settings import Settings
from tests.streams.spoken import TEXT

PAGE = (Path(__file__).parent.parent / "docs/logging.md").read_text()
NOWHERE = {"REFOLD_KAFKA": "127.0.0.1:9", "REFOLD_DATABASE_URL": "postgresql://u:hidden@127.0.0.1:9/d"}


def refold(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REFOLD_")} | variables
    return subprocess.run(
        [sys.executable, "-m", "refold.api.cli.app", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_levels_and_forms_are_taken_in_capitals_too() -> None:
    settings = Settings.load(
        {"REFOLD_LOG_LEVEL": "WARNING", "REFOLD_LOG_FORMAT": "Json", "REFOLD_API_ACCESS_LOG": "true"}
    )
    assert (settings.log_level, settings.log_format, settings.api_access_log) == ("warning", "json", True)


@pytest.mark.parametrize("variable", ["REFOLD_LOG_LEVEL", "REFOLD_LOG_FORMAT", "REFOLD_API_ACCESS_LOG"])
def test_a_wrong_value_is_one_error_that_names_the_setting(variable: str) -> None:
    with pytest.raises(BadSettings, match=variable.removeprefix("REFOLD_").lower()):
        Settings.load({variable: "loud"})


@pytest.mark.parametrize("form", ["json", "JSON"])
def test_settings_that_cannot_be_are_said_in_the_form_that_is_asked_for(tmp_path: Path, form: str) -> None:
    done = refold(tmp_path, "worker", "core", REFOLD_LOG_FORMAT=form, REFOLD_LOG_LEVEL="loud", REFOLD_PARTITIONS="none")
    assert done.returncode == exits.USAGE
    (line,) = map(json.loads, done.stderr.splitlines())
    assert (line["level"], line["logger"], line["code"]) == ("ERROR", "refold.end", "bad-settings")
    assert "log_level" in line["message"]
    assert "partitions" in line["message"]


@pytest.mark.parametrize("arguments", [("status",), ("worker",), ("worker", "core"), ("api",)], ids=" ".join)
@pytest.mark.parametrize("form", ["text", "json"])
def test_what_a_command_ends_by_is_its_last_line(tmp_path: Path, arguments: tuple[str, ...], form: str) -> None:
    """A service's is a line in either form; of a command that has a user it is a sentence, unless lines are JSON."""
    done = refold(tmp_path, *arguments, REFOLD_LOG_FORMAT=form)
    assert done.returncode == exits.UNREACHABLE
    last = done.stderr.splitlines()[-1]
    if form == "json":
        lines = [json.loads(line) for line in done.stderr.splitlines()]
        assert (lines[-1]["code"], lines[-1]["logger"]) == ("not-connected", "refold.end")
    elif arguments in {("status",), ("worker",)}:
        assert last.startswith("refold: not-connected: ")
    else:
        assert TEXT.fullmatch(last)
        assert "refold.end: not-connected: " in last


def test_a_one_shot_command_without_servers_tells_no_password(tmp_path: Path) -> None:
    for form in ("text", "json"):
        done = refold(tmp_path, "status", REFOLD_LOG_FORMAT=form, **NOWHERE)
        assert "database-unavailable" in done.stdout + done.stderr
        assert "hidden" not in done.stdout + done.stderr


def test_the_level_leaves_out_what_is_below_it(tmp_path: Path) -> None:
    program = (
        "import logging\nfrom refold.streams import journal\nfrom refold.streams.settings import Settings\n"
        "journal.set_up('core', Settings.load())\n"
        "for level in (10, 20, 30, 40):\n"
        "    for name in ('refold.x', 'faust.x'): logging.getLogger(name).log(level, 'at %s', level)\n"
    )
    for level, ours, theirs in (("debug", 4, 2), ("info", 3, 2), ("warning", 2, 2), ("error", 1, 1)):
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, env=os.environ | {"REFOLD_LOG_LEVEL": level},
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        assert (done.stderr.count(" refold.x: "), done.stderr.count(" faust.x: ")) == (ours, theirs)


def test_the_page_lists_every_field() -> None:
    every = dict.fromkeys(FIELDS, 1)
    line = Line(0.0, logging.INFO, "l", "m", code="c", exception="e", fields=every, count=1, total=1)
    table = PAGE.partition("## JSON")[2].partition("\n## ")[0]
    listed = re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| `")))
    assert listed == [*json.loads(as_json(line, LineWriter("core", 1)))]


def test_the_lines_that_the_page_shows_have_the_form_that_it_documents() -> None:
    shown = [line for block in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    assert len(shown) == 7
    assert [line for line in shown if not TEXT.fullmatch(line)] == []


def test_the_settings_of_shippers_can_be_read() -> None:
    vector, promtail = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
    assert set(vector["transforms"]["refold_lines"]["inputs"]) <= set(vector["sources"])
    assert set(vector["sinks"]["out"]["inputs"]) <= set(vector["transforms"])
    (job,) = promtail["scrape_configs"]
    named = job["pipeline_stages"][0]["json"]["expressions"]
    assert set(named) <= {"time", "level", "role", "code"}
    assert set(job["pipeline_stages"][2]["labels"]) <= set(named)


def test_the_page_names_every_library_that_is_held_back_and_every_role() -> None:
    spoken = PAGE[PAGE.index("## Lines of libraries") :].lower()
    assert [name for name in LIBRARIES if name.rpartition("refold.")[2] not in spoken] == []
    assert [role for role in SERVICES if f"`{role}`" not in PAGE] == []
