"""Released schemas as committed files, like migrations: freeze writes the next version, check compares code and files."""

import json
from collections.abc import Iterable
from pathlib import Path

from refold.schemas.avro import Schema, schema_id, schema_of
from refold.schemas.contracts import Category
from refold.schemas.meta import CLAIM, REJECTED


def unfrozen(categories: Iterable[Category], frozen: Iterable[Schema]) -> list[Schema]:
    """The schemas of today's code that no frozen file holds."""
    known = {schema_id(schema) for schema in frozen}
    today = [schema_of(cls, c.name) for c in categories for cls in c.classes]
    return [schema for schema in today if schema_id(schema) not in known]


def freeze(schemas: Iterable[Schema], folder: Path) -> list[Path]:
    """Write each schema as the next version of its name; never touches a file that is there."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_write_next(schema, folder) for schema in schemas]


def platform_schemas() -> list[Schema]:
    """The two records of the log that belong to no domain."""
    return [CLAIM, REJECTED]


def _write_next(schema: Schema, folder: Path) -> Path:
    stem = f"{schema['namespace']}.{schema['name']}"
    version = 1 + len(list(folder.glob(f"{stem}.v*.avsc")))
    path = folder / f"{stem}.v{version}.avsc"
    with path.open("x", encoding="utf-8") as out:
        json.dump(schema, out, indent=2, ensure_ascii=False)
        out.write("\n")
    return path
