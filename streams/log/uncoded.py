"""Finds categories that the log has but no code: their events count, and nobody reads them. A rename causes this."""

from confluent_kafka import KafkaException

from refold.schemas.plurals import counted
from refold.streams.domain import Domains
from refold.streams.errors import CategoryUncoded
from refold.streams.kafka import clients
from refold.streams.kafka.messages import watermarks
from refold.streams.log.topics import commands_topic, events_topic, logged_schemas, schemas_topic
from refold.streams.refusals import of_kafka
from refold.streams.settings import Settings

_ASK_S = 10.0
_PLATFORM = "refold"


def uncoded_categories(settings: Settings, domains: Domains) -> dict[str, int]:
    """Each category with schemas in the log but no configured domain, and its number of records.

    Raises KafkaUnavailable.
    """
    client = clients.admin(settings.kafka_servers())
    try:
        there = client.list_topics(timeout=_ASK_S).topics
    except KafkaException as problem:
        raise of_kafka(problem.args[0], "Kafka does not list its topics") from problem
    prefix = settings.topic_prefix
    if schemas_topic(prefix) not in there:
        return {}
    known = {str(schema["namespace"]) for schema in logged_schemas(settings).values()}
    found = sorted(known - domains.categories.keys() - {_PLATFORM})
    topics = {name: [events_topic(prefix, name), commands_topic(prefix, name)] for name in found}
    return {
        name: sum(_records(settings, topic, list(there[topic].partitions)) for topic in of_it if topic in there)
        for name, of_it in topics.items()
    }


def refuse_uncoded(settings: Settings, domains: Domains) -> None:
    """Raise CategoryUncoded if the log holds records that no code reads."""
    holding = {name: records for name, records in uncoded_categories(settings, domains).items() if records}
    if holding:
        named = ", ".join(f"{name} ({counted(records, 'records')})" for name, records in holding.items())
        raise CategoryUncoded(f"the log holds categories that no configured domain has: {named}")


def _records(settings: Settings, topic: str, parts: list[int]) -> int:
    client = clients.consumer(settings.kafka_servers())
    try:
        return sum(high - low for low, high in (watermarks(client, (topic, part)) for part in parts))
    finally:
        client.close()
