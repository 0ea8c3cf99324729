"""Put every page into build/pages, or another folder, to build the site from: `python docs/site.py [FOLDER]`. `make site` runs it.

On the forge the pages lie in the root folder and in docs/ and link to each other and to sources. In the site they lie side by
side, README is the first page, and a link to a source is the source's name. A link that leads nowhere ends the program with 1.
The forge takes a list right after a paragraph for one; the site's Markdown needs an empty line between them.
"""

import os
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_BLOCK = re.compile(r"(^```.*?^```)", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"(`[^`\n]*`(?!\]))")
_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
_LINK = re.compile(r"\[(?P<text>[^\]\n]*)\]\((?!\w+:)(?P<path>[^)#\s]*)(?P<anchor>#[^)\s]*)?\)")
_LIST_AFTER_TEXT = re.compile(r"(^(?![-*] |\d+\. |\s|\||#).+\n|\A\n)(?=[-*] |\d+\. )", re.MULTILINE)


def staged() -> dict[Path, Path]:
    """Each page of the repository, and where it lies in the site."""
    roots = {page: Path("index.md" if page.stem == "README" else page.name.lower()) for page in ROOT.glob("*.md")}
    roots |= {page: Path(f"{page.parent.name}.md") for page in ROOT.glob("[a-z]*/README.md")}
    return roots | {page: page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md")}


def rewritten(page: Path, pages: dict[Path, Path]) -> str:
    """A page with its links as they are in the site. Raises FileNotFoundError."""

    def link(found: re.Match[str]) -> str:
        name, anchor = found["text"].strip("`"), found["anchor"] or ""
        target = (page.parent / found["path"]).resolve() if found["path"] else page
        if target in pages:
            place = os.path.relpath(pages[target], pages[page].parent) if target != page else ""
            return f"[{_title(target) if name.endswith('.md') else found['text']}]({place}{anchor})"
        if not target.exists():
            raise FileNotFoundError(f"{page.relative_to(ROOT)} links to {found['path']}, which is not there")
        return f"`{name}`"

    def text(part: str) -> str:
        pieces = _CODE.split(_LIST_AFTER_TEXT.sub(r"\1\n", part))
        return "".join(piece if at % 2 else _LINK.sub(link, piece) for at, piece in enumerate(pieces))

    parts = _BLOCK.split(page.read_text(encoding="utf-8"))
    return "".join(part if at % 2 else text(part) for at, part in enumerate(parts))


def _title(page: Path) -> str:
    """A page's heading: the site says it where a text names the file."""
    found = _TITLE.search(page.read_text(encoding="utf-8"))
    return found[1] if found else page.name


def stage(folder: Path) -> None:
    """Write the folder anew. Raises FileNotFoundError."""
    pages = staged()
    shutil.rmtree(folder, ignore_errors=True)
    for page, place in pages.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(rewritten(page, pages), encoding="utf-8")
    shutil.copy(ROOT / "docs/site.css", folder)


if __name__ == "__main__":
    try:
        stage(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build/pages")
    except FileNotFoundError as problem:
        sys.exit(str(problem))
