"""Reads the events of a chunk that count and that some reactor reads; other types are not even decoded."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refold.schemas.catalog import Catalog, Kind, Writer
from refold.schemas.codec import Codec, Rejection, read_envelope
from refold.schemas.columns.decoder import read_heads
from refold.schemas.contracts import Event
from refold.schemas.errors import Undecodable
from refold.schemas.meta import Meta
from refold.streams.chunk import Chunk
from refold.streams.postgres.set_aside import KILLED, SetAside
from refold.streams.reactors.reactor import Reactor


@dataclass(frozen=True)
class Arrived:
    """A stored event as events of today's code, or the reason why it cannot be read; and its reactors."""

    part: int
    offset: int
    meta: Meta
    events: Sequence[Event] | Undecodable
    readers: Sequence[Reactor]


class Readers:
    """Finds the reactors that read a schema of one category. All of them get a schema that this code does not know.

    An event of newer code goes to all, too: that code's reactors may read it, and they go on from the same position.
    """

    def __init__(self, catalog: Catalog, category: str, reactors: Sequence[Reactor]) -> None:
        self._catalog, self._category = catalog, category
        self._all = tuple(reactor for reactor in reactors if reactor.category.name == category)
        self._by_id: dict[int, Sequence[Reactor]] = {}

    def of(self, schema_id: int) -> Sequence[Reactor]:
        """The reactors that read a schema; none for an unframed record. Raises what a look-up in the log raises."""
        found = self._by_id.get(schema_id)
        if found is not None or schema_id < 0:
            return found or ()
        writer = self._catalog.find(schema_id)
        if writer is None:
            return self._all
        found = self._by_id[schema_id] = self._of(writer)
        return found

    def _of(self, writer: Writer) -> Sequence[Reactor]:
        if writer.kind is not Kind.EVENT:
            return ()
        if writer.cls is None:
            return self._all
        return [reactor for reactor in self._all if writer in self._read_by(reactor)]

    def _read_by(self, reactor: Reactor) -> list[Writer]:
        names = [event.__name__ for event in reactor.reads]
        writers = [writer for name in names for writer in self._catalog.event_writers(self._category, name)]
        return [*writers, *self._catalog.retired_writers(self._category, into=names)]


def arrived(codec: Codec, readers: Readers, chunk: Chunk, voids: Sequence[tuple[int, int]]) -> list[Arrived]:
    """The events of a chunk that count and have readers, in order."""
    heads = read_heads(chunk.values)
    rows = [heads.rows_of(number) for number in heads.present if readers.of(number)]
    wanted: NDArray[np.int64] = np.sort(np.concatenate(rows)) if rows else np.empty(0, np.int64)
    found = []
    for row in _counting(wanted, chunk, voids).tolist():
        one = _read(codec, chunk.values[row])
        if one is not None:
            meta, events = one
            found.append(Arrived(chunk.part, chunk.start + row, meta, events, readers.of(int(heads.schema_ids[row]))))
    return found


def _counting(rows: NDArray[np.int64], chunk: Chunk, voids: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    offsets = rows + chunk.start
    for first, last in voids:
        rows, offsets = (kept[(offsets < first) | (offsets > last)] for kept in (rows, offsets))
    return rows


def _read(codec: Codec, value: bytes | None) -> tuple[Meta, Sequence[Event] | Undecodable] | None:
    """An event with its envelope; None for rejections and claims, which change no stream."""
    try:
        meta, events = codec.read_events(value)
    except Undecodable as failed:
        problem = Undecodable(KILLED, value.reason) if isinstance(value, SetAside) else failed
        envelope = read_envelope(value)  # core let the record pass, so its envelope is sound
        return (envelope, problem) if isinstance(envelope, Meta) and envelope.is_event else None
    return None if isinstance(events, Rejection) else (meta, events)
