"""Every command of docs/backup.md: dumps under load, the database restored in place and beside, the log restored."""

import json
import os
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from refold.api.cli import exits
from refold.api.cli.app import run
from refold.api.cli.stack import Stack
from refold.api.embedded.servers import Endpoints, Servers
from refold.schemas.identity import command_uuid
from refold.streams.operation.lag import LagReader
from refold.streams.postgres.connection import connect
from refold.streams.reactors.declared import reacted_categories
from refold.streams.settings import Settings
from tests.conftest import fresh_database, settings_for
from tests.e2e import recipes, results
from tests.e2e.agreement import assert_agreement, outcomes
from tests.e2e.clients import Crowd, asked_again, counted
from tests.e2e.history import Op
from tests.e2e.oracle import DOMAINS, assert_tables_are_the_fold_of_the_log
from tests.e2e.tables import until
from tests.e2e.test_restore import answers

ALL = os.environ.get("RESTORES") == "all"
PAUSE_S = 2.0


@pytest.mark.e2e
@pytest.mark.skipif(
    "RESTORES" not in os.environ, reason="two minutes with servers of its own: `make test-chaos` runs it"
)
@pytest.mark.timeout(600)
def test_every_recipe_of_the_backup_page(
    servers: Endpoints,
    template: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert recipes.names() == ["dump", "in-place", "beside", "log", "fold-anew"]
    assert servers.database_url
    admin = servers.database_url
    for database in fresh_database(template):
        settings = settings_for(servers.kafka, database, tmp_path / "data")
        begun, seen = under_load(settings, admin, tmp_path)
        acknowledged = [op for op in seen if op.type != "info" and op.completed < begun]
        before = answered(settings, seen)
        recipes.cook("log", settings, admin, tmp_path)
        assert "log-shorter" in what_status_says(settings, monkeypatch, capsys)
        drop_old(admin, settings)
        recipes.cook("beside", settings, admin, tmp_path)
        goes_on(settings, acknowledged, seen, before)
        if ALL:
            recipes.cook("log", settings, admin, tmp_path)
            recipes.cook("fold-anew", settings, admin, tmp_path)
            goes_on(settings, acknowledged, seen, before)
            with Servers(tmp_path / "other", lambda _: None, postgres=False) as other:
                drop_old(admin, settings)
                elsewhere = settings.with_servers(other.endpoints().kafka or "", settings.dsn())
                recipes.cook("log", elsewhere, admin, tmp_path)
                recipes.cook("beside", elsewhere, admin, tmp_path)
                goes_on(elsewhere, acknowledged, seen, before)
        drop_old(admin, settings)
        results.note("backup", acknowledged=len(acknowledged), **counted(seen))


def under_load(settings: Settings, admin: str, folder: Path) -> tuple[float, list[Op]]:
    """Dump and restore the database while clients are at work; when the dump began, and what they saw."""
    with Stack(settings, lambda _: None) as stack:
        stack.wait_until_ready()
        with Crowd(stack.settings, 4, 3) as crowd:
            until(lambda: answers(settings) > 60, 60, "nothing is answered")
            begun = time.monotonic()
            recipes.cook("dump", settings, admin, folder)
            time.sleep(PAUSE_S)
            recipes.cook("dump", settings, admin, folder)  # once more: it grows
            time.sleep(PAUSE_S)
            for name in ("in-place", "beside"):
                there = answers(settings)
                recipes.cook(name, settings, admin, folder)
                until(lambda: answers(settings) > there + 20, 120, f"{name}: the tables did not come back")  # noqa: B023 - called before the loop goes on
                time.sleep(PAUSE_S)
        assert_agreement(stack.settings, crowd.seen)
        assert_tables_are_the_fold_of_the_log(stack.settings)
        return begun, crowd.seen


def goes_on(settings: Settings, acknowledged: Sequence[Op], seen: Sequence[Op], before: dict[object, object]) -> None:
    """What was acknowledged before the dump is there with its answer, no answer is another, and what is lost can be sent again."""
    with Stack(settings, lambda _: None) as stack:
        stack.wait_until_ready()
        until(lambda: nothing_waits(stack.settings), 120, "commands behind the cut are not decided")
        found = assert_tables_are_the_fold_of_the_log(stack.settings)
        restored = answered(settings, seen)
        assert {(op.stream, op.key) for op in acknowledged} <= restored.keys()
        assert restored.items() <= before.items()
        assert len(restored) < len(before), "nothing lay behind the cut: the test shows nothing"
        again = asked_again(stack.settings, seen)
        assert all(op.type != "info" for op in again)
        after = assert_tables_are_the_fold_of_the_log(stack.settings)
        assert found.outcomes.items() <= after.outcomes.items()


def nothing_waits(settings: Settings) -> bool:
    """Every command is decided, and every event folded: a log that still grows is compared with nothing."""
    with closing(connect(settings.dsn(), application_name="test")) as db:
        lags = LagReader(settings, DOMAINS, reacted_categories(DOMAINS)).read(db)
    return bool(lags) and not any(lag.records for lag in lags)


def answered(settings: Settings, seen: Sequence[Op]) -> dict[object, object]:
    """Each outcome that the tables have, by stream and key."""
    return dict(outcomes(settings, {str(command_uuid(op.key)): op.key for op in seen}))


def what_status_says(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    capsys.readouterr()
    assert run(["status", "--json"]) == exits.DIFFERENT
    return [found["code"] for found in json.loads(capsys.readouterr().out)["findings"]]


def drop_old(admin_url: str, settings: Settings) -> None:
    """The database that a swap has left."""
    name = settings.dsn().rpartition("/")[2]
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(f"{name}_old")))
