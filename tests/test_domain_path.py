"""Where a domain comes from: one order in every process, however it was started, and an error that says where it was looked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from refold.api.cli.roles import role_command
from refold.streams.domain import domain_module
from refold.streams.errors import BadSettings, UnknownDomain
from refold.streams.settings import Settings

SAYS = "import sys\nprint('FROM', __file__, file=sys.stderr, flush=True)\nraise SystemExit(7)\n"
APP = ["-m", "refold.api.cli.app"]
DOORS = {
    "script": [str(Path(sys.executable).with_name("refold")), "schemas", "check"],
    "module": [sys.executable, *APP, "schemas", "check"],
    "status": [sys.executable, *APP, "status"],
    "lone worker": [sys.executable, *APP, "worker", "core"],
    "supervised worker": role_command("models")[:-1],  # without what ends it with our standard input
    "api": role_command("api")[:-1],
}
PLACES = ["domain_path", "PYTHONPATH", "current folder"]


def write_domain(folder: Path, schemas: str = SAYS) -> Path:
    package = folder / "shadowed_shop"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "schemas.py").write_text(schemas)
    return package / "schemas.py"


@pytest.mark.parametrize("first", PLACES)
@pytest.mark.parametrize("door", DOORS)
def test_every_process_takes_the_same_copy(tmp_path: Path, door: str, first: str) -> None:
    copies = {place: write_domain(tmp_path / place) for place in PLACES[PLACES.index(first) :]}
    here = tmp_path / "current folder"
    path = 'domain_path = ["../domain_path"]\n' if "domain_path" in copies else ""
    (here / "refold.toml").write_text(f'domains = ["shadowed_shop"]\n{path}')
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REFOLD_")} | {
        "REFOLD_KAFKA": "127.0.0.1:9",
        "REFOLD_DATABASE_URL": "postgresql://u:p@127.0.0.1:9/d",
        "PYTHONPATH": str(tmp_path / "PYTHONPATH"),
    }
    done = subprocess.run(
        DOORS[door], cwd=here, env=environment, capture_output=True, text=True, check=False, input="", timeout=60
    )
    said = [
        line.partition("FROM ")[2] for line in done.stderr.splitlines() if "FROM " in line
    ]  # a role's print is a line
    assert [Path(each).resolve() for each in said] == [copies[first]]


def test_the_child_that_tries_a_record_takes_what_its_parent_has(tmp_path: Path) -> None:
    ours, other = write_domain(tmp_path / "ours", "CATEGORIES = ()\n"), write_domain(tmp_path / "other")
    program = (
        "import sys; from pathlib import Path; from refold.streams.domain_path import order_search\n"
        f"order_search([Path({str(ours.parents[1])!r})])\n"
        "from refold.streams.guard.probe import Probe\nProbe(['shadowed_shop'], 'x', True).killers([b'1'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=other.parents[1], capture_output=True, text=True, check=False, timeout=60
    )
    assert "FROM" not in done.stderr
    assert "the domain 'shadowed_shop' has no module shadowed_shop.streams: shadowed_shop was found in" in done.stderr
    assert str(ours.parent) in done.stderr


def test_a_domain_that_is_not_there_is_told_with_the_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnknownDomain, match="looked for nowhere_shop in ") as caught:
        domain_module("nowhere_shop", "schemas")
    assert str(tmp_path) in caught.value.message


def test_what_a_domain_needs_and_does_not_find_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "needy_shop"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "schemas.py").write_text("import need\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnknownDomain, match=r"needy_shop\.schemas needs the module need, which is not there"):
        domain_module("needy_shop", "schemas")
    with pytest.raises(UnknownDomain, match=r"no module needy_shop\.streams: needy_shop was found in "):
        domain_module("needy_shop", "streams")


def test_a_folder_of_domain_path_is_absolute_and_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "src").mkdir()
    (tmp_path / "conf" / "refold.toml").write_text('domain_path = ["src"]')
    settings = Settings.load({"REFOLD_CONFIG": "conf/refold.toml"})
    assert settings.domain_path == [tmp_path / "conf" / "src"]
    assert Settings.load(settings.environment()).domain_path == settings.domain_path
    with pytest.raises(BadSettings, match=r"domain_path: .*there is no folder gone"):
        Settings.load({"REFOLD_DOMAIN_PATH": "conf,gone"})
