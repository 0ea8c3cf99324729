"""Describes a schema to Polars: one flat record that starts at the Confluent header, with no name used twice.

Polars wraps integers that are too large for their type, so 32-bit fields are read as 64-bit ones and checked
afterwards.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import fastavro
import polars as pl

from refold.schemas.avro import resolved
from refold.schemas.envelope import FRAME_BYTES

SENTINEL_BYTES = 8
_ID_BYTES = 16
_MOST_SYMBOLS_OF_A_BYTE = 64
_DTYPES: dict[str, pl.DataType] = {
    "boolean": pl.Boolean(),
    "int": pl.Int32(),
    "long": pl.Int64(),
    "string": pl.String(),
    "enum": pl.String(),
    "fixed": pl.Binary(),
    "date": pl.Date(),
    "timestamp-micros": pl.Datetime("us", "UTC"),
}


@dataclass(frozen=True)
class Leaf:
    """A column: its name, its Avro type without `null`, and whether it may be null."""

    name: str
    kind: Any
    optional: bool = False

    @property
    def logical(self) -> str:
        """The value's meaning: `decimal`, `date`, `timestamp-micros`, or else the Avro type's name."""
        if isinstance(self.kind, str):
            return self.kind
        return str(self.kind.get("logicalType", self.kind["type"]))


@dataclass(frozen=True)
class Layout:
    """The leaves of a schema, after a frame of constant size."""

    frame_bytes: int
    leaves: tuple[Leaf, ...]

    @property
    def is_columnar(self) -> bool:
        """Whether Polars can read it and we can check the result. Other schemas are read record by record."""
        return all(_is_columnar(leaf) for leaf in self.leaves)

    def dtypes(self) -> dict[str, pl.DataType]:
        """The types of the columns."""
        return {leaf.name: _dtype(leaf.kind) for leaf in self.leaves}

    def avro_fields(self) -> list[dict[str, Any]]:
        """The fields of the record as Polars is told to read it."""
        first = {"name": "_frame", "type": _fixed("Frame", self.frame_bytes)}
        return [first, *self.fields(), {"name": "_sentinel", "type": _fixed("Sentinel", SENTINEL_BYTES)}]

    def fields(self) -> list[dict[str, Any]]:
        """The fields of the leaves alone."""
        return [{"name": leaf.name, "type": _for_polars(leaf, f"T{i}")} for i, leaf in enumerate(self.leaves)]


def layout_of(schema: dict[str, Any], *, thin: bool) -> Layout:
    """Leaves in the bytes' order: the envelope as m_…, then the body. `thin` merges leading ids into the frame."""
    envelope, *body = schema["fields"]
    has_envelope = envelope["name"] == "meta"
    varying = resolved(envelope["type"]["fields"] if has_envelope else schema["fields"])[1:]
    frame_bytes = FRAME_BYTES
    while thin and _is_id(varying[0]["type"]):
        frame_bytes += _ID_BYTES
        varying = varying[1:]
    heads = [_leaf(f"m_{field['name']}", field["type"]) for field in varying]
    return Layout(frame_bytes, (*heads, *(_leaf(f["name"], f["type"]) for f in resolved(body if has_envelope else []))))


def empty_container(fields: Sequence[dict[str, Any]]) -> tuple[bytes, bytes]:
    """An Avro container without blocks, and the marker that ends each block."""
    out = io.BytesIO()
    fastavro.writer(out, fastavro.parse_schema({"type": "record", "name": "Row", "fields": list(fields)}), [])
    return out.getvalue(), out.getvalue()[-16:]


def _dtype(kind: Any) -> pl.DataType:
    if isinstance(kind, list):
        return _dtype(kind[1])
    leaf = Leaf("", kind)
    if leaf.logical == "array":
        return pl.List(_dtype(kind["items"]))
    if leaf.logical == "decimal":
        return pl.Decimal(kind["precision"], kind["scale"])
    return _DTYPES[leaf.logical]


def _leaf(name: str, kind: Any) -> Leaf:
    return Leaf(name, kind[1], optional=True) if isinstance(kind, list) else Leaf(name, kind)


def _is_id(kind: Any) -> bool:
    return isinstance(kind, dict) and kind["type"] == "fixed"


def _is_columnar(leaf: Leaf) -> bool:
    match leaf.logical:
        case "enum":
            return not leaf.optional and len(leaf.kind["symbols"]) <= _MOST_SYMBOLS_OF_A_BYTE
        case "array":
            return leaf.kind["items"] in ("int", "long", "string")
        case "fixed":
            return not leaf.optional
    return True


def _for_polars(leaf: Leaf, name: str) -> Any:
    kind = leaf.kind
    match leaf.logical:
        case "int" | "date":
            kind = "long"
        case "array":
            kind = {"type": "array", "items": "string" if leaf.kind["items"] == "string" else "long"}
        case "enum" | "fixed":
            kind = {**leaf.kind, "name": name}
            kind.pop("namespace", None)
    return ["null", kind] if leaf.optional else kind


def _fixed(name: str, size: int) -> dict[str, Any]:
    return {"type": "fixed", "name": name, "size": size}
