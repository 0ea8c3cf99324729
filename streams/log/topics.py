"""Creates the topics of the configured domains, checks them at every start, and writes their schemas into the log."""

import json
import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from refold.schemas.plurals import counted
from refold.streams.domain import Domains
from refold.streams.errors import KafkaUnavailable, TopicRecreated, WrongPartitions, WrongSettings
from refold.streams.kafka import clients
from refold.streams.log.recreated import holds_what_was_folded
from refold.streams.log.schema_log import SchemaLog
from refold.streams.postgres.connection import Database
from refold.streams.refusals import of_kafka
from refold.streams.settings import Settings

FOR_EVER = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
_log = logging.getLogger(__name__)
BEING_RESTORED = str(2**63 - 2)
"""The retention.ms of a topic while `refold log restore` is filling it."""
_TIMEOUT_S = 20.0
_HEARSAY_S = 3.0
"""Seconds in which a broker may still learn of a topic that was just made."""


def commands_topic(prefix: str, category: str) -> str:
    """The topic of a category's commands."""
    return f"{prefix}{category}.commands"


def events_topic(prefix: str, category: str) -> str:
    """The topic of a category's claims, events and rejections."""
    return f"{prefix}{category}.events"


def category_of(prefix: str, topic: str) -> str:
    """The category whose commands or events a topic holds."""
    return topic.removeprefix(prefix).rpartition(".")[0]


def schemas_topic(prefix: str) -> str:
    """The topic of all schemas in use, each written before the first record that uses it."""
    return f"{prefix}refold.schemas"


def ensure_topics(settings: Settings, domains: Domains, db: Database) -> None:
    """Create missing topics, refuse those that would lose events, and write this code's schemas into the log.

    Raises WrongSettings, WrongPartitions, TopicRecreated, KafkaUnavailable, KafkaRefused.
    """
    clients.check_login(servers := settings.kafka_servers())
    client, names = clients.admin(servers), _logs(settings, domains)
    try:
        _check_presence(client, names, db)
        _create(client, names, settings)
        _check_settings(client, names)
        _take_restored(client, names, settings, db)
        _check_identity(client, names, settings.partitions, db)
        publish_schemas(settings, domains)
    except KafkaException as problem:
        raise of_kafka(problem.args[0], "the topics cannot be used") from problem


def check_topics(settings: Settings, domains: Domains, db: Database) -> None:
    """Check that the topics are as at the start: settings can be changed and partitions added by hand at any time.

    Creates nothing. A topic's largest record is not checked: each larger record is refused alone. Raises WrongSettings,
    WrongPartitions, TopicRecreated, KafkaUnavailable, KafkaRefused.
    """
    client, names = clients.admin(settings.kafka_servers()), _logs(settings, domains)
    try:
        _check_presence(client, names, db)
        _settings(client, names)
        _check_identity(client, names, settings.partitions, db)
    except KafkaException as problem:
        raise of_kafka(problem.args[0], "the topics cannot be asked") from problem


def check_seen_topics(settings: Settings, domains: Domains, db: Database) -> None:
    """The same for the topics that the tables know, with all checks of a start: it predicts the result of the next start.

    Raises WrongSettings, WrongPartitions, TopicRecreated, KafkaUnavailable, KafkaRefused.
    """
    client, names = clients.admin(settings.kafka_servers()), _logs(settings, domains)
    try:
        if known := sorted(_known(db, names)):
            _check_presence(client, known, db)
            _check_settings(client, known)
            _check_identity(client, known, settings.partitions, db, _restored(client, known, settings, db))
            _check_schemas(client, schemas_topic(settings.topic_prefix))
    except KafkaException as problem:
        raise of_kafka(problem.args[0], "the topics cannot be asked") from problem


def publish_schemas(settings: Settings, domains: Domains) -> None:
    """Write each schema of this code that the log lacks, acknowledged on return; learn those of other code."""
    known = logged_schemas(settings)
    domains.catalog.learn(known)
    follow_log(settings, domains)
    producer = clients.producer(settings.kafka_servers())
    failed: list[KafkaError] = []
    for writer in (w for w in domains.catalog.by_id.values() if not w.newer):
        if writer.id not in known:
            producer.produce(
                schemas_topic(settings.topic_prefix),
                json.dumps(writer.schema).encode(),
                str(writer.id).encode(),
                on_delivery=lambda error, _: failed.append(error) if error else None,
            )
    left = producer.flush(_TIMEOUT_S)
    if failed:
        raise of_kafka(failed[0], "the schemas cannot be written to the log")
    if left:
        raise KafkaUnavailable("the schemas could not be written to the log")


