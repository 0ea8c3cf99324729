"""Parse: headers and body of a POST to a command. Touches nothing outside the request."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from uuid import UUID

from refold.api.errors import (
    CategoryUnknown,
    CommandUnknown,
    DomainUnknown,
    Fault,
    HeaderInvalid,
    KeyInvalid,
    KeyMissing,
    MalformedJson,
    MediaTypeUnsupported,
    StreamIdInvalid,
)
from refold.api.http.doors.principal import actor_of, is_hidden, shown_domains
from refold.schemas.contracts import Category, Command, is_stream_id
from refold.schemas.errors import BadValue, Malformed
from refold.schemas.exact_text import instant_of
from refold.schemas.identity import body_hash, command_uuid, outcome_key
from refold.schemas.validate import from_json
from refold.streams.domain import Domains

MAX_KEY_BYTES = 200
MAX_WAIT_S = 30
VERSION_TAG = re.compile(r'"(0|[1-9][0-9]{0,17})"')
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*([^,;\s]*)", re.IGNORECASE)
_PRINTABLE = re.compile(r"[\x20-\x7e]+")


@dataclass(frozen=True)
class Intent:
    """A command as its sender means it: its stream, its id, its conditions."""

    category: str
    stream: str
    command: Command
    command_id: UUID
    body_hash: bytes
    occurred_at: datetime
    expected_version: int | None = None
    actor: str | None = None
    correlation_id: str | None = None

    @cached_property
    def outcome_key(self) -> bytes:
        """The key of its row of outcomes."""
        return outcome_key(self.category, self.stream, self.command_id.bytes)


def find_category(domains: Domains, domain: str, short: str) -> Category:
    """The category of a path. Raises DomainUnknown or CategoryUnknown."""
    found = domains.categories.get(f"{domain}.{short}")
    if found is None or is_hidden(domain):
        known = sorted(c.short for c in domains.categories.values() if c.domain == domain)
        if not known or is_hidden(domain):
            raise DomainUnknown(f"no domain {domain[:100]!r}; there are: {', '.join(shown_domains(domains.names))}")
        raise CategoryUnknown(f"no category {short[:100]!r} in {domain}; there are: {', '.join(known)}")
    return found


def find_command(category: Category, name: str) -> type[Command]:
    """The command of a path. Raises CommandUnknown."""
    for command in category.own_commands:
        if command.__name__ == name:
            return command
    known = [command.__name__ for command in category.own_commands]
    there = f"there are: {', '.join(known)}" if known else "there are none"
    if category.facts:
        there += f"; its facts are published at /v1/events/{category.domain}/{category.short}"
    raise CommandUnknown(f"no command {name[:100]!r} in {category.name}; {there}")


def checked_stream(stream: str) -> str:
    """The stream id of a path. Raises StreamIdInvalid."""
    if not is_stream_id(stream):
        raise StreamIdInvalid("a stream id is 1-200 bytes of letters, digits and . _ ~ : -")
    return stream


def headers_by_name(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name; the first of several with one name. The framework's own headers take as long to make as a command to parse."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(list(headers))}


def read_intent(category: Category, kind: type[Command], headers: Mapping[str, str], body: bytes) -> Intent:
    """The command and conditions of a request. Raises ApiError or BadValue; header names are in lower case."""
    command_id = read_command_id(headers)
    expected = expected_version(headers)
    occurred_at = _occurred_at(headers)
    actor = actor_of(category.name, _short_text(headers, "refold-actor"))
    correlation = _short_text(headers, "refold-correlation-id")
    _check_media_type(headers)
    command = read_command(kind, body)
    stream = stream_of(category, command)
    return Intent(
        category.name, stream, command, command_id, body_hash(command), occurred_at, expected, actor, correlation
    )


def stream_of(category: Category, command: Command) -> str:
    """The stream of a command. Raises BadValue."""
    stream = category.stream_of(command)
    if not is_stream_id(stream):
        message = "Expected a stream id: 1-200 bytes of letters, digits and . _ ~ : -"
        raise BadValue(message, f"$.{command.stream_field}")
    return stream


def read_command(kind: type[Command], body: bytes) -> Command:
    """The command of a JSON body. Raises MalformedJson or BadValue."""
    try:
        return from_json(body, kind)
    except Malformed as problem:
        raise malformed(problem) from problem


def malformed(problem: Malformed) -> MalformedJson:
    """The error for a body that is not valid JSON."""
    return MalformedJson(problem.message, Fault(problem.place, problem.code, problem.reason))


def read_command_id(headers: Mapping[str, str]) -> UUID:
    """The command id of the Idempotency-Key; quotes around the key, as in the IETF draft, mean nothing."""
    key = headers.get("idempotency-key")
    if key is None:
        raise KeyMissing("a command needs an Idempotency-Key")
    return command_uuid_of(key)


def command_uuid_of(key: str) -> UUID:
    """The command id of a key in a header or a path. Raises KeyInvalid."""
    key = key[1:-1] if len(key) > 2 and key[0] == key[-1] == '"' else key
    if not key.strip() or len(key) > MAX_KEY_BYTES or not _PRINTABLE.fullmatch(key):
        raise KeyInvalid(f"an Idempotency-Key is 1-{MAX_KEY_BYTES} printable ASCII characters, this one has {len(key)}")
    return command_uuid(key)


def read_wait(headers: Mapping[str, str], default: float) -> float:
    """Most seconds that the client wants to wait: `Prefer: wait=N`."""
    found = _WAIT.search(headers.get("prefer", ""))
    if found is None:
        return default
    text = found.group(1).strip('"')
    if not re.fullmatch(r"[0-9]{1,2}", text) or int(text) > MAX_WAIT_S:
        raise _bad_header("Prefer", f"wait is a whole number of seconds from 0 to {MAX_WAIT_S}")
    return float(text)


def expected_version(headers: Mapping[str, str]) -> int | None:
    """The version that the stream must have: `If-Match`, `If-None-Match: *`. Raises HeaderInvalid."""
    must_match, must_be_new = headers.get("if-match"), headers.get("if-none-match")
    if must_match is not None and must_be_new is not None:
        raise _bad_header("If-Match", "If-Match and If-None-Match exclude each other")
    if must_be_new is not None:
        if must_be_new.strip() != "*":
            raise _bad_header("If-None-Match", "the only form is `If-None-Match: *`: the stream must be new")
        return 0
    if must_match is None:
        return None
    found = VERSION_TAG.fullmatch(must_match.strip())
    if found is None:
        raise _bad_header("If-Match", 'the form is `If-Match: "7"`: one version of the stream, in quotes')
    return int(found.group(1))


def _occurred_at(headers: Mapping[str, str]) -> datetime:
    text = headers.get("refold-occurred-at")
    if text is None:
        return datetime.now(UTC)
    try:
        return instant_of(text)
    except ValueError:
        message = "an RFC 3339 time with its offset and at most 6 digits of a second, such as 2026-01-31T12:00:00.5Z"
        raise _bad_header("Refold-Occurred-At", message) from None


def _short_text(headers: Mapping[str, str], name: str) -> str | None:
    text = headers.get(name)
    if text is not None and not (len(text) <= MAX_KEY_BYTES and _PRINTABLE.fullmatch(text)):
        raise _bad_header(name.title(), f"1-{MAX_KEY_BYTES} printable ASCII characters")
    return text


def _check_media_type(headers: Mapping[str, str]) -> None:
    kind, _, parameters = headers.get("content-type", "").partition(";")
    charset = parameters.replace(" ", "").lower()
    if kind.strip().lower() != "application/json" or charset not in {"", "charset=utf-8", 'charset="utf-8"'}:
        raise MediaTypeUnsupported("a command is `application/json` in UTF-8")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise MediaTypeUnsupported("a command is sent without Content-Encoding")


def _bad_header(name: str, message: str) -> HeaderInvalid:
    return HeaderInvalid(f"{name}: {message}", Fault(name, "header-invalid", message))
