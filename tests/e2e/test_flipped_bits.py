"""After a flipped bit in a stored batch real processes fold the tables again: no wrong row, and the place is named."""

from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest

from refold.api.cli.stack import Stack
from refold.api.embedded.servers import Endpoints
from refold.retail.schemas.basket import OpenBasket, ScanItem
from refold.streams.domain import load_domains
from refold.streams.kafka.partitioner import partition_of
from refold.streams.log.topics import commands_topic
from refold.streams.operation.presence import stand_still, troubles
from refold.streams.postgres.connection import connect
from refold.streams.sending.producer import Producer
from refold.streams.settings import Settings
from tests.conftest import fresh_database, settings_for
from tests.e2e import results
from tests.e2e.clients import Crowd
from tests.e2e.dumps import put_in_place
from tests.e2e.oracle import assert_tables_are_the_fold_of_the_log
from tests.e2e.tables import number, query, until
from tests.e2e.test_restore import answers
from tests.streams.flipped import flip, segment

_BELOW = (
    "SELECT count(*)::int FROM refold.positions WHERE grp = '{}' AND (topic, part) = ('{}', {}) AND next_offset <= {}"
)


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_a_flipped_bit_stops_its_partition_and_changes_no_number(stack: Stack, servers: Endpoints) -> None:
    settings = stack.settings
    with Crowd(settings, 4, 3):
        until(lambda: answers(settings) > 200, 60, "nothing is answered")
    before = assert_tables_are_the_fold_of_the_log(settings)
    topic, part, end = _longest(settings)
    at = end // 2
    flip(segment(topic, part), at)
    assert servers.database_url
    put_in_place(servers.database_url, settings.dsn(), None)
    until(lambda: {"core", "models"} <= _standing(settings, topic, part), 90, "nobody says that the log is corrupt")
    for group in ("core", "models"):
        assert number(settings, _BELOW.format(group, topic, part, at)) == 1
    assert 0 < answers(settings) < len(before.outcomes)
    flip(segment(topic, part), at)
    until(lambda: answers(settings) == len(before.outcomes), 90, "a restored log is not read on")
    assert assert_tables_are_the_fold_of_the_log(settings).outcomes == before.outcomes
    until(lambda: not _standing(settings, topic, part), 60, "what has gone on is said to stand")
    results.note("flipped bits", records=before.records)


@pytest.mark.e2e
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("servers")
def test_a_flipped_bit_among_commands_stops_its_partition_and_answers_nothing_wrongly(
    settings: Settings, tmp_path: Path
) -> None:
    """Commands wait; a bit of those of one partition is turned over; a handler starts, and all other partitions are decided."""
    topic, part = commands_topic(settings.topic_prefix, "retail.basket"), 1
    with Stack(settings, lambda _: None, roles=("core", "models")):
        until(lambda: number(settings, "SELECT count(*)::int FROM refold.topics") > 0, 60, "there are no topics")
        streams = _send(settings)
        ours = sum(partition_of(stream.encode(), settings.partitions) == part for stream in streams)
        at = ours // 2
        flip(segment(topic, part), at)
        elsewhere = settings.model_copy(update={"data": tmp_path / "handler"})
        with Stack(elsewhere, lambda _: None, roles=("handler",)):
            until(
                lambda: "handler" in _standing(settings, topic, part), 90, "nobody says that the commands are corrupt"
            )
            until(lambda: _decided(settings, f"part <> {part}") == len(streams) - ours, 90, "the others stand, too")
            assert 0 < _decided(settings, f"part = {part}") <= at < ours
            flip(segment(topic, part), at)
            until(lambda: _decided(settings, "true") == len(streams), 90, "restored commands are not read on")
            until(lambda: not _standing(settings, topic, part), 60, "what has gone on is said to stand")
        assert _decided(settings, "code IS NOT NULL") == 0, "a sound command was refused"
        assert_tables_are_the_fold_of_the_log(settings)
        results.note("flipped bits among commands", commands=len(streams))


def _send(settings: Settings) -> list[str]:
    """Three sound commands a basket, those of each basket in a batch of their own; the stream of each command."""
    streams = [f"basket-{number}" for number in range(60) for _ in range(3)]
    with Producer(settings.kafka_servers(), settings.topic_prefix, load_domains(["retail"])) as producer:
        for number, stream in enumerate(streams):
            scan = ScanItem(
                basket_id=stream, product_id=number, quantity=1, amount=Decimal("1.25"), discount=Decimal(0)
            )
            producer.send(scan if number % 3 else OpenBasket(basket_id=stream, store_id=1), command_id=uuid4())
            if number % 3 == 2:
                producer.flush(30)
    return streams


def _decided(settings: Settings, which: str) -> int:
    return number(settings, f"SELECT count(*)::int FROM refold.outcomes WHERE {which}")


@pytest.fixture
def stack(servers: Endpoints, template: str, tmp_path: Path) -> Iterator[Stack]:
    for database in fresh_database(template):
        with Stack(settings_for(servers.kafka, database, tmp_path / "data"), lambda _: None) as running:
            running.wait_until_ready()
            yield running


def _longest(settings: Settings) -> tuple[str, int, int]:
    """The partition of events with most records, and its end."""
    ((topic, part, end),) = query(
        settings,
        "SELECT topic, part, next_offset FROM refold.positions WHERE grp = 'core' ORDER BY next_offset DESC LIMIT 1",
    )
    assert isinstance(topic, str)
    assert isinstance(part, int)
    assert isinstance(end, int)
    return topic, part, end


def _standing(settings: Settings, topic: str, part: int) -> set[str]:
    """The roles that say they stand at the partition."""
    with closing(connect(settings.dsn(), application_name="test")) as db:
        said = stand_still(troubles(db))
    return {each.role for each in said if each.says.startswith(f"log-corrupt: {topic}/{part} cannot be read")}
