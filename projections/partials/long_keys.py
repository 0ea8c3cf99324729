"""Texts as keys, bounded: Postgres's index refuses a long one, and by its compressed size, which nobody can foresee.

Invariant: another text has another key (as far as SHA-256 is unique), rows, columns, rebuilds and tests ask this one function, and
nothing but the declaration and the text decides. So a text that looks like a stand-in is given one, too.
"""

import hashlib
import re
from collections.abc import Callable
from functools import partial

import polars as pl

from refold.projections.declaring.sql_types import TEXT
from refold.projections.tables.layout import Layout

MOST_BYTES = 512
"""Of one text of a key, in UTF-8, as it is."""
_TOGETHER_BYTES = 2000
"""Of all texts of a key; an index row of Postgres has 2,704 bytes at most."""
_MARK = "~sha256:"
_STANDIN = re.compile(r".*~sha256:[0-9a-f]{64}", re.DOTALL)
_STANDIN_BYTES, _BEGINNING = 72, 64

Bounded = Callable[[str | None], str | None]


def most_bytes(layout: Layout) -> int:
    """What a text of this model's key may have."""
    return min(MOST_BYTES, _TOGETHER_BYTES // max(1, sum(part.type == TEXT for part in layout.keys)))


def bounded(layout: Layout, name: str) -> Bounded | None:
    """What makes a text of the key one that is bounded; None for a part of the key that is no text."""
    part = next(part for part in layout.keys if part.name == name)
    return partial(bounded_text, most=most_bytes(layout)) if part.type == TEXT else None


def bounded_text(text: str | None, most: int) -> str | None:
    """The text, or where it is too long its first letters, a mark and its SHA-256."""
    if text is None or ((len(text) * 4 <= most or len(text.encode()) <= most) and not _looks_like_one(text)):
        return text
    beginning = text[: min(_BEGINNING, (most - _STANDIN_BYTES) // 4)]
    return f"{beginning}{_MARK}{hashlib.sha256(text.encode()).hexdigest()}"


def bounded_column(texts: pl.Series, most: int) -> pl.Series:
    """The same of a column; the column itself, mostly, where nothing of it is too long."""
    texts = texts if texts.dtype == pl.String else texts.cast(pl.String)
    if not ((texts.str.len_bytes() > most) | texts.str.contains(_MARK, literal=True)).any():
        return texts
    return pl.Series(texts.name, [bounded_text(text, most) for text in texts.to_list()], pl.String)


def _looks_like_one(text: str) -> bool:
    return _MARK in text and _STANDIN.fullmatch(text) is not None
