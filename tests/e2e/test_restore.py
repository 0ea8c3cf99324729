"""A database older than the clients' answers, or empty: answers stay, nothing counts twice, the tables come back.

Four clients repeat old commands all the while, with the right body and with others; then all is quiet, and it happens
again.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from refold.api.cli.stack import Stack
from refold.api.embedded.servers import Endpoints
from refold.streams.settings import Settings
from tests.conftest import fresh_database, settings_for
from tests.e2e import results
from tests.e2e.agreement import assert_agreement
from tests.e2e.clients import Crowd, asked_again, counted
from tests.e2e.dumps import dump, empty, put_in_place, restore_in_place
from tests.e2e.oracle import Truth, assert_tables_are_the_fold_of_the_log, differences
from tests.e2e.tables import number, query, until

PAUSE_S = 3.0
DUMP, EMPTIED, NOTHING = "an older dump", "every table emptied", "an empty database"
IN_PLACE = "an older dump, restored in place"
OF_OLDER_RELEASE = "a dump of an older release"
ALL = os.environ.get("RESTORES") == "all"
UNDER_LOAD = (DUMP, OF_OLDER_RELEASE, IN_PLACE, EMPTIED, NOTHING) if ALL else (OF_OLDER_RELEASE, IN_PLACE, EMPTIED)
IN_QUIET = (DUMP, EMPTIED, NOTHING) if ALL else (EMPTIED,)


@dataclass
class Restored:
    """A stack, and the ways in which its database may be lost."""

    stack: Stack
    admin_url: str
    dumped: Path

    @property
    def settings(self) -> Settings:
        return self.stack.settings

    def losses(self) -> dict[str, Callable[[], None]]:
        url = self.settings.dsn()
        return {
            DUMP: lambda: put_in_place(self.admin_url, url, self.dumped),
            OF_OLDER_RELEASE: lambda: put_in_place(self.admin_url, url, self.dumped, of_older_release=True),
            IN_PLACE: lambda: restore_in_place(url, self.dumped),
            EMPTIED: lambda: empty(url),
            NOTHING: lambda: put_in_place(self.admin_url, url, None),
        }


@pytest.fixture
def site(servers: Endpoints, template: str, tmp_path: Path) -> Iterator[Restored]:
    assert servers.database_url
    for database in fresh_database(template):
        with Stack(settings_for(servers.kafka, database, tmp_path / "data"), lambda _: None) as stack:
            stack.wait_until_ready()
            yield Restored(stack, servers.database_url, tmp_path / "older.dump")


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_restores(site: Restored) -> None:
    """Under load, and with nobody to wake anyone."""
    with Crowd(site.settings, 4, 3) as crowd:
        until(lambda: answers(site.settings) > 30, 60, "nothing is answered")
        dump(site.settings.dsn(), site.dumped)
        time.sleep(PAUSE_S)
        for name in UNDER_LOAD:
            before = answers(site.settings)
            site.losses()[name]()
            until(lambda: answers(site.settings) > before + 20, 120, "the tables did not come back")  # noqa: B023 - called before the loop goes on
            time.sleep(PAUSE_S)
    seen = crowd.seen
    assert_agreement(site.settings, seen)
    found = assert_tables_are_the_fold_of_the_log(site.settings)
    for name in IN_QUIET:
        site.losses()[name]()
        until(lambda: answers(site.settings) == len(found.outcomes), 120, f"{name}, no traffic: it did not come back")
        assert assert_tables_are_the_fold_of_the_log(site.settings).outcomes == found.outcomes
    again = asked_again(site.settings, seen)
    assert_agreement(site.settings, [*seen, *again])
    last = assert_tables_are_the_fold_of_the_log(site.settings)
    assert last.outcomes == found.outcomes
    assert_the_oracle_can_fail(site.settings, last)
    results.note(
        "restores", restores=len(UNDER_LOAD + IN_QUIET), again=len(again), **counted(seen), records=found.records
    )


def assert_the_oracle_can_fail(settings: Settings, want: Truth) -> None:
    """One row changed in each table is seen, and named; a judge that never found anything proves nothing."""
    changes = {
        "streams": "UPDATE refold.streams SET version = version + 1 WHERE stream = 'hot-0'",
        "outcomes": "DELETE FROM refold.outcomes WHERE key = (SELECT min(key) FROM refold.outcomes)",
        "claims": "UPDATE refold.claims SET next_seq = next_seq + 1 WHERE category = 'retail.basket' AND part = 0",
        "voids": "INSERT INTO refold.voids SELECT topic, part, 0, 0, 'void' FROM refold.positions ORDER BY 1, 2 LIMIT 1",
        "store_daily": "UPDATE {table} SET lines = lines + 1",
        "baskets": "UPDATE {table} SET total = total + 1",
        "product_sales": "UPDATE {table} SET revenue = revenue + 1",
    }
    assert differences(settings, want) == []
    with psycopg.connect(settings.dsn()) as db:
        serving: dict[str, int] = dict(
            db.execute("SELECT model, build FROM refold.builds WHERE status = 'serving'").fetchall()
        )
        for table, change in changes.items():  # the tables themselves: nobody writes through a view
            db.execute(change.format(table=f"refold_b{serving.get(table)}.{table}").encode())
            db.commit()
            assert any(text.startswith(f"{table}: ") for text in differences(settings, want)), table


def answers(settings: Settings) -> int:
    """Outcomes there are now; none where there is no table for them."""
    ((there,),) = query(settings, "SELECT to_regclass('refold.outcomes') IS NOT NULL")
    return number(settings, "SELECT count(*)::int FROM refold.outcomes") if there else 0
