"""Reads a record of a foreign topic as a CloudEvent by Kafka's protocol binding, in binary or structured mode. Pure.

The format: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from refold.schemas import strict_json
from refold.schemas.catalog import Catalog
from refold.schemas.contracts import Category, FactCommand
from refold.schemas.errors import BadValue
from refold.streams.sending.cloud_event import Announced, Attributes, announced, attributes, command_of, structured

_STRUCTURED = "application/cloudevents+json"
_PREFIX = "ce_"


@dataclass(frozen=True, slots=True)
class ForeignRecord:
    """A record that another system wrote; `at`: when the broker says that it was written."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    at: datetime


def fact_of_record(catalog: Catalog, category: Category, record: ForeignRecord) -> tuple[Announced, FactCommand]:
    """What the record says, and the command that publishes its event. Raises Malformed, BadValue with the place.

    A place is `$.subject` or `$.data.celsius` in structured mode; in binary mode `ce_subject`, or `$.celsius` in the value.
    """
    kind = _content_type(record.headers)
    if kind.partition(";")[0].strip().lower() == _STRUCTURED:
        said, data, at = structured(record.value or b"")
        found = _announced(catalog, category, said, record)
        return found, command_of(found, data, at)
    if kind.lower().startswith("application/cloudevents"):
        raise BadValue(f"Expected `{_STRUCTURED}` or binary mode, got {kind[:100]}", "content-type")
    try:
        found = _announced(catalog, category, attributes(_named(record.headers, kind)), record)
    except BadValue as problem:
        raise _in_header(problem) from problem
    data = record.value or b""
    if data:
        strict_json.check(data)
    return found, command_of(found, data)


def _announced(catalog: Catalog, category: Category, said: Attributes, record: ForeignRecord) -> Announced:
    """What an event means; where it says less, the record's key names the stream, and its time is the event's."""
    if said.subject is None and said.partitionkey is None and record.key is not None:
        said = msgspec.structs.replace(said, partitionkey=record.key.decode(errors="replace"))
    found = announced(catalog, category, said)
    return found if said.time is not None else replace(found, occurred_at=record.at)


def _content_type(headers: Sequence[tuple[str, bytes | None]]) -> str:
    found = next((value for name, value in headers if name.lower() == "content-type"), None)
    return (found or b"").decode(errors="replace")


def _named(headers: Sequence[tuple[str, bytes | None]], kind: str) -> dict[str, str]:
    """The attributes of binary mode by name."""
    named: dict[str, str] = {"datacontenttype": kind} if kind else {}
    for name, value in headers:
        if name.startswith(_PREFIX) and value is not None:
            try:
                named[name.removeprefix(_PREFIX)] = value.decode()
            except UnicodeDecodeError:
                raise BadValue("Expected UTF-8", f"$.{name.removeprefix(_PREFIX)}") from None
    return named


def _in_header(problem: BadValue) -> BadValue:
    """The fault of an attribute as that of its header."""
    missing = problem.message.partition("`")[2].partition("`")[0]
    name = missing if problem.field == "$" else problem.field.removeprefix("$.")
    return BadValue(problem.message, "content-type" if name == "datacontenttype" else f"{_PREFIX}{name}")
