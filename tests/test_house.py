"""The house: every module on the map, every room with its sentence, every page linked, every path in prose there."""

import ast
import re
from pathlib import Path

import pytest

from docs import code_map
from refold.streams import exit_codes, failpoints

ROOT = Path(__file__).parent.parent
MODULES = [path for package in code_map.PACKAGES for path in (ROOT / package).rglob("*.py")]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
PROSE = [*PAGES, *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "STYLE.md"))]
MOST_ROOMS, MOST_LINES, LONGEST_FUNCTION = 12, 300, 50
PATH = re.compile(
    r"`((?:schemas|streams|projections|retail|api|tests|benchmarks|docs|docker|findings|examples)/[\w./-]+)`"
)


def test_the_code_map_says_what_the_modules_say() -> None:
    assert code_map.PAGE.read_text() == code_map.page(), "run: python docs/code_map.py"


def test_the_table_of_rooms_says_what_the_rooms_say() -> None:
    assert code_map.ARCHITECTURE.read_text() == code_map.architecture(), "run: python docs/code_map.py"
    packages = ("schemas", "streams", "projections", "testing", "api")
    rooms = {
        path.parent.relative_to(ROOT).as_posix()
        for package in packages
        for path in (ROOT / package).rglob("__init__.py")
    }
    rooms -= {"api"}
    listed = set(re.findall(r"^\| `([\w/]+)` \|", code_map.ARCHITECTURE.read_text(), re.MULTILINE))
    assert rooms - listed == set()


def test_every_room_and_module_says_what_it_is() -> None:
    assert len(MODULES) > 300
    assert [path for path in MODULES if not code_map.first_line(path)] == []


def test_rooms_are_few_and_files_are_short() -> None:
    rooms = [path.parent for path in (ROOT / "streams").glob("*/__init__.py")]
    assert len(rooms) <= MOST_ROOMS
    long = []
    for path in MODULES:
        tree = ast.parse(path.read_text())
        if len(path.read_text().splitlines()) > MOST_LINES:
            long.append(str(path))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                if node.end_lineno - node.lineno >= LONGEST_FUNCTION:
                    long.append(f"{path}:{node.lineno}")
    assert long == []


def test_the_readme_links_every_page() -> None:
    linked = set(re.findall(r"\]\((docs/[\w/.-]+\.md)", (ROOT / "README.md").read_text()))
    decisions = {path for path in PAGES if path.parent.name == "decisions" and path.name != "index.md"}
    assert {path.relative_to(ROOT).as_posix() for path in PAGES if path not in decisions} <= linked


@pytest.mark.parametrize("page", PROSE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_paths_named_in_prose_are_there(page: Path) -> None:
    gone = []
    for named in PATH.findall(page.read_text()):
        path = ROOT / named.rstrip("/.")
        if not (path.exists() or path.with_suffix(".py").exists() or any(ROOT.glob(named + ".*"))):
            gone.append(named)
    assert gone == []


def test_words_of_ours_are_in_the_glossary_and_used() -> None:
    words = re.findall(r"^\*\*([\w ]+)\*\*", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    assert len(words) >= 20
    assert words == sorted(words, key=str.lower)
    prose = "\n".join(path.read_text().lower() for path in PROSE if path.name != "glossary.md")
    assert [word for word in words if word.lower() not in prose] == []


def test_columns_of_the_envelope_are_named_in_one_place() -> None:
    found = [name for path in MODULES for name in re.findall(r"[\"'](m_[a-z_]+)[\"']", path.read_text())]
    assert len(found) > 15
    assert sorted(found) == sorted(set(found)), "a name that stands twice is a constant of its module"


def test_every_exit_code_is_documented_and_stands_once() -> None:
    codes = {name: value for name, value in vars(exit_codes).items() if isinstance(value, int) and name.isupper()}
    assert len(codes) == len(set(codes.values())) > 5
    table = (ROOT / "docs/cli.md").read_text().split("| exit code |")[1]
    assert {str(value) for value in codes.values()} <= set(re.findall(r"^\| (-?\d+)", table, re.MULTILINE))


def test_each_control_table_is_written_by_one_module() -> None:
    written = re.compile(r"(?:INSERT INTO|UPDATE|DELETE FROM|COPY) (refold\.[a-z_]+)")
    writers: dict[str, set[str]] = {}
    for path in MODULES:
        for table in written.findall(path.read_text()):
            writers.setdefault(table, set()).add(path.relative_to(ROOT).as_posix())
    assert len(writers) > 12
    assert {table: sorted(modules) for table, modules in writers.items() if len(modules) > 1} == {}


def test_every_failpoint_is_listed_and_those_of_replays_are_documented_and_killed_at() -> None:
    named = [
        name
        for path in MODULES
        for name in re.findall(r'[^\w.]failpoint\("([^"]+)"\)', path.read_text(encoding="utf-8"))
    ]
    assert set(named) == set(failpoints.NAMES)
    of_replays = {name for name in failpoints.NAMES if name.startswith("replay.")}
    page = (ROOT / "docs/replay.md").read_text(encoding="utf-8")
    assert {name for name in of_replays if f"`{name}`" not in page} == set()
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert {name for name in of_replays if f'"{name}"' not in tests} == set()
