"""A body as lines: all that have arrived, within bounds. Pure."""

from collections.abc import AsyncIterator, Iterable, Iterator

from refold.api.http.commands.batch_line import MAX_LINE_BYTES

CHUNK_LINES = 128
CHUNK_BYTES = 1 << 18

Text = tuple[int, bytes]
"""A line's number, from 1, and its bytes; a line that is too long is cut one byte after the limit."""


async def lines_of(body: AsyncIterator[bytes]) -> AsyncIterator[list[Text]]:
    """The lines of a body that comes in pieces, in chunks."""
    splitter = LineSplitter()
    async for piece in body:
        for chunk in splitter.feed(piece):
            yield chunk
    for chunk in splitter.end():
        yield chunk


class LineSplitter:
    """Takes a body piece by piece; holds at most one line that has not ended. Blank lines are counted and left out."""

    def __init__(self) -> None:
        self._rest = b""
        self._number = 0

    def feed(self, piece: bytes) -> Iterator[list[Text]]:
        """The lines that ended in this piece, in chunks."""
        *whole, rest = (self._rest + piece).split(b"\n")
        self._rest = rest[: MAX_LINE_BYTES + 1]
        yield from chunks_of(self._numbered(whole))

    def end(self) -> Iterator[list[Text]]:
        """The last line, whether or not it ended."""
        yield from chunks_of(self._numbered([self._rest]))

    def _numbered(self, lines: list[bytes]) -> Iterator[Text]:
        for line in lines:
            self._number += 1
            if line and not line.isspace():
                yield self._number, line


def chunks_of(texts: Iterable[Text]) -> Iterator[list[Text]]:
    """The lines in chunks of bounded number and size."""
    chunk: list[Text] = []
    size = 0
    for number, text in texts:
        chunk.append((number, text))
        size += len(text)
        if len(chunk) == CHUNK_LINES or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
