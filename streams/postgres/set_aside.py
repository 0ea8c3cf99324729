"""Keeps the records that killed a process, in decoding or in the domain's code, so their bodies are never read again.

Their envelopes still count, read without the rest. So the rules' verdict on a record does not depend on whether it is
set aside. Its body counts as one of an unknown schema: the stream's state is broken and its read models are parked.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Self

from refold.schemas.meta import HEADER_BYTES
from refold.streams.chunk import Chunk, Place
from refold.streams.errors import EventUnreadable
from refold.streams.postgres.connection import Database

REASON = "decode-kills"
CODE_KILLS = "code-kills"
"""Reason of a record that decodes, but on which the domain's own code ends the process or never returns."""
REASONS = frozenset({REASON, CODE_KILLS})
KILLED = "it killed the process that read it, so it is set aside"
_NO_SCHEMA = 0x80
"""Bit set in a schema id that no schema has: ids have 31 bits."""

Offsets = Mapping[Place, Mapping[int, str]]
"""The offsets set aside at each place, with the reason."""


class SetAside(bytes):
    """A value under an id that no schema has; it also keeps the value from the log."""

    original: bytes
    reason: str

    @classmethod
    def of(cls, value: bytes, reason: str) -> Self:
        """The value, made unreadable for every decoder."""
        if isinstance(value, cls):
            return value
        found = cls(value[:1] + bytes([value[1] | _NO_SCHEMA]) + value[2:])
        found.original, found.reason = value, reason
        return found


def original(value: bytes | None) -> bytes | None:
    """The bytes in the log."""
    return value.original if isinstance(value, SetAside) else value


def load(db: Database, groups: Iterable[str]) -> Offsets:
    """The records that killed processes of some groups."""
    found: dict[Place, dict[int, str]] = {}
    rows = db.execute(
        "SELECT topic, part, record_offset, reason FROM refold.set_aside WHERE grp = ANY(%s)", (list(groups),)
    )
    for topic, part, offset, reason in rows:
        found.setdefault((topic, part), {})[offset] = reason
    return found


def add(db: Database, group: str, place: Place, offsets: Sequence[int], reason: str) -> None:
    """Set records aside permanently, or until they are released."""
    db.execute(
        "INSERT INTO refold.set_aside (grp, topic, part, record_offset, reason)"
        " SELECT %s, %s, %s, unnest(%s::bigint[]), %s"
        " ON CONFLICT (topic, part, record_offset, grp) DO NOTHING",
        (group, *place, list(offsets), reason),
    )


def forget(db: Database, topic: str, category: str, stream: str, *, models: bool = False) -> list[str]:
    """Give a stream's records back to the write side, and with `models` to the read models; returns the reasons."""
    rows = db.execute(
        "DELETE FROM refold.set_aside a USING refold.stream_offsets o WHERE o.category = %s AND o.stream = %s"
        " AND a.topic = %s AND a.part = o.part AND a.record_offset = ANY(o.offsets) AND (%s OR NOT a.grp ^@ 'models')"
        " RETURNING a.reason",
        (category, stream, topic, models),
    )
    return [reason for (reason,) in rows]


def masked(chunk: Chunk, offsets: Offsets) -> Chunk:
    """The chunk with the bodies of records that are set aside made unreadable."""
    aside = {at: why for at, why in offsets.get(chunk.place, {}).items() if chunk.start <= at < chunk.end}
    if not aside:
        return chunk
    values = list(chunk.values)
    for offset, reason in aside.items():
        value = values[offset - chunk.start]
        if value is not None and len(value) > HEADER_BYTES:
            values[offset - chunk.start] = SetAside.of(value, reason)
    return replace(chunk, values=values)


def refuse(db: Database, topic: str, places: Sequence[tuple[int, int]]) -> None:
    """Raise EventUnreadable if one of these (partition, offset) killed a process other than the models'."""
    parts, offsets = [part for part, _ in places], [offset for _, offset in places]
    row = db.execute(
        "SELECT a.part, a.record_offset, a.reason FROM refold.set_aside a WHERE a.topic = %s AND NOT a.grp ^@ 'models'"
        " AND (a.part, a.record_offset) IN (SELECT * FROM unnest(%s::int[], %s::bigint[])) LIMIT 1",
        (topic, parts, offsets),
    ).fetchone()
    if row is not None:
        raise EventUnreadable((topic, row[0]), row[1], row[2], KILLED)
