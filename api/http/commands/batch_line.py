"""Parse one line of a batch: the same command as in a single POST, with the headers as fields."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from refold.api.errors import BodyTooLarge, KeyMissing
from refold.api.http.commands.request import (
    MAX_KEY_BYTES,
    Intent,
    command_uuid_of,
    find_category,
    find_command,
    malformed,
    stream_of,
)
from refold.api.http.doors.principal import actor_of
from refold.schemas import strict_json
from refold.schemas.contracts import Category, Command
from refold.schemas.errors import BadValue, Malformed
from refold.schemas.exact_text import instant_of
from refold.schemas.identity import body_hash
from refold.schemas.validate import bad_value, from_sound_json
from refold.streams.domain import Domains

MAX_LINE_BYTES = 1 << 20
_ShortText = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_KEY_BYTES, pattern=r"\A[\x20-\x7e]+\Z")]


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    command: str
    data: msgspec.Raw
    id: str | None = None
    expected_version: Annotated[int, msgspec.Meta(ge=0, lt=10**18)] | None = None
    occurred_at: str | None = None
    actor: _ShortText | None = None
    correlation_id: _ShortText | None = None


class LineReader:
    """Reads lines; remembers the command of each name."""

    def __init__(self, domains: Domains) -> None:
        self._domains = domains
        self._named = {
            f"{c.name}.{kind.__name__}": (c, kind) for c in domains.categories.values() for kind in c.own_commands
        }

    def read(self, text: bytes, default_id: str | None = None) -> Intent:
        """The command of a line. Raises ApiError or BadValue, with the path in the line."""
        if len(text) > MAX_LINE_BYTES:
            raise BodyTooLarge("the line is longer than 1 MiB")
        line = _decoded(text)
        category, kind = self._named.get(line.command) or self._missing(line.command)
        key = line.id if line.id is not None else default_id
        if key is None:
            raise KeyMissing("a command needs an `id`")
        command_id = command_uuid_of(key)
        try:
            command = from_sound_json(bytes(line.data), kind)
            stream = stream_of(category, command)
        except BadValue as problem:
            raise BadValue(problem.message, f"$.data{problem.field.removeprefix('$')}") from problem
        return Intent(
            category.name,
            stream,
            command,
            command_id,
            body_hash(command),
            _occurred_at(line.occurred_at),
            line.expected_version,
            actor_of(category.name, line.actor),
            line.correlation_id,
        )

    def _missing(self, command: str) -> tuple[Category, type[Command]]:
        domain, _, rest = command.partition(".")
        short, _, name = rest.partition(".")
        category = find_category(self._domains, domain, short)
        return category, find_command(category, name)


def _decoded(text: bytes) -> _Line:
    try:
        strict_json.check(text)
        return _DECODER.decode(text)
    except Malformed as problem:
        raise malformed(problem) from problem
    except msgspec.ValidationError as problem:
        raise bad_value(problem) from problem
    except msgspec.DecodeError as problem:
        raise malformed(Malformed(str(problem))) from problem


def _occurred_at(said: str | None) -> datetime:
    if said is None:
        return datetime.now(UTC)
    try:
        return instant_of(said)
    except ValueError as problem:
        raise BadValue(str(problem), "$.occurred_at") from None


_DECODER = msgspec.json.Decoder(_Line)
