"""Reads a CloudEvent as the command that publishes a fact: which attribute is what, and what is refused. Pure.

The formats: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md and `formats/json-format.md`.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from refold.schemas import strict_json
from refold.schemas.catalog import Catalog, Kind
from refold.schemas.contracts import Category, Event, FactCommand, is_stream_id, publishing
from refold.schemas.errors import BadValue, Malformed
from refold.schemas.exact_text import instant_of
from refold.schemas.identity import fact_uuid
from refold.schemas.validate import bad_value, from_sound_json

MOST_LETTERS = 1000
_Name = Annotated[
    str, msgspec.Meta(min_length=1, max_length=MOST_LETTERS, pattern=r"\A[^\x00-\x1f\x7f-\x9f\ud800-\udfff]+\Z")
]
"""A text as the standard allows it, without control characters."""
_Note = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"\A[\x20-\x7e]+\Z")]
_FINER = re.compile(r"(\.[0-9]{6})[0-9]+")
_VERSION = re.compile(r"0|[1-9][0-9]{0,17}")
_SCHEMA = re.compile(r"(?:.*/)?schemas/ids/([0-9]{1,10})")
_JSON = re.compile(
    r"(?:application/json|[a-z0-9.+-]+/[a-z0-9.+-]+\+json) *(?:; *charset *= *\"?utf-8\"? *)?", re.IGNORECASE
)


class Attributes(msgspec.Struct, frozen=True):
    """What an event says of itself. Extensions that have no meaning here are not kept."""

    specversion: Literal["1.0"]
    id: _Name
    source: _Name
    type: _Name
    subject: str | None = None
    partitionkey: str | None = None
    time: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    expectedversion: int | str | None = None
    correlationid: _Note | None = None


class _Structured(Attributes, frozen=True):
    data: msgspec.Raw = msgspec.Raw()
    data_base64: str | None = None


@dataclass(frozen=True, slots=True)
class Announced:
    """A fact without its data: all that its attributes say."""

    fact: type[Event]
    stream: str
    command_id: UUID
    occurred_at: datetime
    expected_version: int | None
    source: str
    correlation_id: str | None


def attributes(named: Mapping[str, str]) -> Attributes:
    """The attributes of an event in binary mode. Raises BadValue; its field is the attribute's name behind `$.`."""
    try:
        return msgspec.convert(named, Attributes)
    except msgspec.ValidationError as problem:
        raise bad_value(problem) from problem


def structured(text: bytes) -> tuple[Attributes, bytes, str]:
    """An event in the JSON format: its attributes, its data, and where that stands. Raises Malformed, BadValue."""
    strict_json.check(text)
    try:
        found = _DECODER.decode(text)
    except msgspec.ValidationError as problem:
        raise bad_value(problem) from problem
    if found.data_base64 is None:
        return found, bytes(found.data), "$.data"
    if bytes(found.data):
        raise BadValue("`data` and `data_base64` exclude each other", "$.data_base64")
    try:
        data = b64decode(found.data_base64, validate=True)
        strict_json.check(data)
    except (binascii.Error, ValueError) as problem:
        raise BadValue(f"Expected base64: {problem}", "$.data_base64") from problem
    except Malformed as problem:
        raise BadValue(f"Expected JSON in base64: {problem.message}", "$.data_base64") from problem
    return found, data, "$.data_base64"


def announced(catalog: Catalog, category: Category, said: Attributes) -> Announced:
    """What the attributes mean in a category. Raises BadValue."""
    fact = _fact(category, said.type)
    _check_content(catalog, category, fact, said)
    return Announced(
        fact,
        _stream(said),
        fact_uuid(said.source, said.id),
        _occurred_at(said.time),
        _expected_version(said.expectedversion),
        said.source,
        said.correlationid,
    )


def command_of(found: Announced, data: bytes, at: str = "$") -> FactCommand:
    """The command that publishes the fact; `data`: JSON that `strict_json` has checked. Raises BadValue with its place below `at`."""
    if not data:
        raise BadValue(f"Expected the fields of {found.fact.__name__} as a JSON object, got nothing", at)
    try:
        fact = from_sound_json(data, found.fact)
    except BadValue as problem:
        raise BadValue(problem.message, f"{at}{problem.field.removeprefix('$')}") from problem
    return publishing(fact, found.stream)


def is_json(content_type: str) -> bool:
    """Whether a media type is JSON in UTF-8."""
    return _JSON.fullmatch(content_type.strip()) is not None


def _fact(category: Category, name: str) -> type[Event]:
    for fact in category.facts:
        if name in (fact.__name__, f"{category.name}.{fact.__name__}"):
            return fact
    known = ", ".join(fact.__name__ for fact in category.facts)
    raise BadValue(f"no fact {name[:100]!r} in {category.name}; there are: {known}", "$.type")


def _stream(said: Attributes) -> str:
    name = "subject" if said.subject is not None or said.partitionkey is None else "partitionkey"
    stream = getattr(said, name)
    if stream is None:
        raise BadValue("Object missing required field `subject`, which names the stream", "$")
    if not is_stream_id(stream):
        raise BadValue("Expected a stream id: 1-200 bytes of letters, digits and . _ ~ : -", f"$.{name}")
    return str(stream)


def _occurred_at(text: str | None) -> datetime:
    """The time, cut to the microsecond: many producers' clocks are finer, and cannot be told otherwise."""
    if text is None:
        return datetime.now(UTC)
    try:
        return instant_of(_FINER.sub(r"\1", text))
    except ValueError as problem:
        raise BadValue(str(problem), "$.time") from None


def _expected_version(said: int | str | None) -> int | None:
    if said is None:
        return None
    if not _VERSION.fullmatch(str(said)):
        raise BadValue("Expected a version of the stream: a whole number from 0", "$.expectedversion")
    return int(said)


def _check_content(catalog: Catalog, category: Category, fact: type[Event], said: Attributes) -> None:
    """Raise BadValue unless the data is JSON, and of a schema of the fact if the event names one."""
    if said.datacontenttype is not None and not is_json(said.datacontenttype):
        raise BadValue("Expected `application/json` in UTF-8", "$.datacontenttype")
    if said.dataschema is None:
        return
    found = _SCHEMA.fullmatch(said.dataschema)
    writer = catalog.by_id.get(int(found.group(1))) if found else None
    if writer is None or (writer.kind, writer.category, writer.name) != (Kind.EVENT, category.name, fact.__name__):
        ours = f"/registry/schemas/ids/{catalog.current(fact).id}"
        raise BadValue(f"Expected a released schema of {fact.__name__}, such as {ours}", "$.dataschema")


_DECODER = msgspec.json.Decoder(_Structured)
