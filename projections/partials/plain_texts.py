"""Functions of one text, each the same as the function of a column of texts.

Letters change their size by Polars' tables for both: Python's may be of another year, and then a row that was folded live
would differ from a rebuilt one.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import polars as pl

from refold.projections.declaring.expressions import OfText

BLANKS = " \t\n\r\v\f"
"""What `trim` takes away."""
_REMEMBERED = 4096


def by_row(said: OfText) -> Callable[[str], Any]:
    """The function of one text."""
    match said.function:
        case "lower":
            return _lower
        case "upper":
            return _upper
        case "trim":
            return lambda text: text.strip(BLANKS)
        case "left":
            return lambda text: text[: said.count]
        case "length":
            return len


def _lower(text: str) -> str:
    return text.lower() if text.isascii() else _by_table(text, upper=False)


def _upper(text: str) -> str:
    return text.upper() if text.isascii() else _by_table(text, upper=True)


@lru_cache(_REMEMBERED)
def _by_table(text: str, *, upper: bool) -> str:
    column = pl.Series([text], dtype=pl.String).str
    return str((column.to_uppercase() if upper else column.to_lowercase()).item())
