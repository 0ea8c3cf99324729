"""The sdist, and the wheel built from it: what they hold and what they must not."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import trove_classifiers
import yaml

import refold

ROOT = Path(__file__).parent.parent
BUILD = "import sys, hatchling.build as b; print(getattr(b, sys.argv[1])(sys.argv[2]))"


def build(hook: str, source: Path, target: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-c", BUILD, hook, str(target)], cwd=source, check=True, capture_output=True, text=True
    )
    return target / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("build")
    sdist = build("build_sdist", ROOT, folder)
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    built = build("build_wheel", folder / sdist.name.removesuffix(".tar.gz"), folder)
    with zipfile.ZipFile(built) as archive:
        return set(archive.namelist())


def test_the_only_top_level_is_refold(wheel: set[str]) -> None:
    assert {name.split("/")[0] for name in wheel if ".dist-info/" not in name} == {"refold"}


@pytest.mark.parametrize("package", ["schemas", "streams", "projections", "testing", "retail", "access", "api"])
def test_every_source_file_is_in_the_wheel(wheel: set[str], package: str) -> None:
    kinds = {".py", ".avsc", ".sql", ".txt", ".sha256", ".properties", ".yaml"}
    ours = {f"refold/{path.relative_to(ROOT)}" for path in (ROOT / package).rglob("*") if path.suffix in kinds}
    assert ours
    assert ours <= wheel


@pytest.mark.parametrize("kind", [".avsc", ".sql", "py.typed"])
def test_package_data_is_in_the_wheel(wheel: set[str], kind: str) -> None:
    assert any(name.endswith(kind) for name in wheel)


def test_the_command_is_in_the_wheel(wheel: set[str]) -> None:
    assert any(name.endswith(".dist-info/entry_points.txt") for name in wheel)


def test_the_metadata_name_what_an_index_shows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert [word for word in project["classifiers"] if word not in trove_classifiers.classifiers] == []
    assert project["authors"]
    assert project["keywords"]


def test_the_version_is_the_newest_of_the_changelog_and_its_sections_are_the_usual_ones() -> None:
    page = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## (\S+)", page, re.MULTILINE)[:2] == ["Unreleased", refold.__version__]
    usual = {"Before you upgrade", "Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", page, re.MULTILINE)) <= usual


def test_the_lock_is_hashed_and_names_no_index() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert not [line for line in lines if "://" in line or line.startswith("-")]
    assert sum("==" in line for line in lines) <= sum("--hash=sha256:" in line for line in lines)


def test_compose_runs_without_root_and_checks_health() -> None:
    compose = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())
    assert set(compose["services"]) == {"kafka", "postgres", "worker", "api"}
    for service in compose["services"].values():
        assert service["healthcheck"]["test"]
        assert service["user"] not in {"0", "root"}


def test_the_image_installs_from_the_lock_and_drops_root() -> None:
    lines = (ROOT / "docker/Dockerfile").read_text().splitlines()
    assert any("--require-hashes" in line for line in lines)
    assert [line for line in lines if line.startswith("USER ")][-1] == "USER refold"
    assert any(line.startswith("HEALTHCHECK") for line in lines)
