"""Folds of the core, their tables and topics there and checked: for the process, and for a replay, which loads no Faust."""

from refold.streams.core.fold import CoreFold
from refold.streams.domain import load_domains
from refold.streams.log.continuity import check_continuity
from refold.streams.log.history import History
from refold.streams.log.topics import ensure_topics
from refold.streams.log.waiting import when_kafka_answers
from refold.streams.postgres.connection import answering, connect_patiently
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.settings import Settings


def core_folds(settings: Settings, count: int = 1, *, stand: bool = False) -> list[CoreFold]:
    """So many of the core's fold, its tables and topics there and checked. `stand`: at newer rules a partition stands alone."""
    domains = load_domains(settings.domains)
    with answering(), connect_patiently(settings.dsn(), application_name="core-start") as db:
        bootstrap(db)
        when_kafka_answers(lambda: ensure_topics(settings, domains, db))
        when_kafka_answers(lambda: check_continuity(settings, domains, db))
    histories = [History(settings.kafka_servers(), settings.topic_prefix, domains) for _ in range(count)]
    return [CoreFold(settings.dsn(), settings.topic_prefix, domains, history, stands=stand) for history in histories]
