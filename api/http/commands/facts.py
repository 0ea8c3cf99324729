"""Parse: CloudEvents of a request as commands that publish facts, in binary, structured and batch mode. Touches nothing outside."""

from collections.abc import AsyncIterator, Iterable, Mapping
from urllib.parse import unquote_to_bytes

import msgspec

from refold.api.errors import Fault, HeaderInvalid, MediaTypeUnsupported
from refold.api.fact_errors import FactsAbsent
from refold.api.http.commands.batch_line import MAX_LINE_BYTES
from refold.api.http.commands.batch_text import Text, chunks_of
from refold.api.http.commands.request import Intent, expected_version, find_category, malformed
from refold.api.http.doors.principal import actor_of
from refold.schemas import strict_json
from refold.schemas.contracts import Category
from refold.schemas.errors import BadValue, Malformed, RecordTooLarge
from refold.schemas.identity import body_hash
from refold.streams.domain import Domains
from refold.streams.sending.cloud_event import (
    Announced,
    Attributes,
    announced,
    attributes,
    command_of,
    is_json,
    structured,
)

STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
MAX_BATCH_BYTES = 8 << 20
_PREFIX = "ce-"
_SAID_BY_THE_EVENT = {"refold-occurred-at": "time", "refold-actor": "source", "refold-correlation-id": "correlationid"}
"""Headers of commands, and the attributes that say the same of an event."""
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])


def find_facts(domains: Domains, domain: str, short: str) -> Category:
    """The category of a path, which takes events. Raises DomainUnknown, CategoryUnknown, FactsAbsent."""
    found = find_category(domains, domain, short)
    if not found.facts:
        raise FactsAbsent(f"{found.name} declares no facts: its events come of commands alone")
    return found


def media_type(headers: Mapping[str, str]) -> str:
    """STRUCTURED, BATCH, or empty for an event in binary mode. Raises MediaTypeUnsupported, HeaderInvalid."""
    for name, attribute in _SAID_BY_THE_EVENT.items():
        if name in headers:
            message = f"an event says this itself, by its attribute `{attribute}`"
            raise HeaderInvalid(f"{name.title()}: {message}", Fault(name.title(), "header-invalid", message))
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise MediaTypeUnsupported("an event is sent without Content-Encoding")
    sent = headers.get("content-type", "")
    kind, _, parameters = sent.partition(";")
    kind = kind.strip().lower()
    if kind in (STRUCTURED, BATCH):
        if parameters.replace(" ", "").replace('"', "").lower() not in ("", "charset=utf-8"):
            raise MediaTypeUnsupported("CloudEvents as JSON are in UTF-8")
        return kind
    if kind.startswith("application/cloudevents") or not is_json(sent):
        remedy = f"Send `{STRUCTURED}`, `{BATCH}`, or an event's data as `application/json` with its attributes as `ce-` headers."
        raise MediaTypeUnsupported(f"an event is JSON in UTF-8, not {sent[:100]!r}", remedy=remedy)
    return ""


class FactReader:
    """Reads the events that a category takes."""

    def __init__(self, domains: Domains, category: Category) -> None:
        self._catalog, self._category = domains.catalog, category

    def binary(self, headers: Mapping[str, str], body: bytes) -> Intent:
        """An event whose attributes are headers and whose data is the body. Raises HeaderInvalid, MalformedJson, BadValue."""
        try:
            found = self._announced(attributes(_attributes(headers)))
        except BadValue as problem:
            raise _in_header(problem) from problem
        try:
            strict_json.check(body)
        except Malformed as problem:
            raise malformed(problem) from problem
        return self._intent(found, body, "$", headers)

    def structured(self, headers: Mapping[str, str], body: bytes) -> Intent:
        """An event as one JSON object. Raises HeaderInvalid, MalformedJson, BadValue."""
        return self._structured(body, headers)

    def element(self, _: int, text: bytes) -> Intent:
        """An event of a batch. Raises MalformedJson, BadValue."""
        if len(text) > MAX_LINE_BYTES:
            raise RecordTooLarge("the event is longer than 1 MiB")
        return self._structured(text, {})

    def _structured(self, text: bytes, headers: Mapping[str, str]) -> Intent:
        try:
            said, data, at = structured(text)
        except Malformed as problem:
            raise malformed(problem) from problem
        return self._intent(self._announced(said), data, at, headers)

    def _announced(self, said: Attributes) -> Announced:
        return announced(self._catalog, self._category, said)

    def _intent(self, found: Announced, data: bytes, at: str, headers: Mapping[str, str]) -> Intent:
        command = command_of(found, data, at)
        expected = expected_version(headers)
        if expected is not None and found.expected_version is not None:
            message = "the attribute `expectedversion` says it already"
            raise HeaderInvalid(f"If-Match: {message}", Fault("If-Match", "header-invalid", message))
        return Intent(
            self._category.name,
            found.stream,
            command,
            found.command_id,
            body_hash(command),
            found.occurred_at,
            found.expected_version if expected is None else expected,
            actor_of(self._category.name, found.source),
            found.correlation_id,
        )


def elements(body: bytes) -> list[bytes]:
    """The events of a batch, each as its own JSON. Raises MalformedJson if the body is no JSON array."""
    try:
        body.decode()
        return [bytes(raw) for raw in _ELEMENTS.decode(body)]
    except UnicodeDecodeError as problem:
        raise malformed(Malformed(f"not UTF-8: {problem.reason}", f"byte {problem.start}")) from None
    except msgspec.DecodeError as problem:
        raise malformed(Malformed(str(problem))) from problem


async def numbered(events: Iterable[bytes]) -> AsyncIterator[list[Text]]:
    """The events of a batch with their numbers, from 1, in chunks."""
    for chunk in chunks_of(enumerate(events, 1)):
        yield chunk


def _attributes(headers: Mapping[str, str]) -> dict[str, str]:
    named = {name.removeprefix(_PREFIX): text for name, text in headers.items() if name.startswith(_PREFIX)}
    return {name: _decoded(name, text) for name, text in named.items()}


def _decoded(name: str, text: str) -> str:
    """An attribute of its header: in quotes or not, and percent-encoded where it is not ASCII."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    try:
        return unquote_to_bytes(text.encode("latin-1")).decode()
    except UnicodeDecodeError:
        raise BadValue("Expected percent-encoded UTF-8", f"$.{name}") from None


def _in_header(problem: BadValue) -> HeaderInvalid:
    """The fault of an attribute as that of its header."""
    missing = problem.message.partition("`")[2].partition("`")[0]
    name = missing if problem.field == "$" else problem.field.removeprefix("$.")
    header = "Content-Type" if name == "datacontenttype" else f"{_PREFIX}{name}"
    return HeaderInvalid(f"{header}: {problem.message}", Fault(header, "header-invalid", problem.message))
