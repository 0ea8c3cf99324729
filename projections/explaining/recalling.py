"""Says of records what was carried to their events when a build folded them: its memories still have it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from refold.projections.declaring.declaration import EventType
from refold.projections.declaring.field_types import CARRIED
from refold.projections.explaining.kept import Records
from refold.projections.explaining.search import FoundValue
from refold.projections.explaining.steps import RowRecord
from refold.projections.live.carry import recalled_rows
from refold.projections.partials.row_values import Row
from refold.projections.tables.builds import Build
from refold.projections.tables.layout import Layout
from refold.projections.tables.memories import memories_of
from refold.schemas.columns import envelope as m
from refold.schemas.columns.upcast import SUB
from refold.streams.postgres.connection import Database


@dataclass(frozen=True)
class Recalling:
    """Records with what was carried to their events in one build."""

    records: Records
    db: Database
    layout: Layout
    build: Build

    def read(self, found: FoundValue) -> RowRecord | None:
        """As `Records.read`."""
        return next(iter(self.read_all([found])), None)

    def read_all(self, found: Sequence[FoundValue]) -> list[RowRecord]:
        """As `Records.read_all`: one statement for each memory."""
        read = self.records.read_all(found)
        return recalled_records(self.db, self.layout, self.build, read) if memories_of(self.layout) else read


def recalled_records(db: Database, layout: Layout, build: Build, records: Sequence[RowRecord]) -> list[RowRecord]:
    """The records with what was carried to each of their events in a build."""
    heads: dict[EventType, list[Row]] = {}
    for number, record in enumerate(records):
        for sub, event in enumerate(record.events):
            head = {m.STREAM: record.meta.stream, m.VERSION: record.meta.version, SUB: sub, _RECORD: number}
            heads.setdefault(EventType(record.category, type(event)), []).append(head)
    carried: list[list[Row]] = [[{} for _ in record.events] for record in records]
    for rows in recalled_rows(db, layout, build.schema, heads).values():
        for row in rows:
            carried[row[_RECORD]][row[SUB]] = {name: row[name] for name in row if name.startswith(CARRIED)}
    return [replace(record, carried=tuple(told)) for record, told in zip(records, carried, strict=True)]


_RECORD = "m_record"
