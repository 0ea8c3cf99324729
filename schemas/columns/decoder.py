"""Decodes many records at once: joins bodies of one schema into an Avro block, which Polars reads by columns.

Polars does not say where a record ends. So a random sentinel is put after each record and read back as a last column:
missing, extra or moved bytes cannot reproduce it. `checks` and `walk` find what else Polars wrongly accepts. On any
doubt the records go through `codec` one by one, which names the bad ones: no row is ever returned that `codec` refuses.
Each value is decoded whole, with its Confluent header as one leading fixed column, so no record is sliced.
"""

import io
import os
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from refold.schemas import codec
from refold.schemas.binary import long_bytes
from refold.schemas.catalog import Catalog, Writer
from refold.schemas.columns.binary_column import BinaryColumn, block_of, taken
from refold.schemas.columns.checks import Bounds, todays_types
from refold.schemas.columns.compiled import load, loaded
from refold.schemas.columns.layout import SENTINEL_BYTES, empty_container, layout_of
from refold.schemas.columns.picking import Pick, Picks, picker_of
from refold.schemas.columns.sliced_column import SlicedColumn
from refold.schemas.columns.walk import Walk
from refold.schemas.envelope import FRAME_BYTES, framed
from refold.schemas.errors import Undecodable
from refold.schemas.meta import HEADER_BYTES
from refold.schemas.rejections import REJECTION, RejectedCommand

if TYPE_CHECKING:
    from refold.schemas.columns.projection import Projection

Wanted = Mapping[tuple[str, str], Container[str]]
"""Columns by category and name of an event type."""
UNFRAMED = -1
ROW = "m_row"
"""Column with the record's row in the chunk. All our columns begin with `m_` or `_`, and no author's field does
(`avro`)."""


@dataclass(frozen=True)
class Heads:
    """For each value of a chunk its schema id, or -1 if its header or size does not fit its bytes."""

    schema_ids: NDArray[np.int64]

    @cached_property
    def present(self) -> list[int]:
        return [int(i) for i in np.unique(self.schema_ids)]

    def rows_of(self, schema_id: int) -> NDArray[np.int64]:
        return np.flatnonzero(self.schema_ids == schema_id)


def read_heads(values: Sequence[bytes | None]) -> Heads:
    """Check the magic byte and size of every value at once."""
    if isinstance(values, BinaryColumn):
        return Heads(_schema_ids(values.series))
    if isinstance(values, SlicedColumn):
        return Heads(_ids_of_slices(values))
    try:
        lengths = np.fromiter(map(len, values), np.int64, len(values))  # type: ignore[arg-type]  # a null value raises
    except TypeError:
        return read_heads([value or b"" for value in values])
    firsts = [value[:FRAME_BYTES] for value in values]  # type: ignore[index]  # as above
    if firsts and lengths.min() < FRAME_BYTES:
        firsts = [first.ljust(FRAME_BYTES, b"\0") for first in firsts]
    head = np.frombuffer(b"".join(firsts), np.dtype([("magic", "u1"), ("id", ">u4"), ("size", ">u4")]))
    sound = (lengths >= FRAME_BYTES) & (head["magic"] == 0) & (head["size"] == lengths)
    return Heads(np.where(sound, head["id"].astype(np.int64), UNFRAMED))


def _ids_of_slices(values: SlicedColumn) -> NDArray[np.int64]:
    kernels, ids = load(), np.empty(len(values), np.int64)
    assert kernels is not None, "slices were cut by a compiled loop"
    for part, end in zip(values.parts, values.ends, strict=True):
        kernels.heads(part.data, part.starts, part.lengths, ids[end - len(part.starts) : end])
    return ids


def _schema_ids(values: pl.Series) -> NDArray[np.int64]:
    value = pl.col("value").bin
    schema_id, said = (  # null where bytes are missing
        value.slice(at, 4).bin.reinterpret(dtype=pl.UInt32, endianness="big") for at in (1, HEADER_BYTES)
    )
    sound = (value.slice(0, 1) == b"\0") & (said == value.size())
    found = pl.when(sound).then(schema_id.cast(pl.Int64)).otherwise(UNFRAMED)
    return pl.DataFrame({"value": values}).select(found.alias("id"))["id"].to_numpy()


