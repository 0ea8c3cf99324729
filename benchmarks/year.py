"""A log of receipts for measurements: written once into embedded servers whose data stays, then found again."""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks.log_writer import LogWriter
from benchmarks.receipts import decided
from refold.api.embedded.servers import Servers
from refold.streams.domain import load_domains
from refold.streams.kafka import clients
from refold.streams.kafka.messages import watermarks
from refold.streams.log.topics import ensure_topics, events_topic
from refold.streams.log.waiting import when_kafka_answers
from refold.streams.postgres.connection import connect
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.settings import Settings

FORMAT = 1
"""Version of the written log, raised when its content changes."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def servers_with_log(weeks: int, times: int = 1) -> Iterator[tuple[Settings, int]]:
    """The settings of running servers with a fresh database, and the number of records in the log.

    `times`: how often the weeks are in the log, each time with other products and baskets.
    """
    data = Path(tempfile.gettempdir()) / "refold-bench"
    data.mkdir(exist_ok=True)
    data.chmod(0o755)
    with Servers(data, say) as running:
        found = running.endpoints()
        assert found.kafka
        assert found.database_url
        settings = Settings.load({}).model_copy(update={"data": data})
        yield log_beside(settings.with_servers(found.kafka, found.database_url), weeks, times)


def log_beside(settings: Settings, weeks: int, times: int = 1) -> tuple[Settings, int]:
    """The settings of a log on the same servers, with a fresh database, and its number of records."""
    name = f"{weeks}" if times == 1 else f"{weeks}x{times}"
    url = fresh_database(settings.dsn(), f"bench{name}")
    settings = settings.model_copy(update={"topic_prefix": f"year{FORMAT}-{name}."})
    settings = settings.with_servers(settings.kafka_servers(), url)
    return settings, _ensure_log(settings, weeks, times)


def places(settings: Settings) -> list[tuple[str, int]]:
    """The partitions of all events."""
    names = load_domains(settings.domains).categories
    return [(events_topic(settings.topic_prefix, name), part) for name in names for part in range(settings.partitions)]


def _ensure_log(settings: Settings, weeks: int, times: int) -> int:
    domains = load_domains(settings.domains)
    with connect(settings.dsn(), application_name="bench") as db:
        bootstrap(db)
        when_kafka_answers(lambda: ensure_topics(settings, domains, db))
    noted = settings.data / f"{settings.topic_prefix}json"
    records = _records(settings)
    if not noted.exists() or json.loads(noted.read_text()) != records:
        if records:
            message = f"{settings.data} holds half a log: remove the folder and run again"
            raise SystemExit(message)
        say(f"writing {weeks} weeks of receipts, {times} x, as a log (once)")
        began = time.perf_counter()
        LogWriter(settings, domains).write(decided(weeks, times))
        records = _records(settings)
        noted.write_text(json.dumps(records))
        say(f"{records:,} records at {records / (time.perf_counter() - began):,.0f}/s")
    return records


def _records(settings: Settings) -> int:
    client = clients.consumer(settings.kafka_servers())
    try:
        return sum(watermarks(client, place)[1] for place in places(settings))
    finally:
        client.close()


def fresh_database(url: str, name: str) -> str:
    """Create an empty database beside the address's one; returns its address."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return url.rpartition("/")[0] + f"/{name}"
