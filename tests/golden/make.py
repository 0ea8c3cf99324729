"""Write the golden bytes of each frozen schema that has none: `python -m tests.golden.make`, after `refold schemas freeze`.

A golden file is made once and never again: what is in it was written to somebody's log. This program never touches a file
that is there, and a file that no longer reads as it did is a bug of the code, never of the file.
The bytes are encoded by fastavro, an implementation that is not ours.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro

from refold.schemas.avro import Schema, resolved, schema_id
from refold.schemas.catalog import frozen_schemas
from tests.schemas.plain import from_plain, to_plain

ROOT = Path(__file__).parent.parent.parent
FOLDER = Path(__file__).parent
FROZEN = (ROOT / "schemas/frozen", ROOT / "retail/schemas/frozen")
FRAME_BYTES = 9
_SAMPLES: dict[str, tuple[Any, Any]] = {
    "boolean": (True, False),
    "int": (330, 1),
    "long": (819063, 2**62),
    "string": ("31198570044", "7"),
    "decimal": ("3.99", "-1234567.00"),
    "timestamp-micros": ("2026-01-31T12:34:56.789012+00:00", "1999-12-31T23:59:59+00:00"),
    "date": ("2026-01-31", "1969-12-31"),
}


def frozen_files() -> Iterator[tuple[str, Schema]]:
    """The name of each frozen file without its ending, and its schema."""
    for folder in FROZEN:
        for path in sorted(folder.glob("*.avsc")):
            yield path.name.removesuffix(".avsc"), json.loads(path.read_text(encoding="utf-8"))


def samples(schema: Schema) -> list[dict[str, Any]]:
    """Two records of a schema as JSON: all there, and nothing optional."""
    return [{f["name"]: _sample(f["type"], f["name"], which) for f in _fields(schema)} for which in (0, 1)]


def encoded(schema: Schema, plain: dict[str, Any]) -> bytes:
    """The whole value, by fastavro."""
    values = {f["name"]: _value(f["type"], plain[f["name"]]) for f in _fields(schema)}
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema, _force=True), values)
    raw = b"\0" + schema_id(schema).to_bytes(4) + out.getvalue()
    return raw[:5] + len(raw).to_bytes(4) + raw[FRAME_BYTES:]


def _fields(schema: Schema) -> list[dict[str, Any]]:
    first, *rest = schema["fields"]
    return [first, *resolved(rest)] if first["name"] == "meta" else resolved(schema["fields"])


def _sample(kind: Any, name: str, which: int) -> Any:
    match kind:
        case {"type": "record", "fields": fields}:
            return {f["name"]: _sample(f["type"], f["name"], which) for f in resolved(fields)}
        case ["null", inner]:
            return None if which else "Müsli 😀" if inner == "string" else _sample(inner, name, 0)
        case {"type": "fixed", "size": size}:
            return to_plain(bytes(size) if name == "size" else (name.encode() * size)[:size])
        case {"type": "enum", "symbols": symbols}:
            return symbols[-1 if which else 0]
        case {"type": "array", "items": items}:
            return [] if which else [_sample(items, name, 0), _sample(items, name, 1)]
    return _SAMPLES[kind if isinstance(kind, str) else kind["logicalType"]][which]


def _value(kind: Any, plain: Any) -> Any:
    if isinstance(kind, dict) and kind["type"] == "record":
        return {f["name"]: from_plain(f["type"], plain[f["name"]]) for f in resolved(kind["fields"])}
    return from_plain(kind, plain)


def main() -> None:
    """Make what is missing, and say so."""
    if len(frozen_schemas(FROZEN)) == 0:
        raise SystemExit("no frozen schemas found")
    for name, schema in frozen_files():
        path = FOLDER / f"{name}.json"
        if path.exists():
            continue
        records = [{"fields": plain, "hex": encoded(schema, plain).hex()} for plain in samples(schema)]
        text = json.dumps({"schema_id": schema_id(schema), "records": records}, indent=2, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
        print(path.relative_to(ROOT))  # noqa: T201 - a program for people


if __name__ == "__main__":
    main()
