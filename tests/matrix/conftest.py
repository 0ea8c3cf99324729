"""A stack whose API runs in this process, so that a test can shorten its patience; and a log of bad events."""

import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from pydantic import SecretStr

from refold.api.cli.roles import WORKERS
from refold.api.cli.stack import Stack
from refold.api.http.doors.door import Door
from refold.api.http.resources import Resources
from refold.api.http.server import server_config
from refold.api.http.wire import bodies
from refold.streams.settings import Settings
from tests.conftest import fresh_database
from tests.matrix import doors
from tests.streams.broker import DOMAINS

Doors = dict[str, Callable[[Any], str]]


@pytest.fixture(scope="module")
def stack(kafka: str, module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The workers as processes, the API as a thread."""
    settings = settings_of(kafka, module_database, tmp_path_factory.mktemp("stack"))
    with pytest.MonkeyPatch.context() as patch, Stack(settings, lambda _: None, roles=WORKERS) as running:
        patch.setattr(bodies, "BODY_S", 1.0)
        patch.setattr(bodies, "PAUSE_S", 1.0)
        door = Door([], everybody=True)
        app = door.guarded(Resources(running.settings, DOMAINS).application())
        server = uvicorn.Server(server_config(running.settings, app, door))
        serving = threading.Thread(target=server.run)
        serving.start()
        try:
            running.wait_until_ready()
            yield running
        finally:
            server.should_exit = True
            serving.join(30)


@pytest.fixture(scope="module")
def bad_events(kafka: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[doors.EventDoor]:
    """A log of its own, which no handler writes to."""
    for url in fresh_database(template):
        yield doors.EventDoor(settings_of(kafka, url, tmp_path_factory.mktemp("events")))


@pytest.fixture
def entries(
    stack: Stack,
    bad_events: doors.EventDoor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Doors:
    """Each entry of the matrix as a function."""
    http = doors.HttpDoor(stack.api_url)
    return {
        "command API": http.post,
        "command API, one after the other": http.talk,
        "producer": lambda given: doors.produced(stack.settings, given),
        "Kafka record, command": lambda given: doors.commanded(stack.settings, stack.api_url, given),
        "Kafka record, event": bad_events,
        "Kafka record, any schema": doors.decoded,
        "broker": lambda given: doors.refused_by_the_broker(stack.settings, given),
        "schema registration": lambda given: doors.registered(tmp_path, monkeypatch, capsys, given),
    }


def settings_of(kafka: str, database: str, data: Path) -> Settings:
    """Topics of their own."""
    prefix = f"t{uuid.uuid4().hex[:10]}."
    return Settings(kafka=kafka, database_url=SecretStr(database), topic_prefix=prefix, data=data, api_port=0)
