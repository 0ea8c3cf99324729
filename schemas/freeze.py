"""Keeps released schemas as committed files, like migrations: writes the next version, finds classes without one."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path

from refold.schemas.avro import Schema, schema_id, schema_of
from refold.schemas.contracts import Category
from refold.schemas.errors import FrozenUnreadable
from refold.schemas.meta import CLAIM, REJECTED, VOIDING

_FILE = re.compile(r"(?P<name>.+)\.v(?P<number>[1-9][0-9]*)\.avsc")


@dataclass(frozen=True)
class Released:
    """A schema, its file, and its version (`v1` and on)."""

    file: str
    version: str
    schema: Schema

    @property
    def full_name(self) -> str:
        return f"{self.schema['namespace']}.{self.schema['name']}"


def released(folder: Traversable) -> list[Released]:
    """The frozen files of a folder, by name and version. Raises FrozenUnreadable."""
    files = [file for file in folder.iterdir() if file.name.endswith(".avsc")] if folder.is_dir() else []
    return [_read(file) for file in sorted(files, key=lambda file: _place(file.name))]


def unfrozen(categories: Iterable[Category], frozen: Iterable[Schema]) -> list[Schema]:
    """The schemas of today's code that no frozen file holds."""
    known = {schema_id(schema) for schema in frozen}
    today = [schema_of(cls, c.name) for c in categories for cls in c.classes]
    return [schema for schema in today if schema_id(schema) not in known]


def freeze(schemas: Iterable[Schema], folder: Path) -> list[Path]:
    """Write each schema as the next version of its name. Never touches an existing file."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_write_next(schema, folder) for schema in schemas]


def platform_schemas() -> list[Schema]:
    """The records of the log that belong to no domain."""
    return [CLAIM, REJECTED, VOIDING]


def _read(file: Traversable) -> Released:
    name, number = _place(file.name)
    try:
        schema = json.loads(file.read_text(encoding="utf-8"))
        found = Released(file.name, f"v{number}", schema)
        if (found.full_name, schema["type"], isinstance(schema["fields"], list)) != (name, "record", True):
            raise FrozenUnreadable(f"{file.name} does not hold the record {name}")
    except (ValueError, KeyError, TypeError) as problem:
        raise FrozenUnreadable(f"{file.name} is not readable: {problem!r}") from problem
    return found


def _place(file: str) -> tuple[str, int]:
    named = _FILE.fullmatch(file)
    if named is None:
        raise FrozenUnreadable(f"{file} is not named <category>.<Name>.v<n>.avsc")
    return named["name"], int(named["number"])


def _write_next(schema: Schema, folder: Path) -> Path:
    stem = f"{schema['namespace']}.{schema['name']}"
    there = [number for file in folder.glob(f"{stem}.v*.avsc") for name, number in [_place(file.name)] if name == stem]
    version = 1 + max(there, default=0)  # not their number: the log may still hold a deleted version
    path = folder / f"{stem}.v{version}.avsc"
    with path.open("x", encoding="utf-8") as out:
        json.dump(schema, out, indent=2, ensure_ascii=False)
        out.write("\n")
    return path
