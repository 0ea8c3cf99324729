"""The types of the fields and expressions in a declaration: of events and of the envelope."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

from msgspec import inspect

from refold.projections.declaring.sql_types import (
    BIGINT,
    BOOLEAN,
    DATE,
    ENVELOPE_TYPES,
    INTEGER,
    TEXT,
    TIME,
    ColumnType,
    of_avro,
)
from refold.projections.errors import BadDeclaration
from refold.schemas.avro import Schema, resolved, schema_of
from refold.schemas.columns import envelope as m
from refold.schemas.contracts import Category, Event
from refold.schemas.meta import REJECTED
from refold.schemas.rejections import RejectedCommand

_WORDS = {
    INTEGER: "an int",
    BIGINT: "a long",
    BOOLEAN: "a boolean",
    TEXT: "a text",
    TIME: "a time",
    DATE: "a date",
}


CARRIED = "m_carried "
"""Begins the name of the column that a fold adds to events for a carried value. No field has a blank in its name."""


@dataclass(frozen=True)
class EventType:
    """One type of event of one category, or its rejections."""

    category: Category
    event: type[Event]

    @property
    def is_rejection(self) -> bool:
        """Whether its records are rejections: they change no stream, so several have one version."""
        return self.event is RejectedCommand


@dataclass(frozen=True)
class FieldType:
    """A field's column type, and what a column type does not say: which enum it is, how many digits it has."""

    column: ColumnType
    nullable: bool
    enum: type[Enum] | None = None
    digits: int = 0
    scale: int = 0

    @property
    def word(self) -> str:
        """The type's name for people."""
        if self.enum is not None:
            return f"an enum ({self.enum.__name__})"
        return f"a decimal({self.digits},{self.scale})" if self.digits else _WORDS[self.column]


@cache
def field_type(kind: EventType, name: str, where: str = "") -> FieldType:
    """The type of a field of one event type. Raises BadDeclaration if the field is missing or no column can hold it."""
    if name in ENVELOPE_TYPES:
        return FieldType(ENVELOPE_TYPES[name], nullable=name in {m.ACTOR, m.CORRELATION_ID})
    if name == m.OFFSET and kind.is_rejection:
        return FieldType(BIGINT, nullable=False)
    avro = avro_fields(kind).get(name)
    if avro is None:
        raise BadDeclaration(f"{where}: {kind.event.__name__} has no field {name}")
    column, nullable = of_avro(avro, f"{where}: {kind.event.__name__}.{name}")
    plain = avro[1] if isinstance(avro, list) else avro
    if isinstance(plain, dict) and plain.get("logicalType") == "decimal":
        return FieldType(column, nullable, digits=int(plain["precision"]), scale=int(plain.get("scale", 0)))
    is_enum = isinstance(plain, dict) and plain["type"] == "enum"
    return FieldType(column, nullable, _enum_of(kind, name) if is_enum else None)


def field_text(kind: EventType, name: str, where: str) -> str:
    """The text of a field in the event's contract. Raises BadDeclaration if the field is missing."""
    found = next(
        (field["doc"] for field in _schema(kind)["fields"][1:] if field["name"] == name),
        None,
    )
    if found is None:
        raise BadDeclaration(f"{where}: {kind.event.__name__} has no field {name}")
    return str(found)


def has_field(kind: EventType, name: str) -> bool:
    """Whether events of the type, or every event's envelope, have a field."""
    if name in ENVELOPE_TYPES or name.startswith(CARRIED):
        return True
    return name in avro_fields(kind) or (name == m.OFFSET and kind.is_rejection)


@cache
def avro_fields(kind: EventType) -> dict[str, Any]:
    """The fields of an event type in their order, with their Avro types; each type is written out."""
    return {f["name"]: f["type"] for f in resolved(_schema(kind)["fields"][1:])}


def field_defaults(kind: EventType) -> dict[str, Any]:
    """The defaults of the fields that have one, as Avro says them."""
    return {field["name"]: field["default"] for field in _schema(kind)["fields"][1:] if "default" in field}


def _schema(kind: EventType) -> Schema:
    return REJECTED if kind.is_rejection else schema_of(kind.event, kind.category.name)


def _enum_of(kind: EventType, name: str) -> type[Enum]:
    described = inspect.type_info(kind.event)
    assert isinstance(described, inspect.StructType)
    found = [enum for field in described.fields if field.name == name for enum in _enums(field.type)]
    return found[0]


def _enums(described: inspect.Type) -> list[type[Enum]]:
    match described:
        case inspect.Metadata(type=inner):
            return _enums(inner)
        case inspect.UnionType(types=parts):
            return [enum for part in parts for enum in _enums(part)]
        case inspect.EnumType(cls=cls):
            return [cls]
    return []


def common_type(found: Sequence[ColumnType], where: str) -> ColumnType:
    """The one type of a column that gathers several event types. Raises BadDeclaration."""
    kinds = set(found)
    if kinds == {INTEGER, BIGINT}:
        return BIGINT
    if len(kinds) != 1:
        raise BadDeclaration(f"{where}: its events have it as {', '.join(sorted(kind.sql for kind in kinds))}")
    return max(found, key=lambda kind: kind.digits)
