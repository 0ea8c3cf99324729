"""One bit of a stored batch is turned over, and the tables are folded anew by real processes: no wrong row, and the place is named."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from refold.api.cli.stack import Stack
from refold.streams.embedded.servers import Endpoints
from refold.streams.postgres import connect
from refold.streams.presence import stand_still, troubles
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
    until(lambda: not _standing(settings, topic, part), 30, "what has gone on is said to stand")
    results.note("flipped bits", records=before.records)


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
