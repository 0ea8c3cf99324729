"""The command `refold schemas list`: shows every released schema, its writer, and whether the log has it."""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from confluent_kafka import KafkaException

from refold.api.cli import exits
from refold.api.cli.output import say
from refold.api.cli.schemas import contracts, show
from refold.api.embedded.servers import connected
from refold.schemas.avro import Schema, schema_id, schema_of
from refold.schemas.contracts import Category
from refold.schemas.freeze import platform_schemas, released
from refold.schemas.upcast import upcasts_of
from refold.streams.errors import KafkaUnavailable
from refold.streams.kafka import clients
from refold.streams.log.topics import logged_schemas, schemas_topic
from refold.streams.settings import Settings

_ASK_S = 3.0
_KINDS = {"Meta": "event", "CommandMeta": "command"}
_PLATFORM = {"Claim": "claim", "Rejected": "rejection", "Voiding": "voiding"}


def list_(*, json: bool = False) -> int:
    """Show every released schema, whether today's code writes it or upcasts it, and whether the log has it.

    Args:
        json: Print the schemas as JSON.
    """
    logged = _logged(connected(Settings.load()))
    rows = {row["id"]: row for row in _frozen()}
    for number, schema in (logged or {}).items():
        rows.setdefault(number, _row(schema, None, written=False))
    for number, row in rows.items():
        row["in_log"] = None if logged is None else number in logged
    show([row if json else _readable(row) for row in rows.values()], json=json)
    if logged is None:
        say("Kafka did not answer, so it is unknown whether the log has them.")
    return exits.DONE


def _frozen() -> Iterator[dict[str, Any]]:
    for file in released(files("refold.schemas") / "frozen"):
        yield _row(file.schema, file.version, written=file.schema in platform_schemas())
    for module, folder in contracts():
        ids = {schema_id(schema_of(cls, c.name)) for c in module.CATEGORIES for cls in c.classes}
        todays = {name: types for c in module.CATEGORIES for name, types in _upcast(c)}
        for file in released(folder):
            row = _row(file.schema, file.version, written=schema_id(file.schema) in ids)
            yield row | {"read_as": todays.get(file.full_name, [file.schema["name"]])}


def _upcast(category: Category) -> Iterator[tuple[str, list[str]]]:
    """For each retired event its full name, and today's events that it may be read as."""
    upcasts = upcasts_of(category)
    for old in upcasts.retired:
        yield f"{category.name}.{old.__name__}", sorted(cls.__name__ for cls in upcasts.types(old))


def _row(schema: Schema, version: str | None, *, written: bool) -> dict[str, Any]:
    envelope = schema["fields"][0]["type"]
    kind = _KINDS.get(envelope["name"] if isinstance(envelope, dict) else "", "")
    return {
        "id": schema_id(schema),
        "kind": _PLATFORM.get(schema["name"], kind) if schema["namespace"] == "refold" else kind,
        "category": schema["namespace"],
        "name": schema["name"],
        "version": version,
        "fields": [field["name"] for field in schema["fields"] if field["name"] != "meta"],
        "written": written,
        "read_as": [schema["name"]],
    }


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    marks = {True: "yes", False: "no", None: "?"}
    return {
        "id": row["id"],
        "kind": row["kind"],
        "schema": f"{row['category']}.{row['name']}.{row['version'] or '?'}",
        "fields": len(row["fields"]),
        "today": marks[row["written"]] if row["read_as"] == [row["name"]] else "as " + ", ".join(row["read_as"]),
        "log": marks[row["in_log"]],
    }


def _logged(settings: Settings) -> dict[int, Schema] | None:
    """The facts that the log itself holds; None if no Kafka answers."""
    if settings.kafka is None:
        return None
    try:
        there = clients.admin(settings.kafka_servers()).list_topics(timeout=_ASK_S).topics
        return logged_schemas(settings) if schemas_topic(settings.topic_prefix) in there else {}
    except (KafkaException, KafkaUnavailable):
        return None
