"""Texts of columns and names of keys that an author leaves out: a plain field's own text, and the field that names the stream.

A text is never guessed. A computed value, a condition, or events that describe a field differently need the author's words.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from refold.projections.declaring.expressions import (
    ACTOR,
    CATEGORY,
    CORRELATION_ID,
    EVENT_TYPE,
    OCCURRED_AT,
    RECORDED_AT,
    STREAM,
    VERSION,
    Expression,
    Field,
)
from refold.projections.declaring.field_types import EventType, field_text, field_type
from refold.projections.declaring.gathering import Column, Key
from refold.projections.declaring.payload import PAYLOAD
from refold.projections.declaring.sql_types import DATE, TIME
from refold.projections.errors import BadDeclaration
from refold.schemas.avro import schema_of
from refold.schemas.contracts import Category

_OF_EVERY_EVENT: dict[Expression, str] = {
    CATEGORY: "Category of the event.",
    STREAM: "Stream of the event.",
    VERSION: "Version of the stream with this event.",
    OCCURRED_AT: "Time at which the event occurred.",
    RECORDED_AT: "Time at which the event was recorded.",
    ACTOR: "Who sent the event's command.",
    CORRELATION_ID: "What ties the event to a request.",
    EVENT_TYPE: "Name of the event's type.",
    PAYLOAD: "The event's fields.",
}
_BEFORE = {"sum": "Sum: ", "min": "Least: ", "max": "Greatest: "}
_BEFORE_TIMES = {"min": "Earliest: ", "max": "Latest: "}
_OF_A_VALUE = frozenset({"first", "last", "value", *_BEFORE})
Described = TypeVar("Described", Column, Key)


def with_texts(model: str, parts: Mapping[str, Described], kinds: Sequence[EventType] = ()) -> dict[str, Described]:
    """The columns, or the key over events of `kinds`, each with its text. Raises BadDeclaration."""
    return {
        name: part if part.doc != "" else _described(f"{model}.{name}", part, kinds) for name, part in parts.items()
    }


def domain_of(model: str, domain: str, kinds: Collection[EventType]) -> str:
    """The domain that is given, or else the one of all events. Raises BadDeclaration."""
    found = {kind.category.domain for kind in kinds}
    if domain or not found:
        return domain
    if len(found) > 1:
        raise BadDeclaration(f"{model}: its events are of the domains {', '.join(sorted(found))}: name one, domain=…")
    return found.pop()


def stream_name(model: str, category: Category) -> str:
    """The field by which all commands of a category name the stream. Raises BadDeclaration."""
    found = {command.stream_field for command in category.own_commands}
    if len(found) != 1:
        said = f"name it {' and '.join(sorted(found))}" if found else "are none"
        raise BadDeclaration(
            f"{model}: the commands of {category.name}, after which its key is named, {said}: key_name=…"
        )
    return found.pop()


def stream_text(model: str, category: Category) -> str:
    """The text of that field. Raises BadDeclaration."""
    fields = [
        (command.stream_field, schema_of(command, category.name)["fields"][1:]) for command in category.own_commands
    ]
    return _one_text(
        f"{model}: its key",
        {part["doc"] for named, parts in fields for part in parts if part["name"] == named},
        "key_doc=…",
    )


def _described(where: str, part: Described, kinds: Sequence[EventType]) -> Described:
    if isinstance(part, Key):
        return replace(part, doc=_text(where, part.value, kinds))
    if part.gather not in _OF_A_VALUE or part.value is None:
        raise BadDeclaration(
            f"{where} has no text: only a field's own value has one by itself, not {part.gather}(); write doc=…"
        )
    if part.of.condition is not None:
        raise BadDeclaration(f"{where} has no text: a field's text says nothing of the condition; write doc=…")
    text = _text(where, part.value, part.of.types)
    return replace(part, doc=_before(part, where) + text)


def _before(column: Column, where: str) -> str:
    """The word before the field's text, as in `Sum: Amount after discounts.`."""
    if isinstance(column.value, Field) and field_type(column.of.types[0], column.value.name, where).column in (
        TIME,
        DATE,
    ):
        return _BEFORE_TIMES.get(column.gather, "")
    return _BEFORE.get(column.gather, "")


def _text(where: str, value: Expression, kinds: Sequence[EventType]) -> str:
    if value in _OF_EVERY_EVENT:
        return _OF_EVERY_EVENT[value]
    if not isinstance(value, Field):
        raise BadDeclaration(
            f"{where} has no text: a field has one by itself, and a computed value needs yours; write doc=…"
        )
    return _one_text(where, {field_text(kind, value.name, where) for kind in kinds}, "doc=…")


def _one_text(where: str, texts: Collection[str], argument: str) -> str:
    if len(texts) == 1:
        return next(iter(texts))
    said = f"the contracts have {', '.join(repr(text) for text in sorted(texts))}" if texts else "no contract has one"
    raise BadDeclaration(f"{where} has no text: {said}; write {argument}")
