"""Schemas of newer code, as older code meets them in the log: whether they are ours, and whether their records can be read.

What FULL_TRANSITIVE promises is checked all the same: a record is read as a type of this code only where no field means
something else. What breaks it is waited with, as a type that this code does not have; it is never guessed.
"""

from collections.abc import Iterator
from itertools import chain, islice

from refold.schemas.avro import Schema, is_field_name, schema_id, without_docs
from refold.schemas.meta import COMMAND_META, EVENT_META
from refold.schemas.resolution import by_field
from refold.schemas.soundness import Fault, faults

_ENVELOPES = (without_docs(EVENT_META), without_docs(COMMAND_META))
_UNSOUND = (KeyError, TypeError, AttributeError, ValueError, IndexError, RecursionError)


def explains(number: int, schema: Schema) -> bool:
    """Whether the log holds a command's or event's schema under its own id: anyone may write into a topic."""
    try:
        named = all(isinstance(schema[part], str) for part in ("name", "namespace"))
        envelope = schema["fields"][0]
        ours = envelope["name"] == "meta" and without_docs(envelope["type"]) in _ENVELOPES
        return named and ours and schema["type"] == "record" and schema_id(schema) == number
    except _UNSOUND:
        return False


def why_unresolved(schema: Schema, today: Schema) -> str:
    """Why a record of the schema cannot be read as today's; empty where it can: defaults for what it lacks, nothing else lost."""
    try:
        wrong = next(islice(chain(_unsound(schema), by_field(today, schema)), 1), None)
    except _UNSOUND as problem:
        return f"no schema that this code can read: {problem!r}"
    return f"{wrong.path}: {wrong.message}" if wrong else ""


def _unsound(schema: Schema) -> Iterator[Fault]:
    """What this code's decoders do not read; texts are not needed for that."""
    yield from (fault for fault in faults(schema) if fault.rule != "no-doc")
    names = [field["name"] for field in schema["fields"][1:]]
    for name in names:
        if not is_field_name(name) or names.count(name) > 1:
            yield Fault("type", f"$.{name}", "no name of a field")
