"""What authors and producers import: a few names from five packages, each in docs/public-api.md, and nothing else in examples."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FACES = ("refold.schemas", "refold.streams", "refold.projections", "refold.reactors", "refold.testing")
MOST_NAMES = 50
PAGE = (ROOT / "docs/public-api.md").read_text()
AUTHORED = sorted([*(ROOT / "examples").rglob("*.py"), *(ROOT / "retail").rglob("*.py")])


def imports(source: str) -> list[tuple[str, str]]:
    return [
        (node.module, name.name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module
        for name in node.names
    ]


@pytest.mark.parametrize("face", FACES)
def test_every_public_name_is_there_and_documented(face: str) -> None:
    names = importlib.import_module(face).__all__
    assert len(names) <= MOST_NAMES
    for name in names:
        assert getattr(importlib.import_module(face), name) is not None
    section = PAGE.split(f"## `{face}`")[1].split("\n## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == sorted(names)


@pytest.mark.parametrize("path", AUTHORED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_authors_code_imports_public_names_only(path: Path) -> None:
    for module, name in imports(path.read_text()):
        if module.startswith("refold") and not module.startswith("refold.retail"):
            assert module in FACES
            assert name in importlib.import_module(module).__all__


@pytest.mark.parametrize("page", ["docs/domains.md", "docs/projections.md", "docs/i-want-to-know.md"])
def test_authors_pages_import_public_names_only(page: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    shown = [block for block in blocks if "# what the platform makes of it" not in block]
    found = {module for block in shown for module, _ in imports(block) if module.startswith("refold")}
    assert found
    assert {module for module in found if not module.startswith("refold.retail")} <= set(FACES)


def test_the_example_is_frozen_and_decides() -> None:
    code = (
        "from todo.schemas import AddTask, TaskAdded, TickTask\n"
        "from todo.streams import Task, decide, evolve\n"
        "added = decide(AddTask(task_id='t1', list='home', title='Water the plants'), Task())\n"
        "assert added == TaskAdded(list='home', title='Water the plants')\n"
        "task = evolve(Task(), added)\n"
        "assert evolve(task, decide(TickTask(task_id='t1'), task)).done\n"
    )
    examples = ROOT / "examples"
    for words in (["-c", code], ["-m", "refold.api.cli.app", "schemas", "check"]):
        subprocess.run([sys.executable, *words], cwd=examples, check=True, capture_output=True)
