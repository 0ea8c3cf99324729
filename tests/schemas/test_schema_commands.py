"""`refold schemas check`, `freeze` and `list` from the outside: what they refuse, and the place they name."""

import json
from pathlib import Path

import pytest

from refold.api.cli import app as cli
from refold.api.cli import exits

AUTHORS = '''
from typing import Annotated
from msgspec import Meta
from refold.schemas import Category, Event

class Said(Event):
    """Something was said."""
    words: Annotated[{type}, Meta(description="What.")]

CATEGORIES = (Category("{domain}.talk", (), (Said,)),)
'''


def test_the_commands_refuse_and_name_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def write(domain: str, kind: str) -> None:
        (tmp_path / domain / "schemas").mkdir(parents=True, exist_ok=True)
        (tmp_path / domain / "schemas/__init__.py").write_text(
            AUTHORS.replace("{type}", kind).replace("{domain}", domain)
        )
        monkeypatch.setenv("REFOLD_DOMAINS", domain)

    write("first_said", "str")
    assert cli.run(["schemas", "check"]) == exits.DIFFERENT
    assert cli.run(["schemas", "freeze"]) == exits.DONE
    assert cli.run(["schemas", "check"]) == exits.DONE

    write("later_said", "int")
    (tmp_path / "later_said/schemas/frozen").mkdir()
    frozen = (tmp_path / "first_said/schemas/frozen/first_said.talk.Said.v1.avsc").read_text()
    (tmp_path / "later_said/schemas/frozen/later_said.talk.Said.v1.avsc").write_text(frozen.replace("first_", "later_"))
    capsys.readouterr()
    assert cli.run(["schemas", "freeze"]) == exits.DIFFERENT
    told = capsys.readouterr().err
    assert "schema-incompatible" in told
    assert "later_said.talk.Said at $.words (against later_said.talk.Said.v1.avsc): string became long" in told
    assert len(list((tmp_path / "later_said/schemas/frozen").iterdir())) == 1
    assert cli.run(["schemas", "check", "--json"]) == exits.DIFFERENT
    assert {row["rule"] for row in json.loads(capsys.readouterr().out)} == {"not-frozen", "type"}


def test_the_list_shows_every_released_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["schemas", "list", "--json"]) == exits.DONE
    rows = {(row["category"], row["name"]): row for row in json.loads(capsys.readouterr().out)}
    assert rows["refold", "Claim"]["kind"] == "claim"
    paid = rows["retail.basket", "BasketPaid"]
    assert (paid["kind"], paid["version"], paid["written"], paid["in_log"]) == ("event", "v1", True, None)
    assert paid["fields"] == ["store_id", "lines", "total"]
    assert cli.run(["schemas", "list"]) == exits.DONE
    assert "retail.product" in capsys.readouterr().out
