"""Real servers: found again after their parent was killed, restarted where they were, stopped whole."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from refold.streams.embedded.kafka import answers_api_versions
from refold.streams.embedded.removal import remove_data
from refold.streams.embedded.servers import Endpoints, Servers, connected, find_running
from refold.streams.errors import DataInUse
from refold.streams.settings import Settings
from tests.conftest import PREFIX

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]
PARENT = "import sys, time, pathlib; from refold.streams.embedded.servers import Servers; "
PARENT += "s = Servers(pathlib.Path(sys.argv[1]), print); s.start(); print('up', flush=True); time.sleep(600)"


@pytest.fixture
def data() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    folder.chmod(0o755)
    yield folder
    remove_data(folder)


def eventually(holds: Callable[[], bool], bound_s: float = 30.0) -> bool:
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


def test_a_life_of_the_servers(data: Path) -> None:
    # a parent that is killed leaves its servers running
    with subprocess.Popen([sys.executable, "-c", PARENT, str(data)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        assert "up\n" in iter(parent.stdout.readline, "")
        with pytest.raises(DataInUse):
            Servers(data, lambda _: None).start()
        parent.kill()
    orphans = find_running(data)
    assert orphans.kafka
    assert connected(Settings(data=data)).kafka == orphans.kafka

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


def test_the_password_is_private_and_asked_for(servers: Endpoints) -> None:
    url = servers.database_url or ""
    user, _, address = url.removeprefix("postgresql://").partition("@")
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://{user.partition(':')[0]}:wrong@{address}")


def test_refold_dev_prints_addresses_and_leaves_nothing_behind(data: Path) -> None:
    command = [sys.executable, "-m", "refold.api.cli.app", "dev", "--services-only"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REFOLD_")}
    with subprocess.Popen(
        command, env=environment | {"REFOLD_DATA": str(data)}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        printed = dict(process.stdout.readline().strip().split("=", 1) for _ in range(2))
        endpoints = Endpoints(printed["REFOLD_KAFKA"], printed["REFOLD_DATABASE_URL"])
        assert endpoints == find_running(data)
        assert kafka_answers(endpoints)
        assert postgres_answers(endpoints)
        process.terminate()
        assert process.wait(30) == 0
    assert find_running(data) == Endpoints(None, None)
