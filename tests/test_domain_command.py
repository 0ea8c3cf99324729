"""`refold domain new` and `check` from the outside: a new domain passes its own tests and checks, and nothing is written over."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from refold.api.cli import app as cli
from refold.api.cli import exits, scaffold


def refold(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "refold.api.cli.app", *words]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=120)


def test_a_new_domain_passes_its_tests_and_checks_at_once(tmp_path: Path) -> None:
    made = refold(tmp_path, "domain", "new", "workshop", "--json")
    assert made.returncode == exits.DONE, made.stderr
    written = json.loads(made.stdout)
    assert sorted(written) == sorted(
        path.relative_to(tmp_path).as_posix()
        for path in tmp_path.rglob("*.*")
        if path.is_file() and path.suffix != ".pyc" and path.name != "refold.toml"
    )
    assert (tmp_path / "refold.toml").read_text() == 'domains = ["workshop"]\n'
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests", "-p", "no:cacheprovider"],
        cwd=tmp_path, check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert tests.returncode == 0, tests.stdout
    assert "3 passed" in tests.stdout
    checked = refold(tmp_path, "domain", "check", "--json")
    assert checked.returncode == exits.DONE, checked.stderr
    (row,) = json.loads(checked.stdout)
    assert (row["domain"], row["commands"], row["events"], row["read models"]) == ("workshop", 2, 2, 2)

    again = refold(tmp_path, "domain", "new", "workshop")
    assert again.returncode == exits.PRECONDITION
    assert "domain-exists: " in again.stderr
    second = refold(tmp_path, "domain", "new", "garage")
    assert second.returncode == exits.DONE
    assert 'Add "garage" to `domains` in refold.toml' in second.stderr

    rules = tmp_path / "workshop/projections.py"
    rules.write_text(rules.read_text().replace('added.last("title"', 'added.last("heading"'))
    faulty = refold(tmp_path, "domain", "check")
    assert faulty.returncode == exits.USAGE
    assert "bad-declaration: items.title: ItemAdded has no field heading" in faulty.stderr
    (tmp_path / "workshop/schemas/frozen/workshop.item.ItemAdded.v1.avsc").unlink()
    missing = refold(tmp_path, "domain", "check")
    assert missing.returncode == exits.PRECONDITION
    assert "schema-not-frozen: workshop.item.ItemAdded" in missing.stderr


def test_the_sql_of_views_is_tried_on_empty_tables(tmp_path: Path) -> None:
    assert refold(tmp_path, "domain", "new", "workshop").returncode == exits.DONE
    declared = tmp_path / "workshop/projections.py"
    declared.write_text(declared.read_text() + VIEWS)
    faulty = refold(tmp_path, "domain", "check")
    assert faulty.returncode == exits.USAGE
    assert (
        faulty.stderr == 'refold: view-invalid: workshop.busy: column "ownr" does not exist. Correct its declaration.\n'
    )
    declared.write_text(declared.read_text().replace("ownr", "owner"))
    sound = refold(tmp_path, "domain", "check")
    assert sound.returncode == exits.DONE, sound.stderr
    assert "Postgres makes 2 views of their SQL" in sound.stderr


VIEWS = """
from refold.projections import View

OWNER = {"owner": ("text", "Who looks after it.")}
BUSY = View(
    name="busy", domain="workshop", description="Owners.", columns=OWNER, key=("owner",), reads=("items",),
    sql="SELECT DISTINCT ownr AS owner FROM workshop.items",
)
BUSIEST = View(
    name="busiest", domain="workshop", description="Owners.", columns=OWNER, key=("owner",), reads=("busy",),
    sql="SELECT max(owner) AS owner FROM workshop.busy",
)
READ_MODELS = (*READ_MODELS, BUSY, BUSIEST)
"""


@pytest.mark.parametrize(
    ("name", "code", "why"),
    [
        ("Library", exits.USAGE, "domain-name-invalid"),
        ("my-domain", exits.USAGE, "domain-name-invalid"),
        ("../up", exits.USAGE, "domain-name-invalid"),
        ("class", exits.USAGE, "domain-name-invalid"),
        ("a" * 62, exits.USAGE, "domain-name-invalid"),
        ("commands", exits.USAGE, "name-taken"),
        ("pg_mine", exits.USAGE, "name-taken"),
        ("json", exits.PRECONDITION, "domain-exists"),
        ("retail", exits.PRECONDITION, "domain-exists"),
    ],
)
def test_a_name_that_no_domain_can_have_is_refused(
    name: str, code: int, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["domain", "new", name]) == code
    assert capsys.readouterr().err.startswith(f"refold: {why}: ")
    assert not list(tmp_path.iterdir())


def test_files_that_are_there_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_workshop.py").write_text("kept")
    assert cli.run(["domain", "new", "workshop"]) == exits.PRECONDITION
    assert "tests/test_workshop.py is there already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*.py")] == ["test_workshop.py"]


def test_the_files_of_a_domain_bear_its_name() -> None:
    for path, text in scaffold.files("workshop").items():
        assert "@domain@" not in path + text
        assert "workshop" in path
