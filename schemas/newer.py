"""Checks schemas of newer code that older code meets in the log: are they ours, and can it read their records?

FULL_TRANSITIVE promises that, but it is checked again. A record is read as this code's type only if every field keeps
its meaning. Otherwise its type counts as unknown to this code and the record waits; it is never guessed.
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
    """Whether the schema is a command's or event's under its own id. Anyone may write into a topic, so check."""
    try:
        named = all(isinstance(schema[part], str) for part in ("name", "namespace"))
        envelope = schema["fields"][0]
        ours = envelope["name"] == "meta" and without_docs(envelope["type"]) in _ENVELOPES
        return named and ours and schema["type"] == "record" and schema_id(schema) == number
    except _UNSOUND:
        return False


def why_unresolved(schema: Schema, today: Schema) -> str:
    """Why a record of the schema cannot be read as today's; empty if it can, by defaults and without loss."""
    try:
        wrong = next(islice(chain(_unsound(schema), by_field(today, schema)), 1), None)
    except _UNSOUND as problem:
        return f"no schema that this code can read: {problem!r}"
    return f"{wrong.path}: {wrong.message}" if wrong else ""


def _unsound(schema: Schema) -> Iterator[Fault]:
    """The parts of a schema that this code's decoders cannot read; docs do not matter."""
    yield from (fault for fault in faults(schema) if fault.rule != "no-doc")
    names = [field["name"] for field in schema["fields"][1:]]
    for name in names:
        if not is_field_name(name) or names.count(name) > 1:
            yield Fault("type", f"$.{name}", "no name of a field")
