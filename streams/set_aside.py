"""Records that killed the process that decoded them: no decoder is given their body again.

Their envelope still counts: it is read without the rest, so what the rules make of a record is a function of the log whether
or not it is set aside. Its body is as one of an unknown schema: the stream's state is broken and its read models are parked.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Self

from refold.schemas.meta import HEADER_BYTES
from refold.streams.chunk import Chunk, Place
from refold.streams.errors import EventUnreadable
from refold.streams.postgres import Database

REASON = "decode-kills"
KILLED = "it killed the process that decoded it, and is set aside"
_NO_SCHEMA = 0x80
"""Ids have 31 bits: with the first bit set, one is nobody's."""

Offsets = Mapping[Place, frozenset[int]]


class SetAside(bytes):
    """A value under an id that no schema has, and the value as it stands in the log."""

    original: bytes

    @classmethod
    def of(cls, value: bytes) -> Self:
        """The value, out of every decoder's reach."""
        if isinstance(value, cls):
            return value
        found = cls(value[:1] + bytes([value[1] | _NO_SCHEMA]) + value[2:])
        found.original = value
        return found


def original(value: bytes | None) -> bytes | None:
    """The bytes in the log."""
    return value.original if isinstance(value, SetAside) else value


def load(db: Database, groups: Iterable[str]) -> Offsets:
    """What the decoders of some groups died of."""
    rows = db.execute(
        "SELECT topic, part, array_agg(record_offset) FROM refold.set_aside WHERE grp = ANY(%s) GROUP BY 1, 2",
        (list(groups),),
    ).fetchall()
    return {(topic, part): frozenset(offsets) for topic, part, offsets in rows}


def add(db: Database, group: str, place: Place, offsets: Sequence[int]) -> None:
    """Note records for ever, or until they are released."""
    db.execute(
        "INSERT INTO refold.set_aside (grp, topic, part, record_offset) SELECT %s, %s, %s, unnest(%s::bigint[])"
        " ON CONFLICT DO NOTHING",
        (group, *place, list(offsets)),
    )


def forget(db: Database, topic: str, category: str, stream: str, *, models: bool = False) -> None:
    """Give a stream's records back to the decoders of the write side; those of the read models only with `models`."""
    db.execute(
        "DELETE FROM refold.set_aside a USING refold.stream_offsets o WHERE o.category = %s AND o.stream = %s"
        " AND a.topic = %s AND a.part = o.part AND a.record_offset = ANY(o.offsets) AND (%s OR a.grp <> 'models')",
        (category, stream, topic, models),
    )


def masked(chunk: Chunk, offsets: Offsets) -> Chunk:
    """The chunk with the records that are set aside out of reach."""
    rows = [offset - chunk.start for offset in offsets.get(chunk.place, ()) if chunk.start <= offset < chunk.end]
    if not rows:
        return chunk
    values = list(chunk.values)
    for row in rows:
        value = values[row]
        if value is not None and len(value) > HEADER_BYTES:
            values[row] = SetAside.of(value)
    return replace(chunk, values=values)


def refuse(db: Database, topic: str, places: Sequence[tuple[int, int]]) -> None:
    """Raise EventUnreadable if one of these (partition, offset) killed a decoder of single records; read models have another."""
    parts, offsets = [part for part, _ in places], [offset for _, offset in places]
    row = db.execute(
        "SELECT a.part, a.record_offset FROM refold.set_aside a WHERE a.topic = %s AND a.grp <> 'models'"
        " AND (a.part, a.record_offset) IN (SELECT * FROM unnest(%s::int[], %s::bigint[])) LIMIT 1",
        (topic, parts, offsets),
    ).fetchone()
    if row is not None:
        raise EventUnreadable((topic, row[0]), row[1], REASON, KILLED)
