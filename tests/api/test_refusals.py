"""Every role and command reports a server's refusal in one sentence, with the exit code of a precondition."""

import asyncio
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator

import psycopg
import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType
from litestar import Litestar
from litestar.testing import TestClient
from psycopg import sql
from pydantic import SecretStr

from refold.api.cli import exits
from refold.api.cli.stack import Stack
from refold.api.http.commands import preparation
from refold.api.http.commands.preparation import Preparation
from refold.api.http.resources import Resources
from refold.streams.domain import Domains
from refold.streams.errors import LogShorter, Refused, WrongSettings
from refold.streams.kafka import clients
from refold.streams.log.waiting import when_kafka_answers
from refold.streams.postgres.connection import connect
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.settings import Settings
from tests.conftest import database_named
from tests.streams.pooler import pooler

ROLES = (("worker", "handler"), ("worker", "core"), ("worker", "models"), ("worker", "reactors"), ("api",))
COMMANDS = (("status",), ("replay", "rebuild", "--all"), ("schemas", "log-check"), ("send", "retail.basket.OpenBasket"))
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(settings: Settings) -> Run:
    """Runs the `refold` command with other settings; its exit code and what it said."""

    def run(*arguments: str, **other: str) -> tuple[int, str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("REFOLD_")}
        environment |= settings.environment() | other
        if arguments[0] == "send":
            arguments = (*arguments, "--data", '{"basket_id": "7", "store_id": 330}')
        done = subprocess.run(
            [sys.executable, "-m", "refold.api.cli.app", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def _is_one_sentence(found: tuple[int, str], code: str, said: str) -> None:
    exit_code, text = found
    assert exit_code == exits.PRECONDITION, text
    assert "Traceback" not in text
    lines = [line for line in text.splitlines() if code in line]
    assert len(lines) == 1, text
    assert said in lines[0]


@pytest.mark.parametrize("arguments", [*ROLES, *COMMANDS], ids=" ".join)
def test_a_database_that_does_not_exist(run: Run, settings: Settings, arguments: tuple[str, ...]) -> None:
    found = run(*arguments, REFOLD_DATABASE_URL=database_named(settings.dsn(), "absent"))
    _is_one_sentence(found, "database-refused", 'database "absent" does not exist')


@pytest.mark.parametrize("arguments", [*ROLES, *COMMANDS], ids=" ".join)
def test_a_pooler_that_keeps_no_session(run: Run, settings: Settings, arguments: tuple[str, ...]) -> None:
    with pooler(settings.dsn(), "transaction") as url:
        found = run(*arguments, REFOLD_DATABASE_URL=url)
    _is_one_sentence(found, "database-pooled", "a pooler gives each transaction, or each statement, another session")


def test_refold_sql_is_refused_a_pooler_that_keeps_no_session(run: Run, settings: Settings) -> None:
    with pooler(settings.dsn(), "transaction") as url:
        _is_one_sentence(run("sql", "SELECT 1", REFOLD_ANALYST_URL=url), "database-pooled", "a pooler gives each")


def test_a_supervised_role_that_is_refused_ends_the_supervisor(run: Run, settings: Settings) -> None:
    name, _, rest = settings.dsn().rpartition("@")
    wrong = f"{name.rpartition(':')[0]}:wrong@{rest}"
    code, text = run("worker", REFOLD_DATABASE_URL=wrong)
    assert code == exits.PRECONDITION
    assert "password authentication failed" in text
    assert "Traceback" not in text
    assert "starting it again" not in text


def test_a_stack_says_what_its_processes_refuse(settings: Settings) -> None:
    absent = settings.model_copy(update={"database_url": SecretStr(database_named(settings.dsn(), "absent"))})
    with Stack(absent, lambda _: None) as stack, pytest.raises(Refused, match='database "absent" does not exist'):
        stack.wait_until_ready()


@pytest.fixture
def reader(settings: Settings) -> Iterator[str]:
    """The URL of a role that may read what is there, and create nothing."""
    name, database = f"r_{uuid.uuid4().hex}", settings.dsn()
    role = sql.Identifier(name)
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'right'").format(role))
        admin.execute(sql.SQL("GRANT USAGE ON SCHEMA refold TO {}").format(role))
        admin.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA refold TO {}").format(role))
        admin.execute(sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(role))
        yield f"postgresql://{name}:right@{database.rpartition('@')[2]}"
        admin.execute(sql.SQL("DROP OWNED BY {}").format(role))
        admin.execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.mark.parametrize("role", ["handler", "core", "models", "reactors"])
def test_a_role_that_may_not_create_or_write(run: Run, reader: str, role: str) -> None:
    _is_one_sentence(run("worker", role, REFOLD_DATABASE_URL=reader), "database-refused", "permission denied")


def test_the_api_is_prepared_by_a_role_that_only_reads(settings: Settings, reader: str, domains: Domains) -> None:
    _prepare(settings, domains)
    as_reader = settings.model_copy(update={"database_url": SecretStr(reader)})
    _prepare(as_reader, domains)


def test_topics_that_would_collide_with_others(run: Run, settings: Settings) -> None:
    word = f"t{uuid.uuid4().hex[:8]}"
    _make(settings, f"{word}_retail_basket.events")
    _is_one_sentence(run("worker", "core", REFOLD_TOPIC_PREFIX=f"{word}."), "kafka-refused", "collide")


@pytest.mark.parametrize("kind", ["commands", "events"])
def test_topics_that_do_not_take_the_largest_record(run: Run, settings: Settings, kind: str) -> None:
    topic = f"{settings.topic_prefix}retail.basket.{kind}"
    _make(settings, topic, **{"max.message.bytes": "2000"})
    for role in ("handler", "core"):
        _is_one_sentence(run("worker", role), "log-wrong-settings", f"{topic} has max.message.bytes=2000")


def test_the_api_takes_no_command_while_the_log_would_lose_it_or_is_not_that_of_the_tables(
    settings: Settings, domains: Domains, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "_LOOK_S", 0.05)
    _prepare(settings, domains)
    topic, admin = f"{settings.topic_prefix}retail.basket.events", clients.admin(settings.kafka_servers())

    def keeps(value: str) -> None:
        entry = ConfigEntry("cleanup.policy", value, incremental_operation=AlterConfigOpType.SET)
        changed = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        admin.incremental_alter_configs([changed])[changed].result(60)

    def stands(offset: int) -> None:
        with psycopg.connect(settings.dsn(), autocommit=True) as db:
            db.execute("DELETE FROM refold.positions WHERE grp = 'core'")
            db.execute(
                "INSERT INTO refold.positions (grp, topic, part, next_offset) VALUES ('core', %s, 0, %s)",
                (topic, offset),
            )

    def becomes(prepared: Preparation, code: str | None) -> None:
        until = time.monotonic() + 60
        while (prepared.problem and prepared.problem.code) != code:
            assert time.monotonic() < until
            time.sleep(0.02)

    async def watched() -> None:
        prepared = Preparation(settings, domains)
        await prepared.open()
        await prepared.ready(60)
        keeps("compact")
        await asyncio.to_thread(becomes, prepared, "log-wrong-settings")
        with pytest.raises(WrongSettings, match=f"{topic} has cleanup.policy=compact"):
            prepared.check()
        keeps("delete")
        await asyncio.to_thread(becomes, prepared, None)
        prepared.check()
        await asyncio.to_thread(stands, 99)  # a log that ends before what the tables have
        await asyncio.to_thread(becomes, prepared, "log-shorter")
        with pytest.raises(LogShorter, match=f"{topic}/0 ends at 0, before the stored position 99"):
            prepared.check()
        await asyncio.to_thread(stands, 0)
        await asyncio.to_thread(becomes, prepared, None)
        await prepared.close()

    asyncio.run(watched())


def test_an_api_that_may_not_read_what_commands_need_is_not_ready(settings: Settings, domains: Domains) -> None:
    _prepare(settings, domains)
    with connect(settings.dsn(), application_name="test") as db:
        bootstrap(db)
    name, database = f"r_{uuid.uuid4().hex}", settings.dsn()
    role = sql.Identifier(name)
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'right'").format(role))
        admin.execute(sql.SQL("GRANT USAGE ON SCHEMA refold TO {}").format(role))
        admin.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA refold TO {}").format(role))
        url = SecretStr(f"postgresql://{name}:right@{database.rpartition('@')[2]}")
        with TestClient(Resources(settings.model_copy(update={"database_url": url}), domains).application()) as client:
            _until(client, ok=True)
            admin.execute(sql.SQL("REVOKE SELECT ON refold.outcomes FROM {}").format(role))
            said = _until(client, ok=False)
            assert said == "database-refused: Postgres refuses: permission denied for table outcomes"
            admin.execute(sql.SQL("GRANT SELECT ON refold.outcomes TO {}").format(role))
            _until(client, ok=True)
            admin.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(role))
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (name,))
            said = _until(client, ok=False)
            assert "is not permitted to log in" in said, "why, not only that no connection comes about"
        admin.execute(sql.SQL("DROP OWNED BY {}").format(role))
        admin.execute(sql.SQL("DROP ROLE {}").format(role))


def _until(client: TestClient[Litestar], *, ok: bool) -> str:
    """What /readyz says of Postgres, once it has found that; a probe may tell what was so a moment before."""
    until = time.monotonic() + 60
    while True:
        (check,) = [check for check in client.get("/readyz").json()["checks"] if check["name"] == "postgres"]
        if check["ok"] == ok:
            return str(check["detail"])
        assert time.monotonic() < until, check
        time.sleep(0.05)


def test_topics_of_kafkas_own_size_are_taken(settings: Settings, domains: Domains) -> None:
    for kind in ("commands", "events"):
        _make(settings, f"{settings.topic_prefix}retail.basket.{kind}")
    _prepare(settings, domains)


def _prepare(settings: Settings, domains: Domains) -> None:
    """As the API does until it succeeds."""
    when_kafka_answers(Preparation(settings, domains)._prepare, seconds=60)


def _make(settings: Settings, topic: str, **config: str) -> None:
    forever = {"retention.ms": "-1", "retention.bytes": "-1"}
    new = NewTopic(topic, num_partitions=settings.partitions, replication_factor=1, config=forever | config)
    client = clients.admin(settings.kafka_servers())
    client.create_topics([new])[topic].result(60)
