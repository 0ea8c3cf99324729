"""The id of a place in a stream of changes: `MARK@POSITION`.

The position is that of every answer (`Refold-Position`). The mark stands for the table that is served and for the streams
that wait in it: the same position of another table, or of a table to which a waiting stream was added later, may have
other rows. A client's position without a mark is taken to be of the table that serves.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from refold.api.http.reads.positions import Positions, read_token, token

_ID = re.compile(r"([0-9a-f]{12})@(.*)", re.DOTALL)


@dataclass(frozen=True)
class Since:
    """Where a client goes on: a position, and the mark of its table if the client has one."""

    positions: Positions
    mark: str | None = None


def mark_of(*table: object) -> str:
    """The mark of a table with these properties."""
    return hashlib.sha256(json.dumps(table).encode()).hexdigest()[:12]


def written(mark: str, positions: Positions) -> str:
    """The id of a place."""
    return f"{mark}@{token(positions)}"


def read_since(text: str, topics: Iterable[str]) -> Since:
    """An id, or a position alone. Raises TokenMalformed."""
    found = _ID.fullmatch(text)
    mark, positions = found.groups() if found else (None, text)
    if found and not positions:
        return Since({}, mark)
    return Since(read_token(positions, topics, "since"), mark)
