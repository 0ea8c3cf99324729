"""The database is dropped under load, and comes back from the log; tables are verified and rolled back under load."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from refold.api.cli.stack import Stack
from refold.api.embedded.servers import Endpoints
from refold.streams.settings import Settings
from tests.conftest import fresh_database, settings_for
from tests.e2e import results
from tests.e2e.agreement import assert_agreement
from tests.e2e.audited import assert_audit_finds_nothing
from tests.e2e.clients import Crowd, asked_again, counted
from tests.e2e.conftest import Running
from tests.e2e.history import Op
from tests.e2e.oracle import assert_tables_are_the_fold_of_the_log
from tests.e2e.tables import assert_equal_totals, until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif("DROPS" not in os.environ, reason="`python -m tests.e2e` runs it"),
]
GONE_S, PER_SECOND = 2.0, 550
MODELS = "store_daily", "product_sales", "baskets", "households"


def refold(settings: Settings, *words: str) -> tuple[int, str, str]:
    """A command: its exit code, what it prints, what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "refold.api.cli.app", *words],
        env=os.environ | settings.environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.timeout(600)
@pytest.mark.parametrize("helped", [False, True], ids=["by workers alone", "by a rebuild beside them"])
def test_a_database_dropped_under_load_comes_back_and_old_commands_get_their_old_answers(
    servers: Endpoints, template: str, tmp_path: Path, *, helped: bool
) -> None:
    assert servers.database_url
    for database in fresh_database(template):
        with Stack(settings_for(servers.kafka, database, tmp_path / "data"), lambda _: None) as stack:
            stack.wait_until_ready()
            with Crowd(stack.settings, 6, 5) as crowd:
                until(lambda: crowd.accepted > 300, 120, "nothing is answered")
                before = [op for op in crowd.seen if op.type != "info"]
                dropped_and_made_again(servers.database_url, database)
                if helped:
                    code, _, words = refold(stack.settings, "replay", "rebuild", "--all", "--execute")
                    # a models worker that has begun to fold itself goes on alone
                    assert code == 0 or "cannot-join: the models worker has begun" in words, words
                    results.note("rebuild of a dropped database", code=code)
                goes_on(crowd)
            assert stack.ended() is None, "a worker gave up for good"
            assert_agreement(stack.settings, crowd.seen)
            same_answers(before, asked_again(stack.settings, before, 200))
            found = assert_tables_are_the_fold_of_the_log(stack.settings)
            assert_audit_finds_nothing(stack.settings)
    results.note("dropped database", records=found.records, before=len(before), **counted(crowd.seen))


def goes_on(crowd: Crowd) -> None:
    """Commands take effect again."""
    there = crowd.accepted
    until(lambda: crowd.accepted > there + 100, 180, "no command takes effect any more")


def dropped_and_made_again(admin_url: str, database: str) -> None:
    name = sql.Identifier(database.rpartition("/")[2])
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        time.sleep(GONE_S)
        admin.execute(sql.SQL("CREATE DATABASE {}").format(name))


def same_answers(before: Sequence[Op], again: Sequence[Op]) -> None:
    """Each answer of a key is one that the same command had before."""
    known: dict[tuple[str, str, int | None], set[tuple[int, int, int, str]]] = {}
    for op in before:
        known.setdefault((op.key, op.body, op.expected), set()).add((op.status, op.version, op.base, op.code))
    assert len(again) > 100
    for op in again:
        assert {(op.status, op.version, op.base, op.code)} <= known[op.key, op.body, op.expected], op


class Readers:
    """Ask the API for every model as fast as they can; `answers` counts what came."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self.answers = settings, Counter[str]()

    @contextmanager
    def reading(self) -> Iterator[None]:
        done = threading.Event()
        threads = [threading.Thread(target=self._read, args=(model, done), daemon=True) for model in MODELS]
        for thread in threads:
            thread.start()
        yield
        done.set()
        for thread in threads:
            thread.join(30)

    def _read(self, model: str, done: threading.Event) -> None:
        connection = HTTPConnection(self._settings.api_host, self._settings.api_port, timeout=15)
        while not done.wait(0.01):
            connection.request("GET", f"/v1/retail/{model}?limit=20")
            answer = connection.getresponse()
            body = answer.read()
            rows = answer.status == HTTPStatus.OK and bool(json.loads(body))
            detached = answer.headers.get("Refold-Detached")
            self.answers[
                "rows" if rows and detached is None else f"{model} {answer.status} {detached} {body[:200]!r}"
            ] += 1
        connection.close()


@pytest.mark.timeout(900)
def test_tables_are_verified_rebuilt_and_rolled_back_under_load_and_no_reader_meets_an_error(running: Running) -> None:
    settings, readers, took = running.settings, Readers(running.settings), list[float]()
    with running.under_load(PER_SECOND / 8) as load:  # eight commands a basket
        first, began = load.sent, time.monotonic()
        until(lambda: load.sent > first + 200, 120, "no load")
        with readers.reading():
            assert refold(settings, "replay", "verify", "--all", "--json")[0] == 0
            assert refold(settings, "replay", "rebuild", "store_daily", "product_sales", "--execute")[0] == 0
            for _ in range(4):
                asked = time.monotonic()
                code, _, words = refold(settings, "replay", "rollback", "store_daily", "product_sales", "--execute")
                took.append(time.monotonic() - asked)
                assert code == 0, words
            assert refold(settings, "replay", "verify", "--all", "--json")[0] == 0
        rate = (load.sent - first) * 8 / (time.monotonic() - began)
    assert set(readers.answers) == {"rows"}
    assert_equal_totals(settings, load.sent)
    assert refold(settings, "replay", "verify", "--all", "--json")[0] == 0
    assert refold(settings, "replay", "prune", "--execute")[0] == 0
    results.note(
        "verified and rolled back under load",
        answers=readers.answers["rows"],
        commands_per_s=round(rate),
        rollback_s=round(max(took), 1),
    )
