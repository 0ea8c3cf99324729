"""Many records at once: bodies of one schema joined into an Avro container block that Polars decodes column-wise.

Polars does not say where a record ends, so a random sentinel is put behind each record and read back as a last column:
bytes that are missing, too many or moved between two records cannot reproduce it. On any doubt the records go through
`codec` one by one, which names the bad ones. The whole value is decoded, Confluent header included, as one leading
fixed column: no slicing per record.
"""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import fastavro
import numpy as np
import polars as pl
from numpy.typing import NDArray

from refold.schemas import codec
from refold.schemas.catalog import Catalog, Writer
from refold.schemas.errors import Undecodable
from refold.schemas.meta import HEADER_BYTES, SIZE_BYTES

_SENTINEL_BYTES = 8
_FRAME_BYTES = HEADER_BYTES + SIZE_BYTES
UNFRAMED = -1


@dataclass(frozen=True)
class Heads:
    """Of each value of a chunk: the schema id, or -1 where header or size do not fit the bytes."""

    schema_ids: NDArray[np.int64]

    @cached_property
    def present(self) -> list[int]:
        return [int(i) for i in np.unique(self.schema_ids)]

    def rows_of(self, schema_id: int) -> NDArray[np.int64]:
        return np.flatnonzero(self.schema_ids == schema_id)


def read_heads(values: Sequence[bytes | None]) -> Heads:
    """Check magic byte and size of every value at once."""
    filled = [value or b"" for value in values]
    lengths = np.fromiter(map(len, filled), np.int64, len(filled))
    ends = np.cumsum(lengths)
    joined = np.frombuffer(b"".join(filled) + bytes(_FRAME_BYTES), np.uint8)
    starts = ends - lengths
    head = joined[starts[:, None] + np.arange(_FRAME_BYTES)].astype(np.int64)
    powers = 256 ** np.arange(3, -1, -1, dtype=np.int64)
    ids = head[:, 1:HEADER_BYTES] @ powers
    sizes = head[:, HEADER_BYTES:] @ powers
    sound = (lengths >= _FRAME_BYTES) & (head[:, 0] == 0) & (sizes == lengths)
    return Heads(np.where(sound, ids, UNFRAMED))


@dataclass
class Bad:
    """A record that is not what its schema says."""

    row: int
    reason: str


@dataclass
class Decoded:
    """Records of one or more schemas as columns (`row` is the place in the chunk), and those that could not be read."""

    frame: pl.DataFrame
    bad: list[Bad] = field(default_factory=list)
    fell_back: int = 0


class ColumnReader:
    """Decode records of one schema. `thin` merges what only the core fold needs of the envelope into one column."""

    def __init__(self, writer: Writer, *, thin: bool) -> None:
        self.writer = writer
        flat = _flattened(writer.schema, thin=thin)
        self._columnar = _is_columnar(flat)
        self._enums = [f["name"] for f in flat if _is_enum(f["type"])]
        self._thin = thin
        fields = [*_fresh_names(flat), {"name": "sentinel", "type": _fixed("Sentinel", _SENTINEL_BYTES)}]
        self._header, self._sync = _empty_container(fields)
        self.dtypes = self._dtypes() if self._columnar else {}

    def read(self, values: Sequence[bytes], rows: NDArray[np.int64]) -> Decoded:
        """The records at `rows` of a chunk; heads must have been checked. Never raises for bad bytes."""
        chosen = values if len(rows) == len(values) else [values[i] for i in rows.tolist()]
        if not chosen:
            return Decoded(self._empty())
        frame = self._columns(chosen) if self._columnar else None
        if frame is None:
            return self._one_by_one(chosen, rows)
        return Decoded(frame.with_columns(row=pl.Series(rows, dtype=pl.UInt32)))

    def _columns(self, values: Sequence[bytes]) -> pl.DataFrame | None:
        sentinel = os.urandom(_SENTINEL_BYTES)
        block = sentinel.join([*values, b""])
        parts = (self._header, _varint(len(values)), _varint(len(block)), block, self._sync)
        try:
            frame = pl.read_avro(io.BytesIO(b"".join(parts)))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001 - Polars panics (a BaseException) on malformed data; each record is read alone then
            return None
        if frame.height != len(values) or not frame.select((pl.col("sentinel") == pl.lit(sentinel)).all()).item():
            return None
        return self._named(frame)

    def _named(self, frame: pl.DataFrame) -> pl.DataFrame:
        enums = [pl.col(name).cast(pl.String) for name in self._enums]
        return frame.drop("sentinel", "frame").with_columns(enums) if enums else frame.drop("sentinel", "frame")

    def _one_by_one(self, values: Sequence[bytes], rows: NDArray[np.int64]) -> Decoded:
        good: list[dict[str, Any]] = []
        bad: list[Bad] = []
        for row, value in zip(rows.tolist(), values, strict=True):
            try:
                good.append({**_flat_row(codec.read_fields(self.writer, value), thin=self._thin), "row": row})
            except Undecodable as problem:
                bad.append(Bad(row, problem.reason))
        schema = {**self.dtypes, "row": pl.UInt32}
        frame = pl.DataFrame(good, schema=schema) if self._columnar or not good else pl.DataFrame(good)
        return Decoded(frame.with_columns(pl.col("row").cast(pl.UInt32)), bad, fell_back=len(values))

    def _empty(self) -> pl.DataFrame:
        return pl.DataFrame(schema={**self.dtypes, "row": pl.UInt32})

    def _dtypes(self) -> dict[str, pl.DataType]:
        empty = pl.read_avro(io.BytesIO(self._header))
        return dict(self._named(empty).schema)


