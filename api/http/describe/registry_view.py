"""The schemas of the log as subjects and versions of Confluent's Schema Registry. Pure.

A topic of ours holds several types, so a subject is `<topic>-<full name of the record>` (TopicRecordNameStrategy); the versions
of a subject are the schemas of that name in the order in which the log got them.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from refold.schemas.avro import Schema, schema_id, without_docs
from refold.streams.log.topics import commands_topic, events_topic

_PLATFORM = "refold"


@dataclass(frozen=True)
class Registered:
    """A version of a subject."""

    subject: str
    version: int
    id: int
    schema: str

    def body(self) -> dict[str, Any]:
        """The version as the registry's clients read it; a schema without a type is Avro."""
        return {"subject": self.subject, "version": self.version, "id": self.id, "schema": self.schema}


@dataclass(frozen=True)
class RegistryView:
    """Schemas by id in the order of the log, seen as a registry."""

    schemas: Mapping[int, Schema]
    prefix: str

    @cached_property
    def subjects(self) -> Mapping[str, list[Registered]]:
        """The versions of each subject, by its name."""
        found: dict[str, list[Registered]] = {}
        for number, schema in self.schemas.items():
            for subject in self._subjects_of(schema):
                versions = found.setdefault(subject, [])
                versions.append(Registered(subject, len(versions) + 1, number, json.dumps(schema)))
        return dict(sorted(found.items()))

    def uses(self, number: int) -> list[Registered]:
        """Every version, of any subject, that equals this schema."""
        return [found for versions in self.subjects.values() for found in versions if found.id == number]

    def same(self, subject: str, schema: Schema) -> Registered | None:
        """The version of a subject that equals a schema, texts aside."""
        number = schema_id(schema)
        alike = without_docs(self.schemas.get(number)) == without_docs(schema)
        return next((found for found in self.subjects.get(subject, []) if alike and found.id == number), None)

    def _subjects_of(self, schema: Schema) -> Iterable[str]:
        space, name = schema["namespace"], schema["name"]
        if space == _PLATFORM:  # claims, voidings and rejections are in the events of every category
            return [f"{events_topic(self.prefix, category)}-{space}.{name}" for category in self._categories]
        topic = events_topic if _is_event(schema) else commands_topic
        return [f"{topic(self.prefix, space)}-{space}.{name}"]

    @cached_property
    def _categories(self) -> list[str]:
        return sorted({schema["namespace"] for schema in self.schemas.values()} - {_PLATFORM})


def _is_event(schema: Schema) -> bool:
    return bool(schema["fields"][0]["type"]["name"] == "Meta")
