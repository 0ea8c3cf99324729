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


def test_a_class_that_is_no_contract_is_named_with_its_field_and_the_remedy_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "vague_said/schemas").mkdir(parents=True)
    authors = AUTHORS.replace("{type}", "str | None").replace("{domain}", "vague_said")
    (tmp_path / "vague_said/schemas/__init__.py").write_text(authors.replace('"What."', '"What.", max_length=9'))
    monkeypatch.setenv("REFOLD_DOMAINS", "vague_said")
    assert cli.run(["schemas", "freeze"]) == exits.USAGE
    told = capsys.readouterr().err
    assert "contract-invalid: nothing was frozen: vague_said.talk.Said at $.words: Said.words: a bound of an" in told
    assert "`Annotated[str, Meta(description=…, max_length=9)] | None`" in told
    assert "Change the class or field that the message names" in told
    assert "released class unchanged" not in told
    assert cli.run(["schemas", "check"]) == exits.DIFFERENT
    assert "1 rule broken. Change the class or field" in capsys.readouterr().err


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
