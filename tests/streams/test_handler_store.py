"""Tests a handler's snapshot on a real Postgres: guard and data are of one moment, whatever commits in between."""

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from refold.streams.handler.ports import Away, Snapshot, Wanted
from refold.streams.handler.tables import PostgresTables
from refold.streams.log.history import History
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
        asking = threading.Thread(target=lambda: seen.extend(tables.snapshots([Wanted(CATEGORY, 0, [key], ["s"])])))
        asking.start()
        until = time.monotonic() + 60
        while watch.execute(WAITS).fetchone() is None:
            assert time.monotonic() < until, "the snapshot does not come to the outcomes"
            time.sleep(0.01)
        core.commit()
        asking.join(60)
    tables.close()
    (snapshot,) = seen
    assert snapshot.row is not None
    assert (snapshot.row.next_seq, snapshot.outcomes) == (1, {key})


@pytest.fixture
def folded(servers: object, settings: Settings) -> Iterator[tuple[Settings, PostgresTables]]:  # noqa: ARG001 - they run
    """A stream of two events in the tables."""
    prepare(settings)
    events = [encoded(record("A", n, f"c{n}", "s", n), OPENED) for n in range(2)]
    append(settings, CATEGORY, 0, [claimed(claim("A", 1)), *events])
    fold_all(settings)
    tables = PostgresTables(settings.dsn(), DOMAINS, History(settings.kafka_servers(), settings.topic_prefix, DOMAINS))
    yield settings, tables
    tables.close()


def test_a_state_is_not_folded_from_the_fewer_events_of_tables_that_were_restored_meanwhile(
    folded: tuple[Settings, PostgresTables],
) -> None:
    """The version is the snapshot's, of before; what would be decided on less could count once the core has caught up."""
    settings, tables = folded
    with psycopg.connect(settings.dsn(), autocommit=True) as db:
        db.execute("CREATE TABLE kept AS SELECT * FROM refold.stream_offsets")
        db.execute("UPDATE refold.stream_offsets SET offsets = offsets[1:1]")
        with pytest.raises(Away, match="1 of 2 events"):
            tables.refold(CATEGORY, "s", 2)
        db.execute("DELETE FROM refold.stream_offsets")
        db.execute("INSERT INTO refold.stream_offsets SELECT * FROM kept")
    assert tables.refold(CATEGORY, "s", 2) == DOMAINS.deciders[CATEGORY].fold((OPENED, OPENED))


def test_a_table_that_is_missing_is_no_reason_to_refuse_a_command(folded: tuple[Settings, PostgresTables]) -> None:
    settings, tables = folded
    with psycopg.connect(settings.dsn(), autocommit=True) as db:
        db.execute("ALTER TABLE refold.stream_offsets RENAME TO elsewhere")
    with pytest.raises(psycopg.errors.UndefinedTable):
        tables.refold(CATEGORY, "s", 2)
