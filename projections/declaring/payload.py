"""All fields of an event as one value: where a declaration may use it, and what of a contract decides its content."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from refold.projections.declaring.conditions import Value
from refold.projections.declaring.field_types import EventType, avro_fields, field_defaults
from refold.projections.declaring.indexes import Indexes, columns_of
from refold.projections.declaring.links import Link
from refold.projections.declaring.sql_types import JSONB, ColumnType
from refold.projections.errors import BadDeclaration


@dataclass(frozen=True)
class Payload(Value):
    """All fields of the event as one object of JSON, decimals and times as texts. Only a cell of an event table holds it."""


PAYLOAD = Payload()


def payload_type(kind: EventType, where: str, depth: int) -> tuple[ColumnType, bool]:
    """Its type, and that it is never null. Raises BadDeclaration where it stands within another value, and for rejections."""
    if depth:
        raise BadDeclaration(f"{where}: nothing is computed from PAYLOAD, and no condition asks it: name a field")
    if kind.is_rejection:
        raise BadDeclaration(f"{where}: a rejection has no PAYLOAD: take its command, code and message")
    return JSONB, False


def refuse_payload(value: Value | None, where: str) -> None:
    """Raise BadDeclaration for a payload that is no cell of an event table."""
    if isinstance(value, Payload):
        raise BadDeclaration(f"{where}: only a cell of an EventTable holds PAYLOAD: it is no key, and is not gathered")


def refuse_searched(model: str, columns: Mapping[str, Any], indexes: Indexes, links: Mapping[str, Link]) -> None:
    """Raise BadDeclaration for an index or a link with a payload: an index of whole objects finds nothing that is asked for."""
    held = {name for name, column in columns.items() if isinstance(column.value, Payload)}
    used = [*map(columns_of, indexes), *(link.own for link in links.values())]
    if found := sorted(held & {name for names in used for name in names}):
        raise BadDeclaration(
            f"{model}: {found[0]} holds PAYLOAD, which has no index and no link: make a cell of its field"
        )


def payload_types(model: Any) -> Collection[EventType]:
    """The types of events whose payload a model holds."""
    return {kind for column in model.columns.values() if isinstance(column.value, Payload) for kind in column.of.types}


def stored_fields(kind: EventType) -> list[list[Any]]:
    """The name of each field, what decides its text in JSON, and its default, in order. New symbols of an enum change no row."""
    defaults = field_defaults(kind)
    return [[name, _said(avro), defaults.get(name)] for name, avro in avro_fields(kind).items()]


def _said(avro: Any) -> Any:
    if isinstance(avro, list):
        return [_said(part) for part in avro]
    if not isinstance(avro, dict):
        return avro
    parts = [
        avro.get("logicalType", avro["type"]),
        avro.get("scale"),
        _said(avro["items"]) if "items" in avro else None,
    ]
    return [part for part in parts if part is not None]
