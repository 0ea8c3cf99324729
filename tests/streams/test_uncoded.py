"""Tests a category of the log that code lacks: log-check says so, and no database is filled without it."""

import json

import pytest

from refold.api.cli import app as cli
from refold.api.cli import exits
from refold.projections.replay.command import Replay
from refold.projections.replay.gates import Gates
from refold.projections.tables.declared import declared
from refold.retail.schemas.basket import BasketOpened
from refold.schemas.avro import schema_id, schema_of
from refold.streams.errors import CategoryUncoded
from refold.streams.kafka import clients
from refold.streams.log.topics import events_topic, new_topics, schemas_topic
from refold.streams.settings import Settings
from tests.streams.broker import prepare

WAS = "retail.till"


@pytest.mark.usefixtures("servers")
def test_a_renamed_category_is_said_by_log_check_and_refused_by_the_first_fill(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(settings)
    schema = schema_of(BasketOpened, WAS)
    topics = new_topics([events_topic(settings.topic_prefix, WAS)], settings, 1)
    client = clients.admin(settings.kafka_servers())
    for done in client.create_topics(topics[:1]).values():
        done.result()
    producer = clients.producer(settings.kafka_servers())
    producer.produce(schemas_topic(settings.topic_prefix), json.dumps(schema).encode(), str(schema_id(schema)).encode())
    producer.produce(events_topic(settings.topic_prefix, WAS), b"one", b"s")
    producer.produce(events_topic(settings.topic_prefix, WAS), b"two", b"s")
    assert producer.flush(30) == 0
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)

    assert cli.run(["schemas", "log-check", "--json"]) == exits.DIFFERENT
    assert json.loads(capsys.readouterr().out)["without_code"] == {WAS: 2}
    assert cli.run(["replay", "rebuild", "--all", "--execute"]) == exits.PRECONDITION
    assert (
        f"category-without-code: the log holds categories that no configured domain has: {WAS} (2 records)"
        in " ".join(capsys.readouterr().err.split())
    )
    with Replay(settings) as replay:
        with pytest.raises(CategoryUncoded):
            replay.execute((), lambda *_: None)
        assert len(replay.execute((), lambda *_: None, Gates(accept=True)).models) == len(declared(["retail"]).layouts)