class ColumnDecoder:
    """Column readers for the catalog's schemas, made when first needed."""

    def __init__(self, catalog: Catalog, *, thin: bool) -> None:
        self.catalog = catalog
        self._thin = thin
        self._readers: dict[int, ColumnReader] = {}

    def read(self, schema_id: int, values: Sequence[bytes], heads: Heads) -> Decoded:
        """All records of one schema id in a chunk, with the columns of that released schema."""
        return self._reader(self.catalog.by_id[schema_id]).read(values, heads.rows_of(schema_id))

    def events(self, category: str, name: str, values: Sequence[bytes], heads: Heads) -> Decoded:
        """All events of one type, whatever version wrote them, with the columns of today's schema."""
        today = self._today(category, name)
        found = [w for w in self.catalog.event_writers(category, name) if w.id in heads.present]
        parts = [self.read(w.id, values, heads) for w in found]
        frames = [_as_today(part.frame, w, today) for part, w in zip(parts, found, strict=True)]
        frame = pl.concat(frames, how="vertical_relaxed") if frames else self._reader(today).read([], np.array([], np.int64)).frame
        return Decoded(frame, [bad for part in parts for bad in part.bad], sum(part.fell_back for part in parts))

    def _today(self, category: str, name: str) -> Writer:
        cls = next(c for c in self.catalog.categories[category].events if c.__name__ == name)
        return self.catalog.current(cls)

    def _reader(self, writer: Writer) -> ColumnReader:
        found = self._readers.get(writer.id)
        if found is None:
            found = self._readers[writer.id] = ColumnReader(writer, thin=self._thin)
        return found


def _as_today(frame: pl.DataFrame, writer: Writer, today: Writer) -> pl.DataFrame:
    if writer.id == today.id:
        return frame
    had = {f["name"] for f in writer.fields}
    added = [pl.lit(f.get("default")).alias(f["name"]) for f in today.fields if f["name"] not in had]
    envelope = [name for name in frame.columns if name.startswith("m_")]
    return frame.with_columns(added).select(*envelope, *(f["name"] for f in today.fields), "row")


def _flattened(schema: dict[str, Any], *, thin: bool) -> list[dict[str, Any]]:
    """The record's leaves in the order of its bytes: header and size, the envelope as m_…, the body."""
    first = schema["fields"][0]
    has_envelope = first["name"] == "meta"
    envelope = first["type"]["fields"] if has_envelope else schema["fields"]
    body = schema["fields"][1:] if has_envelope else []
    leaves, frame_bytes = [], _FRAME_BYTES
    for leaf in envelope[1:]:
        if thin and _fixed_size(leaf["type"]) and not leaves:
            frame_bytes += _fixed_size(leaf["type"])
        else:
            leaves.append({"name": f"m_{leaf['name']}", "type": leaf["type"]})
    head = {"name": "frame", "type": _fixed("Frame", frame_bytes)}
    return [head, *leaves, *({"name": f["name"], "type": f["type"]} for f in body)]


def _fixed_size(kind: Any) -> int:
    if kind == "refold.Id":
        return 16
    return int(kind["size"]) if isinstance(kind, dict) and kind["type"] == "fixed" else 0


def _fresh_names(fields: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Polars refuses a named type used twice, so each use gets a name of its own: the bytes are the same."""
    return [{"name": f["name"], "type": _fresh(f["type"], f"T{i}")} for i, f in enumerate(fields)]


def _fresh(kind: Any, name: str) -> Any:
    if size := _fixed_size(kind):
        return _fixed(name, size)
    if _is_enum(kind):
        return {**kind, "name": name}
    return kind


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, dict) and kind["type"] == "enum"


def _is_columnar(fields: list[dict[str, Any]]) -> bool:
    """Polars reads scalars and arrays of them; what it cannot (maps, records, enums in unions) is read row by row."""

    def simple(kind: Any) -> bool:
        if isinstance(kind, list):
            return len(kind) == 2 and "null" in kind and all(simple(k) and not _is_enum(k) for k in kind)
        if isinstance(kind, dict):
            return kind["type"] not in {"map", "record"} and (kind["type"] != "array" or simple(kind["items"]))
        return True

    return all(simple(f["type"]) for f in fields)


def _flat_row(fields: dict[str, Any], *, thin: bool) -> dict[str, Any]:
    """A row-wise record under the names of the columnar one."""
    envelope = fields.pop("meta", None)
    body = fields if envelope is not None else {}
    flat = {f"m_{k}": v for k, v in (envelope if envelope is not None else fields).items() if k != "size"}
    if thin:
        for name in ("m_writer", "m_command_id", "m_body_hash", "m_event_id"):
            flat.pop(name, None)
    return {**flat, **body}


def _fixed(name: str, size: int) -> dict[str, Any]:
    return {"type": "fixed", "name": name, "size": size}


def _empty_container(fields: list[dict[str, Any]]) -> tuple[bytes, bytes]:
    out = io.BytesIO()
    fastavro.writer(out, fastavro.parse_schema({"type": "record", "name": "Row", "fields": fields}), [])
    return out.getvalue(), out.getvalue()[-16:]


def _varint(number: int) -> bytes:
    """Avro's zigzag encoding of a non-negative long."""
    number, out = number << 1, bytearray()
    while number & ~0x7F:
        out.append((number & 0x7F) | 0x80)
        number >>= 7
    return bytes([*out, number])
