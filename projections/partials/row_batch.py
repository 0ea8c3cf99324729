"""Reads the few events of live chunks as plain Python rows; if anything is unusual, `batch` decides by columns."""

from collections.abc import Sequence
from enum import Enum
from typing import Any

import msgspec

from refold.projections.declaring.declaration import EventType
from refold.projections.partials.row_values import Row
from refold.schemas.catalog import Catalog, Kind, Writer
from refold.schemas.codec import Codec, Rejection
from refold.schemas.columns import envelope as m
from refold.schemas.contracts import Event
from refold.schemas.envelope import framed
from refold.schemas.errors import Undecodable
from refold.schemas.meta import Meta
from refold.schemas.rejections import RejectedCommand
from refold.streams.chunk import Chunk
from refold.streams.core.limits import Voids

FEW = 64
"""Most records of a transaction that are read as rows. So many cost less than columns do before their first record."""


class RowReader:
    """Reads chunks of one category."""

    def __init__(self, catalog: Catalog, category: str, types: Sequence[EventType]) -> None:
        self._catalog, self._codec, self._category = catalog, Codec(catalog), category
        self._types = {kind.event: kind for kind in types}

    def read(self, chunks: Sequence[Chunk], voids: Voids) -> dict[EventType, list[Row]] | None:
        """The events that count and some model reads, in the log's order; None if one is retired or cannot be read."""
        found: dict[EventType, list[Row]] = {}
        for chunk in chunks:
            ranges = voids.get(chunk.place, ())
            for offset, value in enumerate(chunk.values, chunk.start):
                if any(first <= offset <= last for first, last in ranges):
                    continue
                try:
                    row = self._row(value, offset)
                except Undecodable:
                    return None
                if row is not None:
                    found.setdefault(row[0], []).append(row[1])
        return found

    def _row(self, value: bytes | None, offset: int) -> tuple[EventType, Row] | None:
        """The event as a row, or None if no model reads it. Raises Undecodable."""
        writer = self._catalog.find(framed(value))
        if writer is None or self._is_ours_and_old(writer) or self._is_of_another_topic(writer):
            raise Undecodable("not an event of this code as it is", "unknown-schema")
        kind = self._kind_of(writer)
        if kind is None:
            return None
        meta, event = self._codec.read_event(value)
        return kind, row_of(meta, event_of(event), offset)

    def _kind_of(self, writer: Writer) -> EventType | None:
        if writer.kind is Kind.REJECTION:
            return self._types.get(RejectedCommand)
        return self._types.get(writer.cls) if writer.category == self._category else None  # type: ignore[arg-type]  # None and commands are no keys

    def _is_ours_and_old(self, writer: Writer) -> bool:
        is_event = writer.kind is Kind.EVENT and writer.category == self._category
        if not is_event or writer.is_newer_type:
            return False
        return writer.cls is None or self._catalog.is_retired(writer.cls)

    def _is_of_another_topic(self, writer: Writer) -> bool:
        return writer.kind is Kind.COMMAND or writer.category not in (self._category, "refold")


def event_of(found: Event | Rejection) -> Event:
    """A rejection as the event that read models gather."""
    if isinstance(found, Rejection):
        return RejectedCommand(command=found.command, code=found.code, message=found.message)
    return found


def row_of(meta: Meta, event: Event, offset: int) -> Row:
    """The event at an offset as a row. Raises Undecodable if Postgres cannot hold a text of it."""
    row = {name: _plain(value) for name, value in msgspec.structs.asdict(event).items()}
    if any(map(_has_nul, row.values())):
        raise Undecodable("a text that Postgres cannot hold", "value-unstorable")
    row[m.CATEGORY], row[m.STREAM], row[m.VERSION] = meta.category, meta.stream, meta.version
    row[m.OCCURRED_AT], row[m.RECORDED_AT] = meta.occurred_at, meta.recorded_at
    row[m.ACTOR], row[m.CORRELATION_ID] = meta.actor, meta.correlation_id
    row[m.OFFSET] = offset
    return row


def _has_nul(value: Any) -> bool:
    return "\0" in value if isinstance(value, str) else isinstance(value, list) and any(map(_has_nul, value))


def _plain(value: Any) -> Any:
    """The value as columns hold it: an enum by its value, a sequence as a list."""
    if isinstance(value, Enum):
        return value.value
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
