"""Downloads without HTTP: the whole file of a statement."""

import asyncio
from collections.abc import Sequence
from typing import Any, Never

from hypothesis import strategies as st
from psycopg import sql

from refold.api.http.downloads.copied import Selection
from refold.api.http.downloads.downloading import Downloads
from refold.api.http.downloads.formats import FORMATS

NO_STATE = ("SELECT 1", ())
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


async def stays() -> Never:
    """The ASGI messages of a client that waits."""
    await asyncio.Event().wait()
    raise AssertionError


async def file_of(
    url: str, view: tuple[str, str], name: str, statement: sql.Composed | None = None, values: Sequence[Any] = ()
) -> bytes:
    """The bytes of a download of the statement's rows, or of the whole view."""
    selected = (statement or sql.SQL("SELECT * FROM {}").format(sql.Identifier(*view))).as_string()
    download = await Downloads(url, 60.0).begin(Selection(view, selected, values, NO_STATE), FORMATS[name], stays)
    found = list[bytes]()

    async def sink(piece: bytes) -> None:
        found.append(piece)

    try:
        await download.into(sink)
    finally:
        await download.close()
    return b"".join(found)


def downloaded(
    url: str, view: tuple[str, str], name: str, statement: sql.Composed | None = None, values: Sequence[Any] = ()
) -> bytes:
    """The same, from code that is not async."""
    return asyncio.run(file_of(url, view, name, statement, values))
