"""Fixtures of every test: one embedded Kafka and Postgres a run, a database and a topic prefix a test. Fast tests run first.

`make test` is three such runs side by side, each with some of the files: tests on servers wait for most of their time.
The longest files begin first, so that all runs end together.
"""

import itertools
import os
import random
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest
from httpx._config import DEFAULT_TIMEOUT_CONFIG
from psycopg import sql
from pydantic import SecretStr

from refold.api.embedded.removal import remove_abandoned, remove_data
from refold.api.embedded.servers import Endpoints, Servers
from refold.api.http.doors.principal import ASKS, EVERYBODY
from refold.streams import standing
from refold.streams.settings import Settings

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "alone")
PREFIX = f"refold-test-{WORKER}-"
TEMPLATE = f"refold_template_{WORKER}"
hypothesis.settings.register_profile("refold", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("refold")
for phase in ("connect", "read", "write", "pool"):
    setattr(DEFAULT_TIMEOUT_CONFIG, phase, 60.0)  # likewise: httpx gives up after five seconds
PORTS = itertools.count(random.SystemRandom().randrange(10_000, 30_000))
"""Ports for APIs that other processes open: below those that the system gives out, so nobody gets one between choice and use."""

LONGEST = (
    "test_chaos.py",
    "test_kills.py",
    "test_stuck_workers.py",
    "test_killed_workers.py",
    "test_demo.py",
    "test_newer_code.py",
    "test_deploys.py",
    "test_flipped_bits.py",
    "test_standstill.py",
    "test_killed_evolve.py",
    "test_replay_faults.py",
    "test_repair_command.py",
    "test_prepare_command.py",
    "test_rebuild_command.py",
    "test_refusals.py",
    "test_any_name.py",
    "test_commands_on_any_database.py",
)
"""The files that take longest. They come first among their like, so that no run is left alone with one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs servers, and run it after everything that does not; whole processes come last."""
    for item in items:
        if "servers" in getattr(item, "fixturenames", ()):
            item.add_marker("servers")
    items.sort(key=_place)


def _place(item: pytest.Item) -> tuple[bool, bool, int]:
    name = item.path.name
    rank = LONGEST.index(name) if name in LONGEST else len(LONGEST)
    return bool(item.get_closest_marker("e2e")), bool(item.get_closest_marker("servers")), rank


@pytest.fixture(scope="session", autouse=True)
def local_door() -> None:
    """Who asks the application without a server is let in as by the door `local`."""
    ASKS.set(EVERYBODY)


@pytest.fixture(autouse=True)
def nothing_waits() -> None:
    """What a test before left waiting in this process is not this one's."""
    standing._WAITS.clear()


@pytest.fixture(scope="session")
def servers() -> Iterator[Endpoints]:
    """Kafka and Postgres: those that REFOLD_KAFKA and REFOLD_DATABASE_URL name, else embedded ones of this run."""
    kafka, database_url = os.environ.get("REFOLD_KAFKA"), os.environ.get("REFOLD_DATABASE_URL")
    if kafka and database_url:
        yield Endpoints(kafka, database_url)
        return
    room = Path(tempfile.gettempdir())
    remove_abandoned(room, PREFIX)
    data = Path(tempfile.mkdtemp(prefix=PREFIX, dir=room))
    data.chmod(0o755)  # ours, made a moment ago: lets the user that Postgres runs as pass through
    with Servers(data, lambda _: None) as running:
        endpoints = running.endpoints()
        survive_no_power_cut(endpoints)
        yield endpoints
    remove_data(data)


def survive_no_power_cut(endpoints: Endpoints) -> None:
    """These servers die with the run, so nothing waits for the disk. What is committed still outlives `kill -9`."""
    with psycopg.connect(endpoints.database_url or "", autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET fsync = off")
        admin.execute("ALTER SYSTEM SET full_page_writes = off")
        admin.execute("SELECT pg_reload_conf()")


@pytest.fixture(scope="session")
def kafka(servers: Endpoints) -> str:
    """Kafka's bootstrap servers."""
    assert servers.kafka
    return servers.kafka


@pytest.fixture(scope="session")
def template(servers: Endpoints) -> str:
    """The URL of a database that holds the platform's tables and nothing else; databases of tests are copies of it."""
    from refold.streams.postgres.control_tables import bootstrap

    assert servers.database_url
    with psycopg.connect(servers.database_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(TEMPLATE)))
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    with psycopg.connect(database_named(servers.database_url, TEMPLATE)) as connection:
        bootstrap(connection)
    return servers.database_url


@pytest.fixture
def database(template: str) -> Iterator[str]:
    """The URL of a fresh database with the platform's tables."""
    yield from fresh_database(template)


@pytest.fixture(scope="module")
def module_database(template: str) -> Iterator[str]:
    """The URL of a fresh database shared by one file's tests."""
    yield from fresh_database(template)


@pytest.fixture
def topic_prefix() -> str:
    """A prefix that no other test's topics have."""
    return f"t{uuid.uuid4().hex[:10]}."


@pytest.fixture
def settings(kafka: str, database: str, topic_prefix: str, tmp_path: Path) -> Settings:
    """Settings with servers, a database and topics of this test's own."""
    return settings_for(kafka, database, tmp_path / "data", topic_prefix=topic_prefix)


def settings_for(kafka: str | None, database: str, data: Path, **more: Any) -> Settings:
    """Settings of a stack of its own on shared servers: its topics are nobody else's."""
    own: dict[str, Any] = {"topic_prefix": f"t{uuid.uuid4().hex[:10]}.", "api_port": next(PORTS)}
    return Settings(kafka=kafka, database_url=SecretStr(database), data=data, **(own | more))


def fresh_database(admin_url: str) -> Iterator[str]:
    """Clone the template; drop the clone afterwards."""
    name = f"t_{uuid.uuid4().hex}"
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(TEMPLATE)))
    yield database_named(admin_url, name)
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def database_named(url: str, name: str) -> str:
    """The same server, another database."""
    return url.rpartition("/")[0] + f"/{name}"
