"""Makes core folds and checks tables and topics first: for the core process, and for a replay, which loads no Faust."""

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
    """`count` folds of the core, after making and checking tables and topics. `stand`: see CoreFold's `stands`."""
    domains = load_domains(settings.domains)
    with answering(), connect_patiently(settings.dsn(), application_name="core-start") as db:
        bootstrap(db)
        when_kafka_answers(lambda: ensure_topics(settings, domains, db))
        when_kafka_answers(lambda: check_continuity(settings, domains, db))
    histories = [History(settings.kafka_servers(), settings.topic_prefix, domains) for _ in range(count)]
    return [CoreFold(settings.dsn(), settings.topic_prefix, domains, history, stands=stand) for history in histories]
