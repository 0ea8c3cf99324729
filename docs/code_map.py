"""The code map: every module, room by room, with the first line of its docstring. `python docs/code_map.py` writes the page.

It also writes the sentences of the rooms into the table in ARCHITECTURE.md, whose order is by hand.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/code-map.md"
ARCHITECTURE = ROOT / "ARCHITECTURE.md"
PACKAGES = ("schemas", "streams", "projections", "testing", "retail", "access", "api")
HEAD = """# Code map

Every module with the first line of its docstring, room by room; `python docs/code_map.py` writes this page, and a test compares it
with the code. Imports point down this list of packages: `testing`, `api`, `retail`, `projections`, `streams`, `schemas`.
[ARCHITECTURE.md](../ARCHITECTURE.md) has the path of one event through them, [glossary.md](glossary.md) the words.
"""


def first_line(path: Path) -> str:
    """The first paragraph of a module's docstring, on one line."""
    doc = ast.get_docstring(ast.parse(path.read_text())) or ""
    return doc.split("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def room(folder: Path) -> list[str]:
    """One room: its sentence, then its modules."""
    modules = [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
    name = folder.relative_to(ROOT).as_posix()
    lines = ["", f"{'#' * min(2 + name.count('/'), 4)} `{name}/`", first_line(folder / "__init__.py")]
    if modules:
        lines += ["", "| module | what it is |", "|---|---|"]
        lines += [f"| `{path.stem}` | {first_line(path)} |" for path in modules]
    return lines


def page() -> str:
    """The whole page."""
    lines = HEAD.splitlines()
    for package in PACKAGES:
        for init in sorted((ROOT / package).rglob("__init__.py")):
            lines += room(init.parent)
    return "\n".join(lines) + "\n"


def architecture() -> str:
    """ARCHITECTURE.md with each room's own sentence in the table of rooms."""

    def row(found: re.Match[str]) -> str:
        init = ROOT / found[1] / "__init__.py"
        return f"| `{found[1]}` | {first_line(init)} |" if init.exists() else found[0]

    return re.sub(r"^\| `([\w/]+)` \| .* \|$", row, ARCHITECTURE.read_text(), flags=re.MULTILINE)


if __name__ == "__main__":
    PAGE.write_text(page())
    ARCHITECTURE.write_text(architecture())
