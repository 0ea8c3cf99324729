"""Bounds the texts of keys: Postgres's index refuses long ones by their compressed size, which cannot be foreseen.

Invariant: different texts have different keys (as far as SHA-256 is unique). Rows, columns, rebuilds and tests call
this one function, whose result depends only on the declaration and the text. So a text that looks like a stand-in also
gets a stand-in.
"""

import hashlib
import re
from collections.abc import Callable
from functools import partial

import polars as pl

from refold.projections.declaring.sql_types import TEXT
from refold.projections.tables.layout import Layout
from refold.projections.tables.memories import MemoryLayout

MOST_BYTES = 512
"""Most bytes (UTF-8) of one text of a key that is kept as it is."""
_TOGETHER_BYTES = 2000
"""Most bytes of all texts of a key; an index row of Postgres has 2,704 bytes at most."""
MARK = "~sha256:"
_STANDIN = re.compile(r".*~sha256:[0-9a-f]{64}", re.DOTALL)
_STANDIN_BYTES, _BEGINNING = 72, 64

Bounded = Callable[[str | None], str | None]


def most_bytes(layout: Layout) -> int:
    """Most bytes of one text in this model's key."""
    return min(MOST_BYTES, _TOGETHER_BYTES // max(1, sum(part.type == TEXT for part in layout.keys)))


def bounded(layout: Layout, name: str) -> Bounded | None:
    """The function that bounds a text of this part of the key; None if the part is not a text, or is a stream of a memory."""
    if isinstance(layout, MemoryLayout):
        return None
    part = next(part for part in layout.keys if part.name == name)
    return partial(bounded_text, most=most_bytes(layout)) if part.type == TEXT else None


def bounded_text(text: str | None, most: int) -> str | None:
    """The text; if it is too long, its first letters, a mark and its SHA-256."""
    if text is None or ((len(text) * 4 <= most or len(text.encode()) <= most) and not _looks_like_one(text)):
        return text
    beginning = text[: min(_BEGINNING, (most - _STANDIN_BYTES) // 4)]
    return f"{beginning}{MARK}{hashlib.sha256(text.encode()).hexdigest()}"


def bounded_column(texts: pl.Series, most: int) -> pl.Series:
    """`bounded_text` for a column; returns the column itself if no text is too long, as is usual."""
    texts = texts if texts.dtype == pl.String else texts.cast(pl.String)
    if not ((texts.str.len_bytes() > most) | texts.str.contains(MARK, literal=True)).any():
        return texts
    return pl.Series(texts.name, [bounded_text(text, most) for text in texts.to_list()], pl.String)


def _looks_like_one(text: str) -> bool:
    return MARK in text and _STANDIN.fullmatch(text) is not None
