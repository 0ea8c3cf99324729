"""Tells which columns of events some read models can ask for, so that a replay decodes no others. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec

from refold.projections.declaring.declaration import EventType
from refold.projections.declaring.payload import payload_types
from refold.projections.tables.layout import Layout
from refold.projections.tables.memories import read_types
from refold.schemas.avro import resolved
from refold.schemas.catalog import Catalog
from refold.schemas.columns import envelope as m

_ALWAYS = {m.STREAM, m.VERSION, m.OCCURRED_AT}
"""What every fold reads: the stream, the place in it, and the time."""


def wanted_columns(layouts: Iterable[Layout], catalog: Catalog) -> dict[tuple[str, str], frozenset[str]]:
    """By category and name of each event type that the models read: the columns that they may ask for.

    These are all whose names stand anywhere in a declaration, and all texts, each of which is checked for what
    Postgres cannot hold. A type that a model folds by `evolve`, or shows as a payload, is left out: it is decoded whole.
    """
    found: dict[EventType, set[str]] = {}
    whole: set[EventType] = set()
    for layout in layouts:
        said = set(_texts(layout.model))
        shown = payload_types(layout.model)
        for kind in read_types(layout.model):
            found.setdefault(kind, set()).update(said)
            if layout.evolves or kind in shown:
                whole.add(kind)
    return {
        (kind.category.name, kind.event.__name__): frozenset(said | _ALWAYS | _of_text(catalog, kind))
        for kind, said in found.items()
        if kind not in whole
    }


def _texts(said: Any) -> Iterator[str]:
    """Every text in a declaration, however deep."""
    if isinstance(said, str):
        yield said
    elif is_dataclass(said) and not isinstance(said, type):
        for one in fields(said):
            yield from _texts(getattr(said, one.name))
    elif isinstance(said, msgspec.Struct):
        yield from _texts(msgspec.structs.asdict(said))
    elif isinstance(said, Mapping):
        for name, held in said.items():
            yield from _texts(name)
            yield from _texts(held)
    elif isinstance(said, list | tuple | set | frozenset):
        for held in said:
            yield from _texts(held)


def _of_text(catalog: Catalog, kind: EventType) -> set[str]:
    """The fields of an event that hold texts."""
    schema = catalog.latest(kind.event)
    return {field["name"] for field in resolved(schema.fields) if "string" in _names(field["type"])}


def _names(kind: Any) -> Iterator[str]:
    """The names of a field's Avro types."""
    if isinstance(kind, str):
        yield kind
    elif isinstance(kind, list):
        for one in kind:
            yield from _names(one)
    elif isinstance(kind, dict):
        yield from _names(kind["type"])
        yield from _names(kind.get("items", []))