@dataclass
class Bad:
    """A record that does not fit its schema, or on which its upcaster failed; `detail` is for people."""

    row: int
    reason: str
    detail: str = ""


@dataclass
class Decoded:
    """Records of one or more schemas as columns (with ROW), and those that could not be read."""

    frame: pl.DataFrame
    bad: list[Bad] = field(default_factory=list)
    fell_back: int = 0


def unreadable(values: Sequence[bytes | None], heads: Heads, catalog: Catalog) -> list[Bad]:
    """The records that no decoder can read: without a sound frame, or of a schema that nobody knows."""
    known = [UNFRAMED, *(i for i in heads.present if i in catalog.by_id)]
    foreign = np.flatnonzero(~np.isin(heads.schema_ids, known)).tolist()
    unframed = [Bad(row, _frame_fault(values[row])) for row in heads.rows_of(UNFRAMED).tolist()]
    return sorted([*unframed, *(Bad(row, "unknown-schema") for row in foreign)], key=lambda bad: bad.row)


def _frame_fault(value: bytes | None) -> str:
    try:
        framed(value)
    except Undecodable as problem:
        return problem.reason
    raise AssertionError("the frame is sound")


class ColumnReader:
    """Decodes records of one schema. `thin` reads the leading ids and the header as one column (for the core).

    `wanted`: the only columns that frames have besides ROW; None for all. All others are checked as well. `pick`: which
    records to return, where that is quicker than to return all.
    """

    def __init__(
        self, writer: Writer, *, thin: bool, wanted: Container[str] | None = None, pick: Pick | None = None
    ) -> None:
        self.writer = writer
        self._layout = layout_of(writer.schema, thin=thin)
        self._picker = picker_of(self._layout, pick)
        self._columnar = self._layout.is_columnar
        self._header, self._sync = empty_container(self._layout.avro_fields()) if self._columnar else (b"", b"")
        self._bounds, self._casts = Bounds(self._layout), todays_types(self._layout)
        self._walk = Walk(self._layout)
        dtypes = self._layout.dtypes()
        self.dtypes = {name: dtype for name, dtype in dtypes.items() if wanted is None or name in wanted}

    def read(self, values: Sequence[bytes | None], rows: NDArray[np.int64]) -> Decoded:
        """The records at `rows` of a chunk, whose heads were checked. Never raises for bad bytes."""
        if self._picker is not None:
            rows = self._picker(values, rows)
        if not len(rows):
            return Decoded(self._frame([]))
        frame = self._projected(values, rows)
        if frame is None and self._columnar:
            frame = self._columns(values, rows)
        if frame is None:
            chosen = cast(
                "list[bytes]", taken(values, rows)
            )  # nulls have no sound head: they are at none of these rows
            return self._one_by_one(chosen, rows)
        return Decoded(frame.with_columns(pl.Series(ROW, rows, dtype=pl.UInt32)))

    @cached_property
    def _projection(self) -> "Projection | None":
        from refold.schemas.columns.projection import Projection, can_project

        return Projection(self._layout, list(self.dtypes)) if can_project(self._layout) else None

    def _projected(self, values: Sequence[bytes | None], rows: NDArray[np.int64]) -> pl.DataFrame | None:
        """The records by a compiled loop, if there is one and it has no doubt."""
        if not isinstance(values, SlicedColumn) or loaded() is None or self._projection is None:
            return None
        return self._projection.read(values, rows)

    def _columns(self, values: Sequence[bytes | None], rows: NDArray[np.int64]) -> pl.DataFrame | None:
        sentinel = os.urandom(SENTINEL_BYTES)
        block = block_of(values, rows, sentinel)
        parts = (self._header, long_bytes(len(rows)), long_bytes(len(block.data)), block.data.data, self._sync)
        try:
            frame = pl.read_avro(io.BytesIO(b"".join(parts)))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # Polars panics (a BaseException) on malformed data; each record is then read alone
            return None
        if frame.height != len(rows) or not self._bounds.hold(frame, sentinel):
            return None
        if self._walk.is_needed(frame) and not self._walk.holds(frame, block):
            return None
        return self._typed(frame)

    def _typed(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(self._casts).select(list(self.dtypes))

    def _one_by_one(self, values: Sequence[bytes], rows: NDArray[np.int64]) -> Decoded:
        good: list[dict[str, Any]] = []
        bad: list[Bad] = []
        for row, value in zip(rows.tolist(), values, strict=True):
            try:
                head, body = codec.read_fields(self.writer, value)
            except Undecodable as problem:
                bad.append(Bad(row, problem.reason))
            else:
                whole = {**{f"m_{name}": held for name, held in head.items()}, **body}
                good.append({**{name: whole[name] for name in self.dtypes}, ROW: row})
        return Decoded(self._frame(good), bad, fell_back=len(values))

    def _frame(self, rows: list[dict[str, Any]]) -> pl.DataFrame:
        return pl.DataFrame(rows, schema={**self.dtypes, ROW: pl.UInt32})


class ColumnDecoder:
    """The column readers of a catalog's schemas, each made when first needed.

    `wanted`: by category and name of some event types the only columns to return, one at least. `picks`: which of their
    records the caller keeps; others may be there, too.
    """

    def __init__(
        self, catalog: Catalog, *, thin: bool, wanted: Wanted | None = None, picks: Picks | None = None
    ) -> None:
        self.catalog, self._wanted, self._picks = catalog, wanted or {}, picks or {}
        self._thin = thin
        self._readers: dict[int, ColumnReader] = {}

    def read(self, schema_id: int, values: Sequence[bytes | None], heads: Heads) -> Decoded:
        """All records of one schema id in a chunk, with the columns of that released schema."""
        return self.reader(self.catalog.by_id[schema_id]).read(values, heads.rows_of(schema_id))

    def events(self, category: str, name: str, values: Sequence[bytes | None], heads: Heads) -> Decoded:
        """All records of one event type, written by any version, with the columns of the last version.

        Nothing is upcast: records of a retired type stay as they are (`upcast` returns today's events).
        """
        today = self.reader(self._today(category, name))
        writers = self.catalog.event_writers(category, name)
        found = [w for w in writers if w.id in heads.present and not w.needs_newer_code]
        parts = [self.read(w.id, values, heads) for w in found]
        frames = [_as_today(part.frame, w, today) for part, w in zip(parts, found, strict=True)]
        frame = pl.concat(frames) if frames else today.read([], np.array([], np.int64)).frame
        return Decoded(frame, [bad for part in parts for bad in part.bad], sum(part.fell_back for part in parts))

    def _today(self, category: str, name: str) -> Writer:
        if name == REJECTION:
            return self.catalog.latest(RejectedCommand)
        classes = (*self.catalog.categories[category].events, *self.catalog.upcasts[category].retired)
        return self.catalog.latest(next(c for c in classes if c.__name__ == name))

    def reader(self, writer: Writer) -> ColumnReader:
        """The reader of one schema."""
        found = self._readers.get(writer.id)
        if found is None:
            name = writer.category, writer.name
            found = self._readers[writer.id] = ColumnReader(
                writer, thin=self._thin, wanted=self._wanted.get(name), pick=self._picks.get(name)
            )
        return found


def _as_today(frame: pl.DataFrame, writer: Writer, today: ColumnReader) -> pl.DataFrame:
    if writer.id == today.writer.id:
        return frame
    had = set(frame.columns)
    defaults = {f["name"]: f.get("default") for f in today.writer.fields}
    return frame.select(
        pl.col(name).cast(dtype) if name in had else pl.lit(defaults[name], dtype).alias(name)
        for name, dtype in {**today.dtypes, ROW: pl.UInt32()}.items()
    )
