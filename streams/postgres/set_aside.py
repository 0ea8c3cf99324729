"""Records that killed the process that decoded them, or on which the domain's code did: nobody is given their body again.

Their envelope still counts: it is read without the rest, so what the rules make of a record is a function of the log whether
or not it is set aside. Its body is as one of an unknown schema: the stream's state is broken and its read models are parked.
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
"""Decoded it is sound; the domain's own code ends the process on it, or never comes to an end."""
REASONS = frozenset({REASON, CODE_KILLS})
KILLED = "it killed the process that read it, and is set aside"
_NO_SCHEMA = 0x80
"""Ids have 31 bits: with the first bit set, one is nobody's."""

Offsets = Mapping[Place, Mapping[int, str]]
"""What is set aside, and why."""


class SetAside(bytes):
    """A value under an id that no schema has, and the value as it stands in the log."""

    original: bytes
    reason: str

    @classmethod
    def of(cls, value: bytes, reason: str) -> Self:
        """The value, out of every decoder's reach."""
        if isinstance(value, cls):
            return value
        found = cls(value[:1] + bytes([value[1] | _NO_SCHEMA]) + value[2:])
        found.original, found.reason = value, reason
        return found


def original(value: bytes | None) -> bytes | None:
    """The bytes in the log."""
    return value.original if isinstance(value, SetAside) else value


def load(db: Database, groups: Iterable[str]) -> Offsets:
    """What processes of some groups died of."""
    found: dict[Place, dict[int, str]] = {}
    rows = db.execute(
        "SELECT topic, part, record_offset, reason FROM refold.set_aside WHERE grp = ANY(%s)", (list(groups),)
    )
    for topic, part, offset, reason in rows:
        found.setdefault((topic, part), {})[offset] = reason
    return found


def add(db: Database, group: str, place: Place, offsets: Sequence[int], reason: str) -> None:
    """Note records for ever, or until they are released."""
    db.execute(
        "INSERT INTO refold.set_aside (grp, topic, part, record_offset, reason)"
        " SELECT %s, %s, %s, unnest(%s::bigint[]), %s"
        " ON CONFLICT (topic, part, record_offset, grp) DO NOTHING",
        (group, *place, list(offsets), reason),
    )


def forget(db: Database, topic: str, category: str, stream: str, *, models: bool = False) -> list[str]:
    """Give a stream's records back to the write side, to the read models only with `models`; why each was set aside."""
    rows = db.execute(
        "DELETE FROM refold.set_aside a USING refold.stream_offsets o WHERE o.category = %s AND o.stream = %s"
        " AND a.topic = %s AND a.part = o.part AND a.record_offset = ANY(o.offsets) AND (%s OR NOT a.grp ^@ 'models')"
        " RETURNING a.reason",
        (category, stream, topic, models),
    )
    return [reason for (reason,) in rows]


def masked(chunk: Chunk, offsets: Offsets) -> Chunk:
    """The chunk with the records that are set aside out of reach."""
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
    """Raise EventUnreadable if a process other than the models' died of one of these (partition, offset)."""
    parts, offsets = [part for part, _ in places], [offset for _, offset in places]
    row = db.execute(
        "SELECT a.part, a.record_offset, a.reason FROM refold.set_aside a WHERE a.topic = %s AND NOT a.grp ^@ 'models'"
        " AND (a.part, a.record_offset) IN (SELECT * FROM unnest(%s::int[], %s::bigint[])) LIMIT 1",
        (topic, parts, offsets),
    ).fetchone()
    if row is not None:
        raise EventUnreadable((topic, row[0]), row[1], row[2], KILLED)
