"""A state as the bytes that a table holds: JSON, with each time in UTC.

msgspec rounds the seconds of an offset (those of most zones a hundred years ago, of Monrovia until 1972), and what is read again would be
another moment.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec


def dumped(state: Any, *, holds_times: bool) -> bytes:
    """The state's bytes. `holds_times`: what `may_hold_times` says of its class; the others take the short way."""
    if holds_times:
        state = _in_utc(msgspec.to_builtins(state, builtin_types=(datetime,)))
    return msgspec.json.encode(state)


def may_hold_times(described: object) -> bool:
    """Whether a state's fields, as `decider.described` names their types, may hold times; of an untyped one nobody knows."""
    said = repr(described)
    return "datetime" in said or "Any" in said


def _in_utc(held: Any) -> Any:
    match held:
        case datetime():
            return held if held.tzinfo is None or held.tzinfo is UTC else held.astimezone(UTC)
        case dict():
            return {_in_utc(key): _in_utc(value) for key, value in held.items()}
        case list() | tuple():
            return [_in_utc(item) for item in held]
    return held
