"""The pages as a site: built strictly, found by its reader, the same text as on the forge, and nothing that is fetched from elsewhere."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent
CONFIG: dict[str, Any] = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
FORGE = MarkdownIt("commonmark").enable("table")
SHAPES = ("ul", "ol", "li", "table", "tr", "pre", "h2", "h3", "blockquote", "strong", "em")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `build/pages` and `build/site`."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / "zensical.toml", folder)
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def build(folder: Path, *, stage: bool = True) -> "subprocess.CompletedProcess[str]":
    if stage:
        subprocess.run([sys.executable, str(ROOT / "docs/site.py"), str(folder / "build/pages")], check=True)
    return subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


def pages(built: Path) -> list[Path]:
    return sorted(path.relative_to(built / "build/pages") for path in (built / "build/pages").rglob("*.md"))


def html(built: Path, page: Path) -> str:
    whole = (built / "build/site" / page.with_suffix(".html")).read_text()
    return whole[whole.index("<article") : whole.index("</article>")]


def navigation(entries: list[dict[str, Any]]) -> list[str]:
    return [
        page
        for entry in entries
        for there in entry.values()
        for page in (navigation(there) if isinstance(there, list) else [there])
    ]


def test_every_page_is_in_the_navigation_once(built: Path) -> None:
    assert sorted(navigation(CONFIG["nav"])) == [str(page) for page in pages(built)]


def test_a_page_has_on_the_forge_and_in_the_site_the_same_lists_tables_and_code(built: Path) -> None:
    """The forge reads CommonMark, the site another Markdown: an empty line too few makes text of a list there."""

    def counted(text: str) -> dict[str, int]:
        return {shape: len(re.findall(rf"<{shape}[ >]", text)) for shape in SHAPES}

    for page in pages(built):
        source = (built / "build/pages" / page).read_text()
        assert counted(html(built, page)) == counted(FORGE.render(source)), page


def test_nothing_is_fetched_from_elsewhere(built: Path) -> None:
    for page in (built / "build/site").rglob("*.html"):
        fetched = re.findall(
            r"<(?:script|link|img|iframe|source)\b[^>]*(?:src|href)=\"?(https?:[^\"> ]+)", page.read_text()
        )
        assert fetched == [], page.name
    for sheet in (built / "build/site").rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?(?:https?:)?//", sheet.read_text()), sheet.name


def test_the_search_finds_each_page(built: Path) -> None:
    index = json.loads((built / "build/site/search.json").read_text())
    found = {item["location"].split("#")[0] for item in index["items"]}
    assert {str(page.with_suffix(".html")) for page in pages(built)} <= found


def test_links_lead_to_pages_and_sources_are_names(built: Path) -> None:
    first = html(built, Path("index.md"))
    assert 'href="architecture.html"' in first
    assert 'href="architecture.html"' in html(built, Path("benchmarks.md"))
    assert "is a module of <code>benchmarks</code>" in html(built, Path("benchmarks.md"))


@pytest.mark.parametrize("link", ["nowhere.md", "sql.md#nowhere"])
def test_a_link_that_leads_nowhere_fails(built: Path, tmp_path: Path, link: str) -> None:
    shutil.copytree(built / "build/pages", tmp_path / "build/pages")
    shutil.copy(built / "zensical.toml", tmp_path)
    with (tmp_path / "build/pages/demo.md").open("a") as page:
        page.write(f"\n[there]({link})\n")
    assert build(tmp_path, stage=False).returncode != 0
