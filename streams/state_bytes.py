"""Encodes a state as the bytes that a table holds: JSON, with each time in UTC.

msgspec rounds the seconds of a UTC offset (most zones had them a hundred years ago, Monrovia until 1972), so reading
would return another moment.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec


def dumped(state: Any, *, holds_times: bool) -> bytes:
    """The state's bytes. `holds_times`: the result of `may_hold_times` for its class; False is faster."""
    if holds_times:
        state = _in_utc(msgspec.to_builtins(state, builtin_types=(datetime,)))
    return msgspec.json.encode(state)


def may_hold_times(described: object) -> bool:
    """Whether fields may hold times, by their types from `decider.described`. True for untyped fields."""
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
