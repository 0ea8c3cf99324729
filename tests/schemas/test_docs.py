"""The pages for authors are run: their files written, their commands given, their Python executed in order."""

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from refold.api.cli import app as cli
from refold.schemas.codec import Codec
from refold.streams.domain import load_domains

ROOT = Path(__file__).parent.parent.parent
_BLOCK = re.compile(r"^```(python|toml|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\S+\.(?:py|toml))\n")


@pytest.fixture
def _room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder of its own, whose packages can be imported and are forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "library":
            del sys.modules[name]


def _run(kind: str, text: str, names: dict[str, Any], where: str) -> None:
    if found := _FILE.match(text):
        path = Path(found.group(1))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    elif kind == "python":
        exec(compile(text, where, "exec"), names)
    elif kind == "sh":
        for line in text.splitlines():
            program, *arguments = shlex.split(line, comments=True)
            assert program == "refold"
            assert cli.run(arguments) == 0, line


@pytest.mark.usefixtures("_room")
@pytest.mark.parametrize("page", ["contracts.md", "domains.md", "projections.md", "i-want-to-know.md"])
def test_the_page_does_what_it_says(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "page"}
    blocks = list(_BLOCK.finditer(text))
    assert blocks
    for block in blocks:
        line = text.count("\n", 0, block.start())
        _run(block.group(1), block.group(2), names, f"{page}:{line + 2}")


def test_every_part_of_a_record_in_the_page_is_there() -> None:
    """The annotated bytes of docs/contracts.md are those that the recipe below them makes."""
    text = (ROOT / "docs/contracts.md").read_text(encoding="utf-8")
    shown = re.search(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert shown is not None
    raw = bytes.fromhex("".join(re.findall(r"^(?:[0-9a-f]{2} )+", shown.group(1), re.MULTILINE)))
    meta, command = Codec(load_domains(["retail"]).catalog).read_command(raw)
    assert (meta.stream, type(command).__name__) == ("b1", "PayBasket")
