"""Each fault that stops all work is reported by `refold status` and /readyz, until it is over."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import httpx
import pytest

from refold.api.cli import exits
from refold.api.cli.app import run
from refold.api.cli.stack import Stack
from refold.streams.kafka import clients
from refold.streams.log.topics import events_topic
from refold.streams.operation.members import MemberReader, group_name
from refold.streams.postgres.connection import connect

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
def member(stack: Stack, name: Callable[[Stack], str]) -> Iterator[None]:
    """Somebody joins the core's group under a name, and is given some of its partitions."""
    settings = stack.settings
    client = clients.consumer(
        settings.kafka_servers(),
        **{
            "group.id": group_name(settings, "core"),
            "client.id": name(stack),
            "partition.assignment.strategy": "cooperative-sticky",
            "auto.offset.reset": "latest",
        },
    )
    client.subscribe([events_topic(settings.topic_prefix, "retail.basket")])
    until = time.monotonic() + BOUND_S
    while not client.assignment():
        client.poll(0.2)
        assert time.monotonic() < until
    done = threading.Event()

    def stay() -> None:
        while not done.is_set():
            client.poll(0.2)

    staying = threading.Thread(target=stay)
    staying.start()
    try:
        yield
    finally:
        done.set()
        staying.join()
        client.close()


def ours(stack: Stack) -> str:
    """The name of the core that runs, letter for letter."""
    (core,) = (each for each in MemberReader(stack.settings).read(["core"]) if each.pid == stack.pids()["core"])
    return core.client_id


def dead(stack: Stack) -> str:
    """The name that a core would have which does not run."""
    return ours(stack).rpartition(".")[0] + ".1"


@contextmanager
def changed(stack: Stack, there: str, back: str) -> Iterator[None]:
    with connect(stack.settings.dsn(), application_name="test") as db:
        db.execute(there.encode())
        try:
            yield
        finally:
            db.execute(back.encode())


def detached(stack: Stack) -> AbstractContextManager[None]:
    named = "UPDATE refold.builds SET detached_code = {}, detached_reason = {} WHERE model = 'store_daily' AND status = 'serving'"
    return changed(stack, named.format("'sum-overflow'", "'it is too long'"), named.format("NULL", "NULL"))


FAULTS: list[tuple[str, Callable[[Stack], AbstractContextManager[None]], str, str]] = [
    ("only the core is stopped", lambda stack: stopped(stack, "core"), "no-core", "core"),
    ("only the handler is stopped", lambda stack: stopped(stack, "handler"), "no-handler", "handler"),
    ("only the models are stopped", lambda stack: stopped(stack, "models"), "no-models", "models"),
    ("a disk without room", full_disk, "postgres-does-not-write", "postgres"),
    ("a foreign client in the core's group", lambda stack: member(stack, lambda _: "me"), "foreign-member", "core"),
    ("a client by the name of our core", lambda stack: member(stack, ours), "foreign-member", "core"),
    ("a client by the name of a core that is none", lambda stack: member(stack, dead), "foreign-member", "core"),
    ("a read model that stands aside", detached, "detached", "models"),
]
GOES_ON = {"detached"}
"""/readyz names it, and is ready: all others go on."""


@pytest.mark.parametrize(("fault", "code", "role"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_status_readyz_and_metrics_say_who_does_not_work_and_when_it_is_over(
    stack: Stack,
    fault: Callable[[Stack], AbstractContextManager[None]],
    code: str,
    role: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in stack.settings.environment().items():
        monkeypatch.setenv(name, value)

    def status() -> bool:
        capsys.readouterr()
        exit_code = run(["status", "--json"])
        found = {(each["role"], each["code"]) for each in json.loads(capsys.readouterr().out)["findings"]}
        assert exit_code == (exits.DIFFERENT if found else exits.DONE)
        return (role, code) in found if found else False

    def readyz() -> bool:
        answer = httpx.get(f"{stack.api_url}/readyz", timeout=60)
        told = {check["name"]: check for check in answer.json()["checks"]}.get("workers", {"detail": "", "ok": False})
        named = f"{code}: " in told["detail"]
        if named:
            assert told["ok"] is (code in GOES_ON), told
        return named

    def metrics() -> bool:
        text = httpx.get(f"{stack.api_url}/metrics", timeout=60).text
        return f'refold_standing_still{{kind="{code}",role="{role}"}}' in text

    def becomes(there: bool) -> None:
        for door in (metrics, readyz, status):  # the quick ones first
            until = time.monotonic() + BOUND_S
            while door() is not there:
                assert time.monotonic() < until, door.__name__
                time.sleep(0.5)

    becomes(False)
    with fault(stack):
        becomes(True)
    becomes(False)
