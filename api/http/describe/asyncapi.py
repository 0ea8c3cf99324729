"""AsyncAPI 3.1 from contracts: each topic is a channel, each command and event a message with its Avro schema. Pure."""

from inspect import cleandoc
from typing import Any

import refold
from refold.schemas.catalog import PLATFORM, Catalog, Kind, Writer
from refold.schemas.contracts import Category, Command, Event
from refold.streams.domain import Domains
from refold.streams.log.topics import commands_topic, events_topic

Json = dict[str, Any]
VERSION = "3.1.0"
CONTENT_TYPE = "avro/binary"
SCHEMA_FORMAT = "application/vnd.apache.avro;version=1.9.0"
_BINDING = "0.5.0"
_ABOUT = (
    "Commands go into Refold by a category's topic of commands; events come out of its topic of events. Each value is Confluent's"
    " header (a zero byte, then the schema's id in 4 bytes) and Avro in binary form; `/registry` serves the schemas by id. The key is"
    " the stream's id. Only Refold's handlers write events: send commands over HTTP or by a producer of refold.streams."
)
_PLATFORM_TEXTS = {
    Kind.CLAIM: "A handler takes the partition over. No event of a domain: readers skip it.",
    Kind.VOIDING: "An operator takes a claim out of count. No event of a domain: readers skip it.",
    Kind.REJECTION: "A command was refused, with its code. No event of a domain: readers skip it.",
}


def document(domains: Domains, prefix: str) -> Json:
    """The whole document. `prefix`: of the topics' names."""
    channels: Json = {}
    operations: Json = {}
    messages: Json = {_name(writer): _platform_message(writer) for writer in PLATFORM}
    for category in domains.categories.values():
        kinds = (
            (f"{category.name}.commands", "receive", commands_topic(prefix, category.name), _commands(category)),
            (
                f"{category.name}.events",
                "send",
                events_topic(prefix, category.name),
                _events(category, domains.catalog),
            ),
        )
        for name, action, topic, classes in kinds:
            held = {_name(writer): _message(writer, cls) for cls, writer in _written(domains.catalog, classes)}
            messages |= held
            others = [] if action == "receive" else [_name(writer) for writer in PLATFORM]
            channels[name] = _channel(topic, [*held, *others])
            operations[name] = _operation(name, action, category)
    info = {"title": "Refold's log", "version": refold.__version__, "description": _ABOUT}
    return {
        "asyncapi": VERSION,
        "info": info,
        "defaultContentType": CONTENT_TYPE,
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


def _commands(category: Category) -> list[type[Command | Event]]:
    return list(category.commands)


def _events(category: Category, catalog: Catalog) -> list[type[Command | Event]]:
    """The events of today, then the retired ones that the log may still hold."""
    return [*category.events, *catalog.upcasts[category.name].retired]


def _written(catalog: Catalog, classes: list[type[Command | Event]]) -> list[tuple[type[Command | Event], Writer]]:
    return [(cls, catalog.latest(cls)) for cls in classes]


def _channel(topic: str, messages: list[str]) -> Json:
    return {
        "address": topic,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"kafka": {"topic": topic, "bindingVersion": _BINDING}},
    }


def _operation(name: str, action: str, category: Category) -> Json:
    what = "Decides commands of" if action == "receive" else "Records events of"
    return {
        "action": action,
        "summary": f"{what} {category.name}.",
        "channel": {"$ref": f"#/channels/{name}"},
        "tags": [{"name": category.name}],
    }


def _message(writer: Writer, cls: type[Command | Event]) -> Json:
    text = cleandoc(cls.__doc__ or "")
    summary, _, rest = text.partition("\n\n")
    found = _payload(writer) | {"name": writer.name, "title": writer.name, "summary": summary.replace("\n", " ")}
    return found | {"description": rest} if rest else found


def _platform_message(writer: Writer) -> Json:
    return _payload(writer) | {"name": _name(writer), "title": writer.name, "summary": _PLATFORM_TEXTS[writer.kind]}


def _payload(writer: Writer) -> Json:
    return {
        "contentType": CONTENT_TYPE,
        "payload": {"schemaFormat": SCHEMA_FORMAT, "schema": writer.schema},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": "The stream's id. Claims and voidings have no key."},
                "schemaIdLocation": "payload",
                "schemaIdPayloadEncoding": "confluent",
                "schemaLookupStrategy": "TopicRecordNameStrategy",
                "bindingVersion": _BINDING,
            }
        },
    }


def _name(writer: Writer) -> str:
    return f"{writer.schema['namespace']}.{writer.schema['name']}"
