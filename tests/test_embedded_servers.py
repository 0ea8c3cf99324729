"""Real servers: found again after their parent was killed, restarted where they were, stopped whole."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import LiteralString

import psutil
import psycopg
import pytest

from refold.api.cli.stack import Stack
from refold.api.embedded.belonging import is_running
from refold.api.embedded.errors import DataInUse
from refold.api.embedded.kafka import answers_api_versions
from refold.api.embedded.postgres import PostgresServer
from refold.api.embedded.removal import remove_data
from refold.api.embedded.servers import Endpoints, Servers, connected, find_running
from refold.streams.errors import DatabaseRefused
from refold.streams.settings import Settings
from tests.another_terminal import another_terminal
from tests.conftest import PREFIX

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]
PARENT = "import sys, time, pathlib; from refold.api.embedded.servers import Servers; "
PARENT += "s = Servers(pathlib.Path(sys.argv[1]), print); s.start(); print('up', flush=True); time.sleep(600)"


@pytest.fixture
def data() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    folder.chmod(0o755)
    yield folder
    remove_data(folder)


def eventually(holds: Callable[[], bool], bound_s: float = 120.0) -> bool:
    deadline = time.monotonic() + bound_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def postgres_answers(endpoints: Endpoints) -> bool:
    try:
        with psycopg.connect(endpoints.database_url or "") as connection:
            return connection.execute("SELECT current_setting('fsync')").fetchone() == ("on",)
    except psycopg.OperationalError:
        return False


def kafka_answers(endpoints: Endpoints) -> bool:
    return answers_api_versions(int((endpoints.kafka or "").rpartition(":")[2]))


def lives(pid: int) -> bool:
    """A zombie does not: a killed parent's server that ended waits for another process to reap it, for as long as that takes."""
    try:
        return is_running(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def contents(data: Path) -> dict[str, bytes]:
    """Of what is ours in the folder: not of what the servers write all the time."""
    files = [path for path in data.glob("**/*") if path.is_file() and not {"log", "logs", "cluster"} & set(path.parts)]
    return {str(path.relative_to(data)): path.read_bytes() for path in files}


def test_a_life_of_the_servers(data: Path) -> None:
    # a parent that is killed leaves its servers running
    with subprocess.Popen([sys.executable, "-c", PARENT, str(data)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        assert "up\n" in iter(parent.stdout.readline, "")
        before = contents(data)
        for second in (Servers(data, lambda _: None), Stack(Settings(data=data), lambda _: None)):
            with pytest.raises(DataInUse):
                second.__enter__()
        assert contents(data) == before, "a refusal changes nothing"
        orphans = find_running(data)
        assert kafka_answers(orphans)
        assert postgres_answers(orphans)
        parent.kill()
    assert find_running(data) == orphans
    assert connected(Settings(data=data)).kafka == orphans.kafka

    # also without their records
    (data / "kafka/pid.json").unlink()
    (data / "postgres/pid.json").write_text('{"pid": 1')
    assert find_running(data) == orphans

    # the next parent finds them, with their addresses
    with Servers(data, lambda _: None) as servers:
        endpoints, pids = servers.endpoints(), servers.pids()
        assert endpoints == orphans
        assert kafka_answers(endpoints)
        assert postgres_answers(endpoints)

        # a server that is killed comes back where its clients look for it
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: kafka_answers(endpoints) and postgres_answers(endpoints))
        assert servers.endpoints() == endpoints
        assert set(servers.pids().values()).isdisjoint(pids.values())

    assert find_running(data) == Endpoints(None, None)
    assert not postgres_answers(endpoints)


def test_servers_start_whatever_became_of_their_database_so_that_a_hand_can_mend_it(data: Path) -> None:
    def by_hand(endpoints: Endpoints, *statements: LiteralString) -> None:
        ours = "-c default_transaction_read_only=off -c statement_timeout=0"
        with psycopg.connect(endpoints.database_url or "", dbname="postgres", options=ours, autocommit=True) as db:
            for statement in statements:
                db.execute(statement)

    with Servers(data, lambda _: None, kafka=False) as servers:
        by_hand(servers.endpoints(), "ALTER ROLE refold SET default_transaction_read_only = on")
        by_hand(servers.endpoints(), "ALTER DATABASE refold ALLOW_CONNECTIONS false")
    with Servers(data, lambda _: None, kafka=False) as servers:
        assert not postgres_answers(servers.endpoints())
        by_hand(servers.endpoints(), "DROP DATABASE refold")
    with Servers(data, lambda _: None, kafka=False) as servers:
        by_hand(servers.endpoints(), "CREATE DATABASE refold")
        assert postgres_answers(servers.endpoints())
        by_hand(servers.endpoints(), "ALTER ROLE refold PASSWORD 'another'")
    with pytest.raises(DatabaseRefused, match="password") as refused:
        Servers(data, lambda _: None, kafka=False).start()
    assert str(data / "postgres/password") in refused.value.remedy


@pytest.mark.parametrize("seconds", [0.3, 1.5, 4.0])
def test_a_folder_whose_start_was_killed_at_any_moment_mends_itself(data: Path, seconds: float) -> None:
    """Killed while it fetches, formats, creates or waits: what is left runs on, half done, and the next start is whole."""
    with subprocess.Popen([sys.executable, "-c", PARENT, str(data)], stdout=subprocess.DEVNULL) as parent:
        time.sleep(seconds)
        parent.kill()
    for record in data.glob("*/pid.json"):
        record.unlink()
    with Servers(data, lambda _: None) as servers:
        assert kafka_answers(servers.endpoints())
        assert postgres_answers(servers.endpoints())
        pids = servers.pids()
    assert not any(lives(pid) for pid in pids.values())
    assert find_running(data) == Endpoints(None, None)


def test_a_lock_of_the_dead_whose_pid_is_another_programs_stops_nobody(data: Path) -> None:
    """Postgres would refuse: the pid in its lock lives and is of the user that it runs as."""
    with Servers(data, lambda _: None, kafka=False) as servers:
        cluster = PostgresServer(data)._mark().works_in
        (lock,) = cluster.glob("postmaster.pid")
        text, owner = lock.read_text(), lock.stat()
        assert servers.pids()
    account = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    with subprocess.Popen(["sleep", "60"], cwd="/", **account) as foreign:  # type: ignore[call-overload]  # the arguments differ by the user that runs the tests
        lock.write_text("\n".join([str(foreign.pid), *text.splitlines()[1:]]) + "\n")
        os.chown(lock, owner.st_uid, owner.st_gid)
        with Servers(data, lambda _: None, kafka=False) as servers:
            assert postgres_answers(servers.endpoints())
        assert foreign.poll() is None
        foreign.kill()


def test_of_two_starts_at_once_one_wins(data: Path) -> None:
    program = PARENT.replace(
        "Servers(pathlib.Path(sys.argv[1]), print)", "Servers(pathlib.Path(sys.argv[1]), print, kafka=False)"
    )
    command = [sys.executable, "-c", program, str(data)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as one,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as two,
    ):
        assert eventually(lambda: (one.poll() is None) != (two.poll() is None))
        winner = one if one.poll() is None else two
        assert winner.stdout
        assert "up\n" in iter(winner.stdout.readline, "")
        assert find_running(data).database_url
        winner.kill()


def test_the_password_is_private_and_asked_for(servers: Endpoints) -> None:
    url = servers.database_url or ""
    user, _, address = url.removeprefix("postgresql://").partition("@")
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://{user.partition(':')[0]}:wrong@{address}")


def test_refold_dev_prints_addresses_and_leaves_nothing_behind(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-m", "refold.api.cli.app", "dev", "--services-only"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REFOLD_")}
    with subprocess.Popen(
        command, env=environment | {"REFOLD_DATA": str(data)}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        try:
            printed = dict(process.stdout.readline().strip().split("=", 1) for _ in range(2))
            endpoints = Endpoints(printed["REFOLD_KAFKA"], printed["REFOLD_DATABASE_URL"])
            assert endpoints == find_running(data)
            assert kafka_answers(endpoints)
            assert postgres_answers(endpoints)
            another_terminal(data, endpoints, monkeypatch, capsys)
        finally:
            process.terminate()  # else the end of the block would wait for it
        assert process.wait(60) == 0
    assert find_running(data) == Endpoints(None, None)
