"""Parameters that a route does not know are refused: an answer that ignores one answers another question."""

from collections.abc import Collection
from urllib.parse import unquote_to_bytes

from refold.api.errors import Fault, FilterInvalid, UnknownParameter


def refuse_unknown(raw: bytes, known: Collection[str], unnamed: Collection[str] = (), hint: str = "") -> None:
    """Raises UnknownParameter for a parameter that is not `known`, FilterInvalid for one that is there twice.

    `unnamed`: further ways to write the known ones, which the error does not name.
    """
    seen = set[str]()
    for part in raw.split(b"&") if raw else ():
        name = unquote_to_bytes(part.partition(b"=")[0].replace(b"+", b" ")).decode(errors="replace")
        if name not in known and name not in unnamed:
            raise unknown_parameter(name, known, hint)
        if name in seen:
            raise bad_filter(name, f"{name} is there twice")
        seen.add(name)


def unknown_parameter(name: str, known: Collection[str], hint: str = "") -> UnknownParameter:
    """The error for a parameter that this route does not know."""
    there = f"there are: {', '.join(known)}" if known else "there are none here"
    message = f"there is no parameter {shown(name)}; {there}{hint}"
    return UnknownParameter(message, Fault(name[:100], "parameter-unknown", message))


def shown(text: str) -> str:
    """A client's text in a message: short, and in printable ASCII."""
    return ascii(text[:60])


def bad_filter(name: str, message: str) -> FilterInvalid:
    """The error for a parameter whose value is invalid."""
    return FilterInvalid(message, Fault(name[:100], "filter-invalid", message))
