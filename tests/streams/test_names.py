"""Tests that a domain is refused at loading if its name means something else in a path or a database."""

from pathlib import Path

import pytest

from refold.api.cli import app as cli
from refold.api.cli import exits
from refold.projections.declaring.declaration import View
from refold.projections.tables.declared import declared_of
from refold.streams.domain import TAKEN, load_domains, refuse_taken
from refold.streams.errors import NameTaken

DOMAIN = """
from refold.schemas import Category
CATEGORIES = (Category("{name}.thing", (), ()),)
"""


@pytest.mark.parametrize("name", ["streams", "commands", "registry", "refold"])
def test_a_taken_name_is_refused_with_its_code(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package = tmp_path / f"taken_{name}"
    package.mkdir()
    (package / "schemas.py").write_text(DOMAIN.replace("{name}", name))
    (package / "streams.py").write_text("DECIDERS = ()\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(NameTaken, match=f"no domain can be called {name}"):
        load_domains([package.name])
    monkeypatch.setenv("REFOLD_DOMAINS", package.name)
    monkeypatch.setenv("REFOLD_KAFKA", "127.0.0.1:9")
    monkeypatch.setenv("REFOLD_DATABASE_URL", "postgresql://u@127.0.0.1:9/d")
    monkeypatch.chdir(tmp_path)
    assert cli.run(["status"]) == exits.USAGE
    assert capsys.readouterr().err.startswith("refold: name-taken: ")


@pytest.mark.parametrize("name", [*sorted(TAKEN), "pg_mine", "refold_b7"])
def test_every_taken_name(name: str) -> None:
    with pytest.raises(NameTaken):
        refuse_taken(name, "x")


def test_a_view_of_such_a_domain_is_refused_too() -> None:
    view = View(
        name="v",
        domain="public",
        description="A view.",
        columns={"one": ("int", "One.")},
        key=("one",),
        reads=("t",),
        sql="SELECT 1 AS one",
    )
    with pytest.raises(NameTaken):
        declared_of([view])


def test_other_names_are_free() -> None:
    for name in ("retail", "stream", "registry_office", "pgsql"):
        refuse_taken(name, "x")
