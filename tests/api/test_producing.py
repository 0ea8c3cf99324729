"""The recipe for other languages in docs/producing.md makes the same bytes as our own producer."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from refold.api.http.commands.batch_line import LineReader
from refold.retail.schemas.basket import OpenBasket
from refold.schemas.codec import Codec
from refold.schemas.meta import CommandMeta
from refold.streams.domain import Domains

PAGE = (Path(__file__).parents[2] / "docs/producing.md").read_text()
AT = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize("expected", [None, 7])
def test_the_recipe_gives_our_bytes(domains: Domains, expected: int | None) -> None:
    recipe: dict[str, Any] = {}
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(code, recipe)
    meta = CommandMeta(
        command_id=UUID(int=5),
        category="retail.basket",
        stream="b1",
        occurred_at=AT,
        expected_version=expected,
        actor="till 7",
    )
    command = OpenBasket(basket_id="b1", store_id=330, household_id="9")
    writer = domains.catalog.current(OpenBasket)
    fields = {"basket_id": "b1", "store_id": 330, "household_id": "9"}
    sent = {
        "command_id": UUID(int=5).bytes, "category": "retail.basket", "stream": "b1",
        "expected_version": expected, "occurred_at": AT, "actor": "till 7", "correlation_id": None,
    }  # fmt: skip
    assert recipe["command_value"](writer.schema, writer.id, sent, fields) == Codec(domains.catalog).command(
        meta, command
    )


def test_the_lines_of_the_example_can_be_read(domains: Domains) -> None:
    lines = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert lines is not None
    read = [LineReader(domains).read(text.encode()) for text in lines.group(1).splitlines()]
    assert [(intent.stream, intent.expected_version) for intent in read] == [("4711", 0), ("4711", None)]
    assert json.loads(lines.group(1).splitlines()[1])["id"] == "order 7, line 1"
