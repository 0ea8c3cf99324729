"""Whatever comes in that is bad has one answer with a stable code, and the docs list the code. One table, every row."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from refold.api import error_words
from refold.schemas import compatibility
from refold.schemas.errors import ContractError, NewerSchema, UpcastFailed
from refold.streams.postgres import set_aside
from tests.matrix import over_http, over_kafka, over_schemas
from tests.matrix.rows import Row

ROOT = Path(__file__).parents[2]
ROWS = [*over_http.ROWS, *over_kafka.ROWS, *over_schemas.ROWS]
NO_CODES = {"accepted", "counted", "parked", "rejected"}


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.entry}: {row.name}")
def test_bad_input_has_one_answer(row: Row, entries: dict[str, Callable[[Any], str]]) -> None:
    assert entries[row.entry](row.given) == row.expected


def test_the_page_of_errors_explains_every_code_of_the_table() -> None:
    page = (ROOT / "docs/errors.md").read_text()
    listed = set(re.findall(r"^\| `([a-z-]+)`", page, re.MULTILINE))
    assert {code for row in ROWS for code in row.codes} - NO_CODES - listed == set()
    assert len({code for row in ROWS for code in row.codes} - NO_CODES) > 25


def words_in_code() -> Iterator[tuple[str, str]]:
    """Each literal word that a reason, a fault of a schema or a rule is made with, and the callee it is given to."""
    for path in (*ROOT.glob("schemas/**/*.py"), *ROOT.glob("streams/**/*.py"), *ROOT.glob("projections/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                at = {"Undecodable": 1, "Bad": 1, "Fault": 0}.get(node.func.id)
                word = node.args[at] if at is not None and len(node.args) > at else None
                if isinstance(word, ast.Constant):
                    yield node.func.id, str(word.value)


def rules_of_a_release() -> Iterator[str]:
    """Each rule that a violation names by a constant of the module."""
    for node in ast.walk(ast.parse((ROOT / "schemas/compatibility.py").read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Violation":
            rule = node.args[0]
            if isinstance(rule, ast.Name):
                yield getattr(compatibility, rule.id)


def test_every_word_in_the_code_is_explained_and_no_other() -> None:
    found = set(words_in_code())
    reasons = {word for callee, word in found if callee != "Fault"}
    rules = {word for callee, word in found if callee == "Fault"} | set(rules_of_a_release())
    assert reasons | {set_aside.REASON, set_aside.CODE_KILLS, UpcastFailed.code, NewerSchema.code} == (
        error_words.UNREADABLE.keys() | {"value-unstorable"}
    )
    assert rules | {ContractError.code} == error_words.RULES.keys()