def follow_log(settings: Settings, domains: Domains) -> None:
    """From now on look up unknown schemas of records in the log: newer code may have begun to write."""
    domains.catalog.follow(SchemaLog(settings.kafka_servers(), schemas_topic(settings.topic_prefix)))


def logged_schemas(settings: Settings) -> dict[int, dict[str, Any]]:
    """Every schema in the log, by id; empty without a topic of schemas. Raises KafkaUnavailable, KafkaRefused."""
    with closing(SchemaLog(settings.kafka_servers(), schemas_topic(settings.topic_prefix))) as log:
        return dict(log())


def _logs(settings: Settings, domains: Domains) -> list[str]:
    prefix = settings.topic_prefix
    return [
        topic for name in domains.categories for topic in (commands_topic(prefix, name), events_topic(prefix, name))
    ]


def _check_presence(client: AdminClient, names: Iterable[str], db: Database) -> None:
    """Refuse a known topic that is gone: its records are lost, and a new topic of its name would hide that."""
    known, until = _known(db, names).keys(), time.monotonic() + _HEARSAY_S
    while gone := sorted(known - client.list_topics(timeout=_TIMEOUT_S).topics.keys()):
        if time.monotonic() > until:
            raise TopicRecreated(f"the topic {gone[0]}, which the tables were folded from, is gone: it was deleted")
        time.sleep(0.2)


def _create(client: AdminClient, names: list[str], settings: Settings) -> None:
    there = client.list_topics(timeout=_TIMEOUT_S)
    wanted = [
        topic for topic in new_topics(names, settings, brokers=len(there.brokers)) if topic.topic not in there.topics
    ]
    if not wanted:  # a role that may create nothing works with existing topics
        return
    for name, future in client.create_topics(wanted, operation_timeout=_TIMEOUT_S).items():
        try:
            future.result()
        except KafkaException as problem:
            if problem.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise of_kafka(problem.args[0], f"the topic {name} cannot be made") from problem


def new_topics(names: Iterable[str], settings: Settings, brokers: int) -> list[NewTopic]:
    """The topics to make for these names, and that of the schemas.

    With three replicas, two must have a record before it is acknowledged. Otherwise one alone may have it, and lose it.
    """
    replicas = min(3, brokers)
    everywhere = {"min.insync.replicas": "2"} if replicas == 3 else {}
    limits = {"max.message.bytes": str(clients.MAX_MESSAGE_BYTES)}
    stamped = {"message.timestamp.type": "LogAppendTime"}
    logs = [
        NewTopic(
            name,
            num_partitions=settings.partitions,
            replication_factor=replicas,
            config={**FOR_EVER, **limits, **everywhere, **(stamped if name.endswith(".events") else {})},
        )
        for name in names
    ]
    compacted = {"cleanup.policy": "compact", **everywhere}
    name = schemas_topic(settings.topic_prefix)
    return [*logs, NewTopic(name, num_partitions=1, replication_factor=replicas, config=compacted)]


def _check_settings(client: AdminClient, names: Iterable[str]) -> None:
    for name, found in _settings(client, names).items():
        if int(found["max.message.bytes"].value) < clients.LEAST_MESSAGE_BYTES:
            raise WrongSettings(
                f"the topic {name} has max.message.bytes={found['max.message.bytes'].value}:"
                f" a command or an event with its envelope takes up to {clients.MAX_MESSAGE_BYTES}",
                remedy=f"Set max.message.bytes={clients.MAX_MESSAGE_BYTES} on the topic, and start again.",
            )


def _check_schemas(client: AdminClient, name: str) -> None:
    """Check that the topic of schemas exists, and deletes no schema by age."""
    if name not in client.list_topics(timeout=_TIMEOUT_S).topics:
        raise TopicRecreated(
            f"the topic {name}, which holds the schemas, is gone: it was deleted",
            "Start a worker again: it makes the topic and writes all schemas of its code, which readers outside of Refold need.",
        )
    resource = ConfigResource(ResourceType.TOPIC, name)
    found = client.describe_configs([resource], request_timeout=_TIMEOUT_S)[resource].result()
    policy, kept = found["cleanup.policy"].value, [found[key].value for key in ("retention.ms", "retention.bytes")]
    if "delete" in policy and kept != ["-1", "-1"]:
        raise WrongSettings(
            f"the topic {name} has cleanup.policy={policy}: schemas could be lost",
            "Set cleanup.policy=compact on the topic.",
        )


