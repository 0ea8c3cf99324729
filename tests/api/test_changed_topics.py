"""An operator changes Kafka's topics by hand: `refold status` reports it in one finding and exits with 3."""

import json
from collections.abc import Callable

import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from refold.api.cli import exits
from refold.api.cli.app import run
from refold.streams.kafka import clients
from refold.streams.log.topics import FOR_EVER, events_topic, schemas_topic
from refold.streams.settings import Settings
from tests.streams.broker import append, claimed, fold_all, prepare
from tests.streams.logs import claim
from tests.streams.test_core import BASKET, basket

Fault = Callable[[AdminClient, str, str], None]
"""Given the client, a topic of events, and that of the schemas."""


def sets(admin: AdminClient, topic: str, **values: str) -> None:
    entries = [
        ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
        for name, value in values.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    admin.incremental_alter_configs([resource])[resource].result(20)


def deletes(admin: AdminClient, topic: str) -> None:
    admin.delete_topics([topic])[topic].result(20)


def makes_anew(admin: AdminClient, topic: str) -> None:
    deletes(admin, topic)
    for _ in range(50):
        made = admin.create_topics([NewTopic(topic, 4, 1, config=FOR_EVER)])[topic]
        if made.exception(20) is None:
            return
    pytest.fail("the topic is not made")


def adds_partitions(admin: AdminClient, topic: str) -> None:
    admin.create_partitions([NewPartitions(topic, 8)])[topic].result(20)


FAULTS: list[tuple[str, Fault, str, str]] = [
    ("retention is switched on", lambda a, e, _: sets(a, e, retention_ms="604800000"), "log-wrong-settings", "retention.ms=604800000: events could be lost"),
    ("it is kept by size", lambda a, e, _: sets(a, e, retention_bytes="1000000"), "log-wrong-settings", "retention.bytes=1000000"),
    ("it is compacted", lambda a, e, _: sets(a, e, cleanup_policy="compact"), "log-wrong-settings", "cleanup.policy=compact"),
    ("it takes small records only", lambda a, e, _: sets(a, e, max_message_bytes="2000"), "log-wrong-settings", "max.message.bytes=2000"),
    ("it has more partitions", lambda a, e, _: adds_partitions(a, e), "log-wrong-partitions", "has 8 partitions; recorded are 4"),
    ("it is deleted", lambda a, e, _: deletes(a, e), "log-topic-recreated", "is gone: it was deleted"),
    ("it is made anew", lambda a, e, _: makes_anew(a, e), "log-topic-recreated", "it was made again"),
    ("that of the schemas is deleted", lambda a, _, s: deletes(a, s), "log-topic-recreated", "which holds the schemas, is gone"),
    ("that of the schemas is not kept", lambda a, _, s: sets(a, s, cleanup_policy="delete", retention_ms="604800000"), "log-wrong-settings", "schemas could be lost"),
]  # fmt: skip


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize(("fault", "code", "says"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_status_names_what_was_changed_at_a_topic(
    settings: Settings,
    fault: Fault,
    code: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    prepare(settings)
    append(settings, BASKET, 0, [claimed(claim("A", 1)), *basket("A", 0, "s")])
    fold_all(settings)

    def of_the_log() -> list[dict[str, str]]:
        capsys.readouterr()
        assert run(["status", "--json"]) == exits.DIFFERENT  # nobody runs
        found = json.loads(capsys.readouterr().out)["findings"]
        return [each for each in found if not each["code"].startswith("no-")]

    assert of_the_log() == []
    admin = clients.admin(settings.kafka_servers())
    fault(admin, events_topic(settings.topic_prefix, BASKET), schemas_topic(settings.topic_prefix))
    ((finding),) = of_the_log()
    assert (finding["code"], says in finding["says"]) == (code, True), finding
    assert finding["do"]
