"""Checks FULL_TRANSITIVE: every version of a command or event can read every other version's records, permanently.

The Avro library's rules hold, and three more of ours: types that only look the same on the wire (a decimal's scale, a
text for bytes), enums whose default would hide a symbol, and defaults that would change the meaning of old records.
"""

import json
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any

import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import AvroException

from refold.schemas.avro import Schema, schema_id, schema_of
from refold.schemas.contracts import Category
from refold.schemas.errors import BadUpcaster, ContractError
from refold.schemas.freeze import Released, released
from refold.schemas.meta import EVENT_META
from refold.schemas.resolution import by_field, fields_of, retyped
from refold.schemas.soundness import Fault, faults
from refold.schemas.upcast import upcasts_of

CODE = "code"
NOT_FROZEN = "not-frozen"
NO_UPCASTER = "no-upcaster"
NO_CATEGORY = "no-category"
RETIRED_CHANGED = "retired-changed"
_ABSENT = object()


@dataclass(frozen=True)
class Violation:
    """A broken rule, the schema and the version (a file's, or `code`) that breaks it, and the file and path."""

    rule: str
    schema: str
    version: str
    file: str
    path: str
    message: str

    def __str__(self) -> str:
        against = f" (against {self.file})" if self.file else ""
        return f"{self.schema} at {self.path}{against}: {self.message}"


def violations(categories: Iterable[Category], folder: Traversable) -> list[Violation]:
    """Every violation in the code and frozen files of one domain. Raises FrozenUnreadable."""
    by_name: dict[str, list[Released]] = {}
    for file in released(folder):
        by_name.setdefault(file.full_name, []).append(file)
    categories = list(categories)
    lost = list(_without_category({category.name for category in categories}, by_name))
    found = [v for category in categories for v in (*_code(category, by_name), *_retired(category, by_name))]
    return [*found, *lost, *(v for versions in by_name.values() for v in of_versions(versions))]


def of_versions(versions: Sequence[Released]) -> list[Violation]:
    """The violations of one schema's versions, each alone and against all earlier ones."""
    found: list[Violation] = []
    sound: list[Released] = []
    for version in versions:
        own = [*faults(version.schema), *_parsed(version.schema)]
        found += [_violation(version, version.file, fault) for fault in own]
        if own:
            continue
        for earlier in sound:
            found += [_violation(version, earlier.file, fault) for fault in between(earlier.schema, version.schema)]
        for earlier, fault in _moved_defaults(sound, version.schema):
            found.append(_violation(version, earlier.file, fault))
        sound.append(version)
    return found


def between(old: Schema, new: Schema) -> list[Fault]:
    """Why one of two sound schemas cannot read the other's records; empty if both can."""
    found = list(by_field(old, new))
    return found or list(_by_avro(old, new))


def _code(category: Category, by_name: dict[str, list[Released]]) -> Iterator[Violation]:
    """Schemas that are not frozen. Each joins the versions of its name, to be compared with them."""
    for cls in category.classes:
        name = f"{category.name}.{cls.__name__}"
        try:
            schema = schema_of(cls, category.name)
        except ContractError as problem:
            field = re.match(rf"{cls.__name__}\.(\w+)", problem.message)
            yield Violation(problem.code, name, CODE, "", f"$.{field[1]}" if field else "$", problem.message)
            continue
        versions = by_name.setdefault(name, [])
        if schema_id(schema) not in {schema_id(version.schema) for version in versions}:
            versions.append(Released("", CODE, schema))
            yield Violation(NOT_FROZEN, name, CODE, "", "$", "no frozen file equals the code")


def _retired(category: Category, by_name: dict[str, list[Released]]) -> Iterator[Violation]:
    """Events in the log that no code can read: every released event must still exist in code, or be upcast."""
    try:
        upcasts = upcasts_of(category)
    except BadUpcaster as problem:
        yield Violation(problem.code, category.name, CODE, "", "$", problem.message)
        return
    read = {f"{category.name}.{cls.__name__}" for cls in (*category.events, *upcasts.retired)}
    for name, versions in by_name.items():
        if name not in read and versions[0].schema["namespace"] == category.name and _is_event(versions[0].schema):
            message = "was released, and code has neither the event nor an upcaster for it"
            yield Violation(NO_UPCASTER, name, versions[-1].version, versions[-1].file, "$", message)
    for cls in upcasts.retired:
        name = f"{category.name}.{cls.__name__}"
        if schema_id(schema_of(cls, category.name)) not in {schema_id(v.schema) for v in by_name.get(name, [])}:
            yield Violation(RETIRED_CHANGED, name, CODE, "", "$", "is retired, and no frozen file equals the code")


def _without_category(names: set[str], by_name: dict[str, list[Released]]) -> Iterator[Violation]:
    """Categories that were renamed. A new name would silently abandon the topic and all that was folded from it."""
    released_in: dict[str, list[Released]] = {}
    for versions in by_name.values():
        released_in.setdefault(versions[0].schema["namespace"], []).extend(versions)
    for category, versions in released_in.items():
        if category not in names:
            message = f"was released with {len(versions)} schemas, and code has no category of that name"
            yield Violation(NO_CATEGORY, category, versions[-1].version, versions[-1].file, "$", message)


def _is_event(schema: Schema) -> bool:
    envelope = schema["fields"][0]["type"] if schema["fields"] else None
    return isinstance(envelope, dict) and envelope.get("name") == EVENT_META["name"]


def _violation(version: Released, file: str, fault: Fault) -> Violation:
    return Violation(fault.rule, version.full_name, version.version, file, fault.path, fault.message)


def _moved_defaults(earlier: Sequence[Released], schema: Schema) -> Iterator[tuple[Released, Fault]]:
    """Defaults that changed: a record without the field would change its meaning, and a rebuild its rows."""
    for name, field in fields_of(schema).items():
        had = [(version, fields_of(version.schema).get(name)) for version in earlier]
        if all(before is not None for _, before in had):
            continue
        for version, before in had:
            if before is None or any(retyped(before["type"], field["type"], name)):
                continue
            if before.get("default", _ABSENT) != field.get("default", _ABSENT):
                message = (
                    f"the default {before.get('default')!r} became {field.get('default')!r}: older records would change"
                )
                yield version, Fault("default-changed", f"$.{name}", message)


def _by_avro(old: Schema, new: Schema) -> Iterator[Fault]:
    """The library's verdict in both directions, on everything that passed the rules above."""
    schemas = {"backward": (new, old), "forward": (old, new)}
    for direction, (reader, writer) in schemas.items():
        checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]  # avro has no types
        result = checker.get_compatibility(_parse(reader), _parse(writer))
        if result.compatibility is not SchemaCompatibilityType.compatible:
            said = "; ".join(sorted(result.messages))
            yield Fault("avro", ",".join(sorted(result.locations)), f"not {direction} compatible: {said}")


def _parsed(schema: Schema) -> Iterator[Fault]:
    try:
        _parse(schema)
    except AvroException as problem:
        yield Fault("avro", "$", f"is no Avro schema: {problem}")


def _parse(schema: Schema) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return avro.schema.parse(json.dumps(schema))
