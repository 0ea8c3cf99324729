"""Tests that every entry point refuses a pooler that keeps no session for its client, and works with one that does."""

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from refold.api.cli.stack import Stack
from refold.api.embedded.ports import HOST
from refold.api.http.wire.database import Database
from refold.api.http.wire.lookups import Lookups
from refold.streams import refusals
from refold.streams.errors import DatabasePooled, DatabaseRefused
from refold.streams.postgres import pooling
from refold.streams.postgres.connection import connect, connect_async, connect_patiently
from refold.streams.postgres.session import READER
from tests.conftest import settings_for
from tests.streams.pooler import Lent, pooler
from tests.streams.test_sessions import HOSTILE, RELIED_ON, _is_right

POOLERS = ("ours", "pgbouncer")
NOBODY = 65534


@pytest.fixture(autouse=True)
def nothing_believed() -> None:
    """What was found out of an address before is not known."""
    pooling._believed.clear()


@contextmanager
def before(kind: str, url: str, lent: Lent, ignored: str = "options") -> Iterator[str]:
    """A pooler before this database: the tests' own, or PgBouncer where it is installed."""
    if kind == "ours":
        with pooler(url, lent, ignored) as address:
            yield address
        return
    program = shutil.which("pgbouncer")
    if program is None:
        pytest.skip("PgBouncer is not installed")
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        port = _started(opened, program, folder, url, lent, ignored)
        yield url.replace(f":{urlsplit(url).port}/", f":{port}/")


def _started(opened: ExitStack, program: str, folder: Path, url: str, lent: str, ignored: str) -> int:
    at = urlsplit(url)
    with socket.create_server((HOST, 0)) as free:
        port: int = free.getsockname()[1]
    (folder / "users.txt").write_text(f'"{at.username}" "{at.password}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={at.hostname} port={at.port}\n[pgbouncer]\nlisten_addr={HOST}\nlisten_port={port}\nunix_socket_dir=\n"
        f"auth_type=plain\nauth_file={folder}/users.txt\npool_mode={lent}\ndefault_pool_size=50\nignore_startup_parameters={ignored}\n"
    )
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)
    user = NOBODY if os.geteuid() == 0 else None  # it refuses to run as root
    process = subprocess.Popen([program, folder / "pgbouncer.ini"], user=user, stderr=subprocess.DEVNULL)
    opened.callback(process.wait)
    opened.callback(process.terminate)
    for _ in range(1200):
        with suppress(OSError), socket.create_connection((HOST, port)):
            return port
        time.sleep(0.05)
    raise AssertionError("PgBouncer does not listen")


@pytest.mark.parametrize("kind", POOLERS)
@pytest.mark.parametrize("lent", ["transaction", "statement"])
def test_sessions_lent_for_less_than_a_connection_are_refused(database: str, kind: str, lent: Lent) -> None:
    with before(kind, database, lent) as url:
        for _ in range(3):
            with pytest.raises(DatabasePooled, match="gives each transaction, or each statement, another session"):
                connect(url, application_name="test")
        with pytest.raises(DatabasePooled):
            asyncio.run(connect_async(url, "test", READER))


@pytest.mark.parametrize("kind", POOLERS)
def test_a_pooler_that_takes_no_options_is_refused_and_says_what_to_set(database: str, kind: str) -> None:
    with before(kind, database, "session", ignored="extra_float_digits") as url:
        with pytest.raises(DatabaseRefused, match="unsupported startup parameter: options") as refused:
            connect_patiently(url, application_name="test")
        assert "ignore_startup_parameters = options" in refused.value.remedy


@pytest.mark.parametrize("kind", POOLERS)
def test_a_session_of_a_pooler_that_drops_our_options_is_told_them_again(database: str, kind: str) -> None:
    name = database.rpartition("/")[2]
    with psycopg.connect(database, autocommit=True) as admin:
        for setting, value in HOSTILE.items():
            if not setting.endswith("_timeout"):
                admin.execute(f'ALTER DATABASE "{name}" SET {setting} = {value}'.encode())
    with before(kind, database, "session") as url:
        with connect(url, application_name="test", by_key=True) as db:
            _is_right(db.execute(RELIED_ON).fetchone() or ())
            assert db.execute("SHOW transaction_isolation").fetchone() == ("read committed",)
            assert db.execute("SHOW enable_seqscan").fetchone() == ("off",)
        asyncio.run(_the_api_reads(url))


async def _the_api_reads(url: str) -> None:
    pool, lookups = Database(url), Lookups(url)
    await pool.open()
    try:
        for asked in (pool.fetch, lookups.fetch):
            _is_right((await asked(RELIED_ON))[0])
            assert await asked("SHOW statement_timeout") == [("5s",)]
    finally:
        await lookups.close()
        await pool.close()


def test_a_role_that_ran_before_waits_until_the_pooler_is_put_right(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "ADMISSION", refusals.Admission(waits=True, granted=True))
    with (
        pooler(database, "transaction") as url,
        pytest.raises(psycopg.OperationalError, match="pooler") as told,
    ):
        connect(url, application_name="test")
    assert refusals.is_away(told.value)


def test_a_role_that_may_connect_once_is_taken_for_unpooled(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("CREATE ROLE once LOGIN PASSWORD 'right' CONNECTION LIMIT 1")
    try:
        connect(f"postgresql://once:right@{database.rpartition('@')[2]}", application_name="test").close()
    finally:
        with psycopg.connect(database, autocommit=True) as admin:
            admin.execute("DROP ROLE once")


def test_the_whole_of_refold_runs_behind_a_pooler_that_lends_sessions(
    kafka: str, database: str, tmp_path: Path
) -> None:
    with (
        pooler(database, "session") as url,
        Stack(settings_for(kafka, url, tmp_path / "data"), lambda _: None) as stack,
    ):
        stack.wait_until_ready()
        answer = httpx.post(
            f"{stack.api_url}/v1/commands/retail/basket/OpenBasket",
            json={"basket_id": "7", "store_id": 330},
            headers={"Idempotency-Key": "one", "Prefer": "wait=30"},
            timeout=60,
        )
        assert answer.status_code == 201, answer.text
        at = answer.headers["Refold-Position"]
        until = time.monotonic() + 60
        while True:  # until the models have made their tables
            row = httpx.get(f"{stack.api_url}/v1/retail/baskets/7", headers={"Refold-Min-Position": at}, timeout=60)
            if row.status_code == 200 or time.monotonic() > until:
                break
            time.sleep(0.2)
        assert row.status_code == 200, row.text
