"""A query of the API as the page shows and changes it: each link and form leads to a query string that the API reads, too. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from refold.api.http.reads.language.query_string import RESERVED, pairs

Pairs = Sequence[tuple[str, str]]
OPERATORS = {
    "eq": "=",
    "neq": "≠",
    "gt": ">",
    "gte": "≥",
    "lt": "<",
    "lte": "≤",
    "ilike": "is like (* is any text)",
    "in": "is one of (a,b,c)",
    "is.null": "is null",
    "not.is.null": "is not null",
}
"""What the form offers; the query string takes every operator of the API."""
COLUMN, OPERATOR, VALUE = ".column", ".is", ".value"
"""Fields of the form. No parameter of the API begins with a dot."""
_PLACES = ("cursor", "offset")
_NO_FILTERS = (*_PLACES, "limit")


@dataclass(frozen=True)
class Chip:
    """A part of the query, and the query without it."""

    text: str
    without: str


def added(raw: bytes) -> str | None:
    """The query string that a sent form means, or None if the query is no form. Raises FilterInvalid."""
    given = list(pairs(raw))
    form = {name: value for name, value in given if name.startswith(".")}
    if not form:
        return None
    column, operator, value = form.get(COLUMN, ""), form.get(OPERATOR, "eq"), form.get(VALUE, "")
    kept = [pair for pair in given if not pair[0].startswith(".") and pair[0] not in _PLACES]
    return written([*kept, (name_in_query(column), _condition(operator, value))] if column else kept)


def chips(given: Pairs) -> list[Chip]:
    """The filters, the order and the choice of columns, each with a query that lacks it."""
    found = []
    for place, (name, value) in enumerate(given):
        if name not in _NO_FILTERS:
            others = [pair for at, pair in enumerate(given) if at != place and pair[0] not in _PLACES]
            found.append(Chip(f"{name}={value}", written(others)))
    return found


def ordered(given: Pairs, column: str) -> tuple[str, str]:
    """The query by a column, and how the rows are by it now: ascending, descending or none, as HTML says it. A second time turns it around."""
    name = name_in_query(column)
    now = next((value for key, value in given if key == "order"), "")
    state = {name: "ascending", f"{name}.asc": "ascending", f"{name}.desc": "descending"}.get(now, "none")
    others = [pair for pair in given if pair[0] not in (*_PLACES, "order")]
    return written([*others, ("order", f"{name}.{'desc' if state == 'ascending' else 'asc'}")]), state


def from_the_first(given: Pairs) -> str:
    """The query from its first row on."""
    return written([pair for pair in given if pair[0] not in _PLACES])


def of_all(given: Pairs) -> str:
    """The query without the bounds of a page, as a file has it."""
    return written([pair for pair in given if pair[0] not in _NO_FILTERS])


def written(given: Pairs) -> str:
    """The query string; signs that the API's grammar has stay readable."""
    return "&".join(f"{quote(name, safe='.')}={quote(value, safe='.,:()*')}" for name, value in given)


def name_in_query(column: str) -> str:
    """A column as the API's grammar names it."""
    if column.isascii() and column.isidentifier() and column not in RESERVED:
        return column
    return '"' + column.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _condition(operator: str, value: str) -> str:
    if operator.endswith("is.null"):
        return operator
    if operator == "in" and not value.startswith("("):
        value = f"({value})"
    return f"{operator}.{value}"
