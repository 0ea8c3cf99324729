"""Folds a read model in every way in which the platform may: by columns, row by row, and cut anywhere."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl

from refold.projections.declaring.declaration import EventType, Model
from refold.projections.errors import SumOverflow
from refold.projections.partials.author_fold import HeldRow
from refold.projections.partials.batch import Batch, Park, batch_of, by_category, counted_events
from refold.projections.partials.by_rows import partial_columns
from refold.projections.partials.evolve import EvolveTarget, evolve_batch, held_of, rows_of
from refold.projections.partials.partial import merged, partial_of
from refold.projections.partials.row_batch import RowReader
from refold.projections.partials.wide_sums import BASE, LIMB, LIMIT, low, scale_of
from refold.projections.tables.layout import DELETED, VERSION, Layout, Stored, layout_of
from refold.projections.tables.memories import read_types
from refold.projections.tables.shown_rows import shown_in
from refold.schemas.arithmetic import EXACT
from refold.schemas.columns.decoder import ColumnDecoder
from refold.streams.chunk import Chunk
from refold.testing.happening import Record, catalog_of, chunks_of
from refold.testing.remembered import Remembered

_CUTS = 12
"""Places at which a longer log is cut in two; a shorter one is cut everywhere."""
Row = dict[str, Any]


class Waits(AssertionError):
    """An event cannot be folded, so its stream would wait."""


@dataclass(frozen=True)
class Fold:
    """A model with all that is made once: its layout, the types it reads, its decoder."""

    layout: Layout
    types: Sequence[EventType]
    decoder: ColumnDecoder

    @classmethod
    def of(cls, model: Model) -> "Fold":
        """The fold of a declaration. Raises BadDeclaration."""
        types = read_types(model)
        categories = tuple(dict.fromkeys(kind.category for kind in types))
        return cls(layout_of(model), types, ColumnDecoder(catalog_of(categories), thin=True))

    def ways(self, records: Sequence[Record]) -> Iterator[tuple[str, list[Row]]]:
        """The rows that analysts see, by each way of folding; each way with words for it."""
        whole = [records]
        yield "at once", self._rows(whole)
        yield "at once, a second time", self._rows(whole)
        yield "event by event", self._rows([[record] for record in records], few=True)
        for cut in _cuts(len(records)):
            yield f"cut in two after event {cut}", self._rows([records[:cut], records[cut:]])
        streams = _by_stream(records)
        yield "stream by stream", self._rows(streams)
        yield "stream by stream, the last one first", self._rows(streams[::-1])

    def _rows(self, pieces: Sequence[Sequence[Record]], *, few: bool = False) -> list[Row]:
        starts: dict[str, int] = {}
        cut = [chunks_of(piece, starts) for piece in pieces]
        found = self._evolved(cut) if self.layout.evolves else self._merged(cut, few=few)
        return self._shown(found)

    def _merged(self, pieces: Iterable[Sequence[Chunk]], *, few: bool) -> pl.DataFrame:
        """The pieces' partials, merged as Postgres would merge them into a table, one after another."""
        table, memory = merged(self.layout, []), Remembered(self.layout)
        for chunks in pieces:
            added = self._by_rows(chunks, memory) if few else None
            table = merged(self.layout, [table, self._by_columns(chunks, memory) if added is None else added])
            for part in self.layout.columns:
                _cells(self.layout, part, table)  # a sum must fit after each transaction
        return table

    def _by_columns(self, chunks: Sequence[Chunk], memory: Remembered) -> pl.DataFrame:
        frames: dict[EventType, pl.DataFrame] = {}
        for batch in self._batches(chunks):
            frames |= self._counted(batch)
        return partial_of(self.layout, memory.carry(frames))

    def _by_rows(self, chunks: Sequence[Chunk], memory: Remembered) -> pl.DataFrame | None:
        """None if live workers would take columns, too: for retired events."""
        found: dict[EventType, list[Row]] = {}
        for category, theirs in by_category("", chunks).items():
            types = [kind for kind in self.types if kind.category.name == category]
            rows = RowReader(self.decoder.catalog, category, types).read(theirs, {})
            if rows is None:
                return None
            found |= rows
        return _as_partial(self.layout, partial_columns(self.layout, memory.carry_rows(found)))

    def _evolved(self, pieces: Iterable[Sequence[Chunk]]) -> pl.DataFrame:
        """Each piece finds its rows as the table gives them back."""
        table: dict[str, Row] = {}
        target, key = EvolveTarget(self.layout, 1), self.layout.key_names[0]

        def load(streams: list[str]) -> dict[str, HeldRow]:
            return {stream: held_of(self.layout, table[stream]) for stream in streams if stream in table}

        for chunks in pieces:
            for batch in self._batches(chunks):
                evolved = evolve_batch(target, batch, self._counted(batch), [], load)
                _raise_first(evolved.parks)
                table |= {row[key]: row for row in rows_of(self.layout, evolved.rows).to_dicts()}
        schema = {part.name: part.held for part in self.layout.stored}
        return pl.DataFrame([table[stream] for stream in sorted(table)], schema=schema)

    def _batches(self, chunks: Sequence[Chunk]) -> list[Batch]:
        return [batch_of(category, theirs) for category, theirs in by_category("", chunks).items()]

    def _counted(self, batch: Batch) -> Mapping[EventType, pl.DataFrame]:
        types = [kind for kind in self.types if kind.category.name == batch.category]
        counted = counted_events(self.decoder, types, batch, {}, [])
        _raise_first(counted.parks)
        return counted.frames

    def _shown(self, table: pl.DataFrame) -> list[Row]:
        if self.layout.deletes:
            table = table.filter(pl.col(VERSION) > pl.col(DELETED))
        cells = {part.name: _cells(self.layout, part, table) for part in self.layout.stored}
        rows = [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
        return [shown_in(self.layout, row) for row in rows]


def _cuts(length: int) -> list[int]:
    """Places to cut at, spread evenly over a long log."""
    inner = range(1, length)
    return list(inner) if len(inner) <= _CUTS else [1 + (length - 2) * number // (_CUTS - 1) for number in range(_CUTS)]


def _by_stream(records: Sequence[Record]) -> list[list[Record]]:
    found: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        found.setdefault((record.category, record.stream), []).append(record)
    return list(found.values())


def _as_partial(layout: Layout, columns: Mapping[str, list[Any]]) -> pl.DataFrame:
    """A partial of rows in the form of one of columns: a wide sum as two limbs."""
    found: dict[str, pl.Series] = {}
    for part in layout.stored:
        if part.is_wide:
            totals = [int(EXACT.scaleb(Decimal(total), scale_of(part))) for total in columns[part.name]]
            found[part.name] = pl.Series([total // BASE for total in totals], dtype=LIMB)
            found[low(part.name)] = pl.Series([total % BASE for total in totals], dtype=LIMB)
        else:
            found[part.name] = pl.Series(columns[part.name], dtype=part.held)
    return pl.DataFrame(found)


def _cells(layout: Layout, part: Stored, table: pl.DataFrame) -> list[Any]:
    """A shown column's values. Raises SumOverflow."""
    if not part.is_wide:
        return table[part.name].to_list()
    totals = [high * BASE + low_ for high, low_ in table.select(part.name, low(part.name)).iter_rows()]
    if any(abs(total) >= LIMIT for total in totals):
        raise SumOverflow.of(layout.name, [part.name])
    return [EXACT.scaleb(Decimal(total), -scale_of(part)) for total in totals]


def _raise_first(parks: Sequence[Park]) -> None:
    for park in parks:
        raise Waits(f"the stream {park.stream} of {park.category} would wait: {park.code}: {park.reason}")
