"""The Postgres types that a declared view's columns may have, because the API can serve, filter, order and page them.

Each has a total order, and a text that Postgres prints and reads back as the same value. The view's SQL must cast any
other type (json, money, xml, ranges, types of an extension, types that a user made) to one of these.
"""

import re
from dataclasses import dataclass
from functools import cache

from refold.projections.errors import BadDeclaration

_SPELLINGS = {
    "text": ("varchar", "character varying"),
    "bpchar": ("char", "character"),
    "boolean": ("bool",),
    "smallint": ("int2",),
    "integer": ("int", "int4"),
    "bigint": ("int8",),
    "numeric": ("decimal", "dec"),
    "real": ("float4",),
    "double precision": ("float8", "float"),
    "date": (),
    "time": ("time without time zone",),
    "timetz": ("time with time zone",),
    "timestamp": ("timestamp without time zone",),
    "timestamptz": ("timestamp with time zone",),
    "interval": (),
    "uuid": (),
    "bytea": (),
    "jsonb": (),
}
_NAMES = {spelling: name for name, others in _SPELLINGS.items() for spelling in (name, *others)}
_ARRAY = re.compile(r"(?:\s*\[[0-9]*\])+$|\s+array(?:\s*\[[0-9]*\])?$")
_LENGTH = re.compile(r"\s*\(\s*-?[0-9]+\s*(?:,\s*-?[0-9]+\s*)?\)")
_FIELDS = re.compile(r"interval (?:year|month|day|hour|minute|second)(?: to (?:month|hour|minute|second))?")


@dataclass(frozen=True)
class ServedType:
    """A type under our one name for it, without length. `sql` is the type to cast to; the cast rounds nothing."""

    name: str
    array: bool = False

    @property
    def sql(self) -> str:
        return f"{self.name}[]" if self.array else self.name


@cache
def served_type(declared: str) -> ServedType:
    """The type that a spelling declares, such as `numeric(38,2)` or `timestamp with time zone`.

    Raises BadDeclaration.
    """
    plain = " ".join(declared.lower().split())
    element = _ARRAY.sub("", plain)
    name = _NAMES.get(_spelled(element))
    array = element != plain
    if name is None or (array and name in {"jsonb", "bytea", "bpchar"}):
        raise BadDeclaration(
            f"a column cannot be {declared!r}: cast it in the view's SQL to one of {', '.join(_SPELLINGS)}, or an array"
        )
    return ServedType(name, array)


def _spelled(element: str) -> str:
    """The type's name without lengths and without an interval's fields. `float(24)` and less are `real`."""
    bits = re.fullmatch(r"float ?\( ?([0-9]{1,2}) ?\)", element)
    if bits is not None:
        return "real" if int(bits.group(1)) <= 24 else "double precision"
    bare = _LENGTH.sub("", element)
    return "interval" if _FIELDS.fullmatch(bare) else bare
