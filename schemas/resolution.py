"""Finds why one schema's records cannot be read as another's, field by field: by their bytes and by their meaning.

`compatibility` applies it to released files in both directions; `newer` applies it to a schema that only the log has.
"""

from collections.abc import Iterator
from typing import Any

from refold.schemas.avro import Schema, resolved, without_docs
from refold.schemas.soundness import Fault


def by_field(old_schema: Schema, new_schema: Schema) -> Iterator[Fault]:
    """The fields that keep one of two sound schemas from reading the other's records."""
    old, new = fields_of(old_schema), fields_of(new_schema)
    for name in dict.fromkeys((*old, *new)):
        path = f"$.{name}"
        if name not in new:
            if "default" not in old[name]:
                yield Fault(
                    "no-default", path, "taken away, though it has no default: old code could not read new records"
                )
        elif name not in old:
            if "default" not in new[name]:
                yield Fault("no-default", path, "added without a default: old records do not have it")
        else:
            yield from retyped(old[name]["type"], new[name]["type"], path)


def retyped(old: Any, new: Any, path: str) -> Iterator[Fault]:
    """Why a value of one type is not valid in the other, or changes its meaning."""
    if path == "$.meta":
        if without_docs(old) != without_docs(new):
            yield Fault("envelope", path, "a command cannot become an event, nor an event a command")
    elif isinstance(old, list) and isinstance(new, list):
        yield from retyped(old[1], new[1], path)
    elif _physical(old) != _physical(new):
        yield Fault("type", path, f"{_words(old)} became {_words(new)}")
    elif _physical(old) == "array":
        yield from retyped(old["items"], new["items"], f"{path}[]")
    elif _physical(old) == "enum":
        yield from _enum_changed(old, new, path)
    elif _words(old) != _words(new):
        yield Fault("logical-type", path, f"{_words(old)} became {_words(new)}, with the same bytes")


def _enum_changed(old: Schema, new: Schema, path: str) -> Iterator[Fault]:
    if old["name"] != new["name"]:
        yield Fault("type", path, f"the enum {old['name']} became {new['name']}")
    lost, gained = (
        sorted({*a} - {*b}) for a, b in ((old["symbols"], new["symbols"]), (new["symbols"], old["symbols"]))
    )
    if lost:
        yield Fault("enum-symbols", path, f"{old['name']} lost {', '.join(lost)}, which old records may hold")
    if gained:
        yield Fault("enum-symbols", path, f"{old['name']} gained {', '.join(gained)}, which old code cannot read")


def fields_of(schema: Schema) -> dict[str, Schema]:
    """Fields by name, with types written out. The envelope stays as it is."""
    meta, *body = schema["fields"]
    return {"meta": meta, **{field["name"]: field for field in resolved(body)}}


def _physical(kind: Any) -> str:
    if isinstance(kind, list):
        return "optional"
    return kind if isinstance(kind, str) else str(kind["type"])


def _words(kind: Any) -> str:
    match kind:
        case str():
            return kind
        case list():
            return f"optional {_words(kind[1])}"
        case {"type": "array", "items": items}:
            return f"list of {_words(items)}"
        case {"logicalType": "decimal"}:
            return f"decimal({kind['precision']},{kind.get('scale', 0)})"
    return str(kind.get("logicalType") or kind.get("name") or kind["type"])
