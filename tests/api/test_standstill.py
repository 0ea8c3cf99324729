"""Each fault under which nobody works: what `refold status` and /readyz say of it, and that it is over when it is over."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from refold.api.cli import exits
from refold.api.cli.app import run
from refold.api.cli.stack import Stack
from refold.streams import kafka
from refold.streams.members import group_name
from refold.streams.postgres import connect
from refold.streams.topics import events_topic

pytestmark = pytest.mark.timeout(240)
BOUND_S = 60.0


@contextmanager
def stopped(stack: Stack, role: str) -> Iterator[None]:
    pid = stack.pids()[role]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def full_disk(stack: Stack) -> Iterator[None]:
    """Whatever is to be written of a process fails as it does where no block is free."""
    with connect(stack.settings.dsn(), application_name="test") as db:
        db.execute(
            "CREATE FUNCTION refold.no_room() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
        )
        db.execute(
            "CREATE TRIGGER no_room BEFORE INSERT ON refold.processes FOR EACH ROW EXECUTE FUNCTION refold.no_room()"
        )
        try:
            yield
        finally:
            db.execute("DROP FUNCTION refold.no_room() CASCADE")


@contextmanager
def foreign_member(stack: Stack) -> Iterator[None]:
    settings = stack.settings
    client = kafka.consumer(
        settings.kafka_servers(),
        **{
            "group.id": group_name(settings, "core"),
            "client.id": "somebody",
            "partition.assignment.strategy": "cooperative-sticky",
            "auto.offset.reset": "latest",
        },
    )
    client.subscribe([events_topic(settings.topic_prefix, "retail.basket")])
    until = time.monotonic() + BOUND_S
    while not client.assignment():
        client.poll(0.2)
        assert time.monotonic() < until
    try:
        yield
    finally:
        client.close()


FAULTS: list[tuple[str, Callable[[Stack], object], str]] = [
    ("only the core is stopped", lambda stack: stopped(stack, "core"), "no-core"),
    ("only the handler is stopped", lambda stack: stopped(stack, "handler"), "no-handler"),
    ("only the models are stopped", lambda stack: stopped(stack, "models"), "no-models"),
    ("a disk without room", full_disk, "postgres-does-not-write"),
    ("a foreign client in the core's group", foreign_member, "foreign-member"),
]


@pytest.mark.parametrize(("fault", "code"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_status_says_who_does_not_work(
    stack: Stack,
    fault: Callable[[Stack], object],
    code: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in stack.settings.environment().items():
        monkeypatch.setenv(name, value)

    def codes() -> list[str]:
        capsys.readouterr()
        exit_code = run(["status", "--json"])
        found = [each["code"] for each in json.loads(capsys.readouterr().out)["findings"]]
        assert exit_code == (exits.DIFFERENT if found else exits.DONE)
        return found

    def becomes(well: bool) -> None:
        until = time.monotonic() + BOUND_S
        while (found := codes()) if well else (code not in (found := codes())):
            assert time.monotonic() < until, found
            time.sleep(0.5)

    becomes(True)
    with fault(stack):  # type: ignore[attr-defined]  # each is a context
        becomes(False)
        if code.startswith("no-"):
            workers = httpx.get(f"{stack.api_url}/readyz", timeout=30).json()["checks"]
            assert any(code.replace("no-", "no ") in check["detail"] for check in workers)
    becomes(True)
