"""docs/i-want-to-know.md: each declaration can be a table or view of one database, and forty-three questions are asked."""

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import psycopg
import pytest

from refold.projections import Entity, Rollup, View
from refold.projections.live.trial import refused
from refold.projections.tables.declared import declared_of

PAGE = (Path(__file__).parents[2] / "docs/i-want-to-know.md").read_text(encoding="utf-8")


def page_module(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The page's blocks as one module, since `evolve` needs a source file; each block runs its own assertions."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (folder / "i_want_to_know.py").write_text("\n".join(blocks), encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    return import_module("i_want_to_know")


def test_forty_four_questions_are_asked() -> None:
    asked = re.findall(r"^\*\*(\d+)\. |^\| (\d+) \|", PAGE, re.MULTILINE)
    assert [int(one or other) for one, other in asked] == list(range(1, 45))


@pytest.mark.usefixtures("servers")
def test_postgres_makes_each_table_and_view_of_the_page(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = page_module(tmp_path, monkeypatch)
    models = [value for value in vars(page).values() if isinstance(value, Rollup | Entity | View)]
    assert len(models) > 30
    assert refused(database, declared_of(models)) == []
    with psycopg.connect(database) as db:
        made = db.execute("SELECT count(*) FROM pg_views WHERE schemaname = 'post'").fetchone()
    assert made == (len(models),)
