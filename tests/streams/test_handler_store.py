"""A handler's snapshot on a real Postgres: guard and data of one moment, whatever commits between its questions."""

import threading
import time

import psycopg
import pytest

from refold.streams.handler_ports import Snapshot
from refold.streams.handler_store import PostgresTables
from refold.streams.history import History
from refold.streams.settings import Settings
from tests.streams.broker import DOMAINS, append, claimed, encoded, fold_all, prepare
from tests.streams.logs import claim, record
from tests.streams.test_core import OPENED

CATEGORY = "retail.basket"
WAITS = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'refold-handler' AND wait_event_type = 'Lock'"


@pytest.mark.usefixtures("servers")
def test_guard_and_data_are_of_one_moment(settings: Settings) -> None:
    """The core commits after the handler's question for the claim and before its question for outcomes."""
    prepare(settings)
    append(settings, CATEGORY, 0, [claimed(claim("A", 1)), encoded(record("A", 0, "c", "s", 0), OPENED)])
    fold_all(settings)
    tables = PostgresTables(settings.dsn(), DOMAINS, History(settings.kafka_servers(), settings.topic_prefix, DOMAINS))
    seen: list[Snapshot] = []
    with psycopg.connect(settings.dsn()) as core, psycopg.connect(settings.dsn(), autocommit=True) as watch:
        ((key,),) = core.execute("SELECT key FROM refold.outcomes").fetchall()
        core.execute("LOCK TABLE refold.outcomes IN ACCESS EXCLUSIVE MODE")
        core.execute("UPDATE refold.claims SET next_seq = next_seq + 1")
        core.execute("DELETE FROM refold.outcomes")
        asking = threading.Thread(target=lambda: seen.append(tables.snapshot(CATEGORY, 0, [key], ["s"])))
        asking.start()
        until = time.monotonic() + 20
        while watch.execute(WAITS).fetchone() is None:
            assert time.monotonic() < until, "the snapshot does not come to the outcomes"
            time.sleep(0.01)
        core.commit()
        asking.join(20)
    tables.close()
    (snapshot,) = seen
    assert snapshot.row is not None
    assert (snapshot.row.next_seq, snapshot.outcomes) == (1, {key})
