"""Runs the handler as a process: it reads commands and appends events and rejections."""

from threading import Event

from refold.streams.chunk import Place
from refold.streams.domain import load_domains
from refold.streams.guard.wiring import process_guard
from refold.streams.handler.appender import KafkaLog
from refold.streams.handler.handler import GROUP, Handler, Names, Surroundings
from refold.streams.handler.tables import PostgresTables
from refold.streams.log.cloud_events import cloud_events, no_headers
from refold.streams.log.history import History
from refold.streams.log.topics import commands_topic, ensure_topics
from refold.streams.log.waiting import when_kafka_answers
from refold.streams.operation.members import group_name
from refold.streams.postgres.connection import answering, connect_patiently
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.settings import Settings
from refold.streams.standing import STANDING
from refold.streams.worker.agents import run_agent
from refold.streams.worker.group_consumer import ReaderConfig
from refold.streams.worker.group_reader import GroupReader
from refold.streams.worker.lane import Worker


def main(settings: Settings) -> None:
    """Decide commands until told to stop."""
    domains = load_domains(settings.domains)
    with answering(), connect_patiently(settings.dsn(), application_name="handler-start") as db:
        bootstrap(db)
        when_kafka_answers(lambda: ensure_topics(settings, domains, db))
    topics = [commands_topic(settings.topic_prefix, name) for name in sorted(domains.categories)]
    names = Names(settings.topic_prefix, settings.partitions)
    guard = process_guard(settings, GROUP)
    headers_of = cloud_events(domains.catalog) if settings.event_headers == "cloudevents" else no_headers

    def handler(reader: GroupReader, stopping: Event) -> list[Worker]:
        history = History(settings.kafka_servers(), settings.topic_prefix, domains)
        tables = PostgresTables(settings.dsn(), domains, history)
        log = KafkaLog(settings.kafka_servers(), settings.topic_prefix, headers_of)
        return [Handler(tables, log, reader, domains, names, Surroundings(stopping, guard=guard, standing=STANDING))]

    group = group_name(settings, GROUP)
    config = ReaderConfig(settings.kafka_servers(), group, topics, settings.chunk_records, keys=True)
    run_agent(settings, GROUP, config, _held_back, handler)


def _held_back(places: list[Place]) -> dict[Place, int | None]:
    """Read nothing before the claim is folded: the row that shows the claim says where to begin."""
    return dict.fromkeys(places)
