"""The forge's files are what the forge takes, and its workflow runs `.ci/run` on every Python that the package names."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
FORGE = ROOT / ".github"
WORKFLOWS = sorted((FORGE / "workflows").glob("*.yml"))
FORMS = sorted((FORGE / "ISSUE_TEMPLATE").glob("*.yml"))


def check(schema: str, path: Path) -> "subprocess.CompletedProcess[str]":
    """Against a schema that the package check-jsonschema carries: nothing is fetched."""
    return subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_one(path: Path) -> None:
    done = check("vendor.github-workflows", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_check_itself_sees_a_workflow_that_is_none(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(WORKFLOWS[0].read_text().replace("runs-on:", "runs-at:"))
    done = check("vendor.github-workflows", wrong)
    assert (done.returncode, "Schema validation errors were encountered" in done.stdout) == (1, True), done.stderr


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_an_issue_form_is_one(path: Path) -> None:
    done = check("vendor.github-issue-config" if path.name == "config.yml" else "vendor.github-issue-forms", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_compose_file_is_one() -> None:
    done = check("vendor.compose-spec", ROOT / "docker/compose.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_and_nothing_else(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert "permissions" not in job, name
        assert job["timeout-minutes"] <= 90, name
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, name
    assert "secrets." not in path.read_text()


def test_ci_runs_on_every_python_that_the_package_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"Python :: (3\.\d+)$", "\n".join(project["classifiers"]), re.MULTILINE)
    workflow = yaml.safe_load((FORGE / "workflows/ci.yml").read_text())
    everything = workflow["jobs"]["everything"]
    assert everything["strategy"]["matrix"]["python"] == named
    assert f">={named[0]}" == project["requires-python"]
    assert everything["steps"][-1] == {"run": ".ci/run"}


def test_each_hook_before_a_commit_is_a_program_of_the_environment() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repo["repo"] for repo in hooks["repos"]] == ["local"], "nothing is fetched"
    for hook in hooks["repos"][0]["hooks"]:
        program = Path(hook["entry"].split()[0])
        assert (hook["language"], program.parent) == ("system", Path(".venv/bin"))
        assert (Path(sys.executable).parent / program.name).exists()
