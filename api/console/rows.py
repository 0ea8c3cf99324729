"""A page of rows as cells, by the functions that answer the API's own reads."""

import json
from dataclasses import dataclass
from typing import Any

from refold.api.http.reads.answering import next_path
from refold.api.http.reads.asking import asked_again
from refold.api.http.reads.freshness import Standing
from refold.api.http.reads.language.query_string import pairs
from refold.api.http.reads.pages import fresh_page
from refold.api.http.reads.planning.plan import Plan
from refold.api.http.reads.routes import find_model
from refold.api.http.reads.services import ModelServices
from refold.api.http.reads.snapshot import as_of

PAGE_ROWS = 50
"""Rows of a page where the query says nothing else."""


@dataclass(frozen=True)
class Rows:
    """Rows in the order of `columns`; a cell is None where the value is null. `following`: the query of the next page, or None."""

    plan: Plan
    columns: list[str]
    cells: list[list[str | None]]
    standing: Standing
    following: str | None


async def rows_of(models: ModelServices, domain: str, name: str, raw: bytes) -> Rows:
    """The rows that a query string asks for. Raises what the same request raises."""
    served, kept = await as_of(models, find_model(models, domain, name), raw)
    if all(parameter != "limit" for parameter, _ in pairs(kept)):
        kept = b"&".join(filter(None, [kept, b"limit=%d" % PAGE_ROWS]))
    asked = asked_again(models.reads.asked, served, models.models, "GET", kept, {})
    page = await fresh_page(models, asked.plan, {})
    columns = [one.name for one in asked.plan.shape.shown]
    found = json.loads(f"[{page.text}]", parse_float=str, parse_int=str)
    following = None
    if page.ends is not None:
        cursor = asked.plan.cursor_after(page.rows, *page.ends)
        following = next_path("", raw.decode("latin-1"), cursor, asked.plan.shape.limit).removeprefix("?")
    return Rows(
        asked.plan, columns, [[_cell(row[name]) for name in columns] for row in found], page.standing, following
    )


def _cell(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
