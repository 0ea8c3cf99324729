"""The whole platform for a test: embedded Kafka and Postgres, all workers and the API, on free ports and in a folder of its own.

`with stack("library") as running:` starts it within seconds and stops all of it. The pytest fixture `refold_stack` does so once a run.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import msgspec

from refold.api.cli.stack import Stack
from refold.api.embedded.removal import passing_data
from refold.projections.tables.declared import declared
from refold.schemas.contracts import Command
from refold.streams.access_settings import ACCESS
from refold.streams.domain import load_domains
from refold.streams.settings import Settings
from refold.testing.happening import sound

_BOUND_S = 60.0
_PATIENCE_S = 30
"""Seconds for which the API waits for an outcome or a position, before it answers that it is not there yet."""
_PAUSE_S = 0.05


@dataclass(frozen=True)
class Answered:
    """What became of a command. `code`: why it was rejected, or None if it was accepted.

    `stream`, `version`, `events`: its stream, that stream's version afterwards and the number of new events. `position`: for `wait_until_shown`.
    """

    code: str | None
    stream: str
    version: int
    events: int
    position: str
    command_id: str


class Running:
    """A running platform. `api_url` and `database_url` are there for clients of your own."""

    def __init__(self, stack: Stack) -> None:
        settings = stack.settings
        self.api_url, self.database_url, self.kafka = stack.api_url, settings.dsn(), settings.kafka_servers()
        self._address = (settings.api_host, settings.api_port)
        self._categories = load_domains(settings.domains).categories
        found = declared(settings.domains)
        self._models = sorted([*found.layouts, *((view.domain, view.name) for view in found.views)])

    def send(self, command: Command, *, command_id: str | None = None, expected_version: int | None = None) -> Answered:
        """Send a command and wait for its outcome; without an id it gets a new one.

        Raises BadValue if it breaks its contract, TypeError if no domain has it, AssertionError for any answer that is no outcome.
        """
        category = next((name for name, one in self._categories.items() if type(command) in one.commands), None)
        if category is None:
            raise TypeError(f"{type(command).__name__} is a command of none of {', '.join(self._categories)}")
        path = f"/v1/commands/{category.replace('.', '/')}/{type(command).__name__}"
        headers = {"Idempotency-Key": command_id or str(uuid4()), "Prefer": f"wait={_PATIENCE_S}"}
        if expected_version is not None:
            headers |= {"If-Match": f'"{expected_version}"'} if expected_version else {"If-None-Match": "*"}
        status, body = self._ask("POST", path, headers, msgspec.json.encode(sound(command)))
        assert {"command_id", "position"} <= body.keys(), f"{path} was answered {status}: {body}"
        return Answered(
            body.get("code"),
            body["stream"],
            body["version"],
            body.get("events", 0),
            body["position"],
            body["command_id"],
        )

    def rows(self, model: str, **asked: object) -> list[dict[str, Any]]:
        """The rows of a read model, named `library.readers`, as the API prints them; `asked`: PostgREST's parameters, such as order="day"."""
        domain, _, name = model.rpartition(".")
        query = urlencode({word: str(value) for word, value in asked.items()})
        status, body = self._ask("GET", f"/v1/{quote(domain)}/{quote(name)}?{query}", {})
        assert status == HTTPStatus.OK, f"{model}?{query} was answered {status}: {body}"
        return list(body)

    def wait_until_shown(self, position: str, bound_s: float = _BOUND_S) -> None:
        """Wait until every read model shows what a command did. Raises AssertionError, which names the model, after the bound."""
        until = time.monotonic() + bound_s
        for domain, name in self._models:
            headers = {"Refold-Min-Position": position, "Prefer": f"wait={_PATIENCE_S}"}
            while (answer := self._ask("GET", f"/v1/{domain}/{name}?limit=0", headers))[0] != HTTPStatus.OK:
                status, body = answer
                assert status == HTTPStatus.PRECONDITION_FAILED, f"{domain}.{name} was answered {status}: {body}"
                assert time.monotonic() < until, (
                    f"{domain}.{name} did not reach {position} within {bound_s:g} s: {body}"
                )

    def wait_until(self, question: Callable[[], object], bound_s: float = _BOUND_S) -> None:
        """Wait until a question is answered by something true, such as the row that a reactor's command makes."""
        until = time.monotonic() + bound_s
        while not question():
            assert time.monotonic() < until, f"it did not come true within {bound_s:g} s"
            time.sleep(_PAUSE_S)

    def _ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> tuple[int, Any]:
        api = HTTPConnection(*self._address, timeout=_PATIENCE_S + 30)
        try:
            api.request(method, path, body, {"Content-Type": "application/json", **headers})
            answer = api.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else {}
        finally:
            api.close()


@contextmanager
def stack(*domains: str) -> Iterator[Running]:
    """Run everything for some domains, or for those of refold.toml, until the block ends; then nothing of it is left.

    Raises DomainInvalid, SchemaNotFrozen and the like for a domain that cannot run, and Refused or Unreachable if a process ends at its start.
    """
    settings = Settings.load()
    wanted = list(domains) or [name for name in settings.domains if name != ACCESS]
    alone = {"domains": wanted, "api_doors": ["local"], "api_host": "127.0.0.1", "api_port": 0, "probe_port": None}
    settings = settings.with_servers(None, None).model_copy(update=alone)
    load_domains(settings.domains)
    with (
        passing_data("refold-stack-") as data,
        Stack(settings.model_copy(update={"data": data}), lambda _: None) as started,
    ):
        started.wait_until_ready()
        yield Running(started)
