"""The `Prefer` header (RFC 7240) as reads understand it: count, handling and timezone, beside our own `wait`."""

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from refold.api.errors import Fault
from refold.api.http.wire.parameters import shown
from refold.api.reading_errors import PreferenceInvalid

Count = Literal["exact", "planned", "estimated"]
_KNOWN: Mapping[str, tuple[str, ...]] = {
    "count": ("exact", "planned", "estimated"),
    "handling": ("strict", "lenient"),
    "return": ("representation", "minimal", "headers-only"),
    "resolution": ("merge-duplicates", "ignore-duplicates"),
    "missing": ("default", "null"),
    "tx": ("commit", "rollback"),
}
"""Preferences with their values. Those of writes say nothing to a read, and are not refused."""
_FREE = {"wait": r"[0-9]{1,2}", "max-affected": r"[0-9]{1,10}", "timezone": r"[A-Za-z0-9_+/:-]{1,60}"}


class Preferences(msgspec.Struct, frozen=True):
    """What a client prefers; of a preference that is there twice, the first."""

    count: Count | None = None
    handling: Literal["strict", "lenient"] | None = None
    timezone: str | None = None

    def applied(self) -> str:
        """`Preference-Applied`, in PostgREST's order; empty where none was."""
        parts = (("count", self.count), ("handling", self.handling), ("timezone", self.timezone))
        return ", ".join(f"{name}={value}" for name, value in parts if value is not None)


NONE = Preferences()


def read_preferences(header: str | None) -> Preferences:
    """The preferences of a header. Raises PreferenceInvalid for one that there is not under `handling=strict`, and for a malformed zone."""
    if not header:
        return NONE
    found: dict[str, str] = {}
    unknown: list[str] = []
    for text in filter(None, (part.strip() for part in header.split(","))):
        name, _, value = (part.strip().strip('"') for part in text.partition("="))
        name = name.lower()
        if value in _KNOWN.get(name, ()) or (name in _FREE and re.fullmatch(_FREE[name], value)):
            found.setdefault(name, value)
        else:
            unknown.append(text)
            if name == "timezone":
                raise zone_unknown(value)
    if unknown and found.get("handling") == "strict":
        raise _refused(f"handling=strict: there is no preference {', '.join(map(shown, unknown))}")
    return Preferences(found.get("count"), found.get("handling"), found.get("timezone"))  # type: ignore[arg-type]  # each is one of _KNOWN


def zone_unknown(name: str) -> PreferenceInvalid:
    """The error for a time zone that Postgres does not know; no handling makes it lenient, for times would be wrong."""
    return _refused(f"timezone: Postgres knows no time zone {shown(name)}")


def _refused(message: str) -> PreferenceInvalid:
    return PreferenceInvalid(f"Prefer: {message}", Fault("Prefer", PreferenceInvalid.code, message))
