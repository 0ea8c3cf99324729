"""README and docs say what is true: links lead somewhere, commands and chores exist, and README's tours run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from refold.api.cli import app as cli
from refold.api.cli.stack import Stack
from refold.streams.settings import Settings
from tests.conftest import PORTS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each `refold …` that a page names, up to the first argument that is no command."""
    named = set(re.findall(r"(?:`|^|[|;&] )refold ((?:[a-z-]+ ?)+)", page.read_text(), re.MULTILINE))
    for words in sorted(named):
        command = [word for word in words.split() if word not in {"store_daily", "on", "or"}][:2]
        depth = 2 if command[0] in {"replay", "schemas", "config", "log"} else 1
        assert cli.run([*command[:depth], "--help"]) == 0, words
    capsys.readouterr()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_chores_exist(page: Path) -> None:
    chores = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.MULTILINE)) <= chores


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_the_tours_of_the_readme_run(tmp_path: Path) -> None:
    """All blocks marked `sh`, as one session of a new terminal beside a running stack: nothing is set there."""
    tmp_path.chmod(0o755)
    tours = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    with Stack(Settings(data=tmp_path / ".refold", api_port=next(PORTS), command_wait_s=30), lambda _: None) as stack:
        stack.wait_until_ready()
        script = "set -euo pipefail\n" + "\n".join(tours).replace(
            "127.0.0.1:8080", stack.api_url.removeprefix("http://")
        )
        done = _bash(script, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count('"events":1') >= 4, "three commands accepted, one of them asked again"
    assert "basket-exists" in done.stdout
    assert '"status":"paid"' in done.stdout.replace(" ", "")
    assert "differing" in done.stdout
    assert '"ok":true' in done.stdout
    assert "records_behind" in done.stdout


def _bash(script: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REFOLD_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=500
    )