def _settings(client: AdminClient, names: Iterable[str]) -> dict[str, Any]:
    """The settings of each topic. Raises WrongSettings if its records would not be kept forever."""
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    settings = {}
    for resource, future in client.describe_configs(resources, request_timeout=_TIMEOUT_S).items():
        settings[resource.name] = found = future.result()
        wrong = {key: found[key].value for key, right in FOR_EVER.items() if found[key].value != right}
        if found["retention.ms"].value == BEING_RESTORED:
            raise WrongSettings(
                f"the topic {resource.name} is being restored",
                "Wait until `refold log restore` has ended. If it was interrupted, run it again: it continues.",
            )
        if wrong:
            said = ", ".join(f"{key}={value}" for key, value in wrong.items())
            raise WrongSettings(f"the topic {resource.name} has {said}: events could be lost")
    return settings


def _take_restored(client: AdminClient, names: list[str], settings: Settings, db: Database) -> None:
    """Accept topics with other ids that hold the records that were folded. Raises TopicRecreated, LogShorter."""
    for name, topic_id in _restored(client, names, settings, db).items():
        db.execute("UPDATE refold.topics SET topic_id = %s WHERE topic = %s", (topic_id, name))
        _log.warning(
            "the topic %s was made again, but holds the records from which the tables were folded, so it is used", name
        )


def _restored(client: AdminClient, names: list[str], settings: Settings, db: Database) -> dict[str, str]:
    """Topics that were made again but are the same log, each with its id. Raises TopicRecreated, LogShorter.

    A topic from which nothing was folded proves nothing: it is accepted if all topics are new, as after a restore of
    the whole log.
    """
    seen, known = _seen(client, names), _known(db, names)
    others = [name for name in known if name in seen and seen[name][0] != known[name][0]]
    found = {}
    for name in others:
        category = category_of(settings.topic_prefix, name)
        if holds_what_was_folded(settings.kafka_servers(), name, category, db) or len(others) == len(known):
            found[name] = seen[name][0]
    return found


def _check_identity(
    client: AdminClient, names: list[str], partitions: int, db: Database, restored: Iterable[str] = ()
) -> None:
    seen = _seen(client, names)
    recorded = _recorded(db, seen)
    for name, (topic_id, count) in seen.items():
        if count != recorded[name][1] or count != partitions:
            raise WrongPartitions(
                f"the topic {name} has {counted(count, 'partitions')}; recorded are {recorded[name][1]}, configured {partitions}"
            )
        if topic_id != recorded[name][0] and name not in restored:
            raise TopicRecreated(f"the topic {name} is not the one that the tables were folded from: it was made again")


def _seen(client: AdminClient, names: list[str]) -> dict[str, tuple[str, int]]:
    """Each topic's id, and its number of partitions. Raises KafkaException."""
    described = client.describe_topics(TopicCollection(names), request_timeout=_TIMEOUT_S)
    return {
        name: (str(found.topic_id), len(found.partitions))
        for name, future in described.items()
        for found in (future.result(),)
    }


def _recorded(db: Database, seen: Mapping[str, tuple[str, int]]) -> dict[str, tuple[str, int]]:
    """The topics' ids and sizes at first sight, written for new ones only: a role may be read-only."""
    known = _known(db, seen)
    if new := sorted(seen.keys() - known.keys()):
        with db.transaction():
            for name in new:
                db.execute(
                    "INSERT INTO refold.topics (topic, topic_id, partitions) VALUES (%s, %s, %s) ON CONFLICT (topic) DO NOTHING",
                    (name, *seen[name]),
                )
        known = _known(db, seen)
    return known


def _known(db: Database, names: Iterable[str]) -> dict[str, tuple[str, int]]:
    rows = db.execute(
        "SELECT topic, topic_id, partitions FROM refold.topics WHERE topic = ANY(%s)", (list(names),)
    ).fetchall()
    return {topic: (topic_id, count) for topic, topic_id, count in rows}
