"""A command on the hot path is answered alike with and without the framework: status, headers, body, count and route."""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest
from litestar import Litestar

from refold.api.http.application import Application
from refold.api.http.commands.outcomes import Outcome
from refold.api.http.describe.metrics import DURATION, REQUESTS
from refold.api.http.wire import limited
from refold.api.unavailable import NotPrepared
from refold.schemas.errors import RefoldError
from refold.streams import journal
from refold.streams.errors import DeliveryFailed, QueueFull
from tests.api.conftest import World

PATH = "/v1/commands/retail/basket/ScanItem"
TEMPLATE = "/v1/commands/{domain}/{category}/{name}"
BODY = b'{"basket_id": "b1", "product_id": 5, "quantity": 1, "amount": "1.10", "discount": "0.00"}'
SENT = {"content-type": "application/json", "idempotency-key": "k1", "host": "here:80"}
Prepare = Callable[[World], None]


class Told(NamedTuple):
    """All that a client and an operator learn of a request."""

    messages: list[dict[str, Any]]
    route: str | None
    counted: dict[tuple[str, ...], float]


def counts() -> dict[tuple[str, ...], float]:
    found = [sample for metric in (REQUESTS, DURATION) for family in metric.collect() for sample in family.samples]
    return {
        (sample.name, *sample.labels.values()): sample.value
        for sample in found
        if sample.name.endswith(("_total", "_count"))
    }


def ask(
    app: Litestar, method: str, target: str, headers: dict[str, str], pieces: tuple[bytes, ...], *, whole: bool = True
) -> tuple[Told, Told]:
    """The same request by the hot path and by the framework alone; each in a loop of its own."""

    async def by(call: Any) -> Told:
        path, _, query = target.partition("?")
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "request_id": "r1",
        }
        waiting = list(pieces)
        messages: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if waiting:
                return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting) or not whole}
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            messages.append({**message, "headers": sorted(message.get("headers", ()))})

        journal.CONTEXT.set(scope)
        before = counts()
        await call(scope, receive, send)
        after = counts()
        counted = {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}
        return Told(messages, scope.get("path_template"), counted)

    return asyncio.run(by(app)), asyncio.run(by(lambda *more: Litestar.__call__(app, *more)))


def is_hot(app: Litestar, target: str, method: str = "POST", host: str = "here") -> bool:
    assert isinstance(app, Application)
    path, _, query = target.partition("?")
    scope: Any = {"type": "http", "method": method, "path": unquote(path), "raw_path": path.encode()}
    return app.hot(scope | {"query_string": query.encode(), "headers": [(b"host", host.encode())]}) is not None


HEADERS: dict[str, dict[str, str]] = {
    "good": {},
    "a key that is no uuid": {"idempotency-key": '"order 7"'},
    "no key": {"idempotency-key": ""},
    "a bad key": {"idempotency-key": "\x7f"},
    "a version": {"if-match": '"7"'},
    "a bad version": {"if-match": "seven"},
    "two conditions": {"if-match": '"7"', "if-none-match": "*"},
    "a new stream": {"if-none-match": "*"},
    "no wait": {"prefer": "wait=0"},
    "a bad wait": {"prefer": "wait=x"},
    "a time": {"refold-occurred-at": "2026-01-31T12:00:00.5Z"},
    "a bad time": {"refold-occurred-at": "yesterday"},
    "an actor": {"refold-actor": "ann"},
    "a bad actor": {"refold-actor": "\xe4"},
    "another media type": {"content-type": "text/plain"},
    "an encoding": {"content-encoding": "gzip"},
    "a client of PostgREST": {"accept": "application/vnd.pgrst.object+json", "if-match": "seven"},
    "an accept that nothing meets": {"accept": "image/png"},
    "a body announced too large": {"content-length": "1048577"},
    "no host": {"host": ""},
}


def test_headers_mean_the_same(app: Litestar, world: World) -> None:
    for name, headers in HEADERS.items():
        world.outcomes.clear()
        world.decides = name != "no wait"  # else the second request finds the outcome of the first
        hot, cold = ask(app, "POST", PATH, SENT | headers, (BODY,))
        assert hot == cold, name


@pytest.mark.parametrize(
    "pieces",
    [
        (b"",),
        (b"{",),
        (b"[]",),
        (b"\xff",),
        (BODY[:20], BODY[20:]),
        (BODY.replace(b"5", b'"x"'),),
        (BODY.replace(b"b1", b"b/1"),),
        (BODY.replace(b'"quantity": 1, ', b""),),
        (BODY.replace(b'"quantity"', b'"number"'),),
        (b" " * (1 << 20), b" "),
    ],
)
def test_bodies_mean_the_same(app: Litestar, pieces: tuple[bytes, ...]) -> None:
    hot, cold = ask(app, "POST", PATH, SENT, pieces)
    assert hot == cold


def test_a_client_that_leaves_in_the_middle_is_the_same(app: Litestar) -> None:
    hot, cold = ask(app, "POST", PATH, SENT, (BODY[:20],), whole=False)
    assert hot == cold
    assert hot.messages[0]["status"] == 400


TARGETS = {
    PATH: True,
    "/v1/commands/retail/basket/OpenBasket": True,
    "/v1/commands/retail/basket/Nothing": True,
    "/v1/commands/retail/nothing/ScanItem": True,
    "/v1/commands/nothing/basket/ScanItem": True,
    "/v1/commands/retail/basket/Scan%49tem": True,
    f"{PATH}?dry=1": False,
    f"{PATH}?": True,
    f"{PATH}/": False,
    f"{PATH}/more": False,
    "//v1/commands/retail/basket/ScanItem": False,
    "/v1/commands/retail//basket/ScanItem": False,
    "/v1/commands/retail/basket": False,
    "/v1/commands": False,
    "/v1/commands/retail/basket/Sc%C3%A4n": False,
    "/v1/commands/retail/basket/%0A": False,
    "/v1/commands/retail/basket/ScanItem%0A": False,
    "/v1/commands/retail/bas%2Fket/ScanItem": False,
}


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD", "PUT", "OPTIONS"])
def test_paths_and_methods_mean_the_same(app: Litestar, method: str) -> None:
    for target, hot_when_sent in TARGETS.items():
        hot, cold = ask(app, method, target, SENT, (BODY,))
        assert hot == cold, target
        assert is_hot(app, target, method) == (hot_when_sent and method == "POST"), target


def test_a_parameter_that_there_is_not_is_counted_as_the_clients_fault(app: Litestar) -> None:
    found, _ = ask(app, "POST", f"{PATH}?dry=1", SENT, (BODY,))
    assert found.messages[0]["status"] == 400
    assert ("refold_http_requests_total", "POST", TEMPLATE, "400") in found.counted


def test_hosts_mean_the_same(app: Litestar) -> None:
    for host in ("here", "here:8080", "[::1]:80", "a b", "a/b", 'a"b', "a,b", "\x7f"):
        hot, cold = ask(app, "POST", PATH, SENT | {"host": host}, (BODY,))
        assert hot == cold, host


def rejecting(world: World) -> None:
    world.rejects = "basket-not-open"


def silent(world: World) -> None:
    world.decides = False


def deaf(world: World) -> None:
    world.acknowledges = world.decides = False


def refusing(error: RefoldError) -> Prepare:
    def prepare(world: World) -> None:
        world.append_error = error

    return prepare


def broken(world: World) -> None:
    async def find(key: bytes) -> Outcome | None:
        raise ZeroDivisionError(key)

    world.find = find  # type: ignore[method-assign]  # a defect of ours, in place of the fake


WORLDS: dict[str, tuple[Prepare, int]] = {
    "rejecting": (rejecting, 409),
    "silent": (silent, 202),
    "deaf": (deaf, 503),
    "queue full": (refusing(QueueFull("full")), 503),
    "not delivered": (refusing(DeliveryFailed("no")), 503),
    "not prepared": (refusing(NotPrepared("not yet")), 503),
    "broken": (broken, 500),
}


@pytest.mark.parametrize("name", WORLDS)
def test_the_same_comes_of_servers_and_defects(
    app: Litestar, world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refold.api.http.commands.routes.ACK_S", 0.01)
    prepare, status = WORLDS[name]
    prepare(world)
    hot, cold = ask(app, "POST", PATH, SENT, (BODY,))
    assert hot == cold
    assert hot.messages[0]["status"] == status


def test_a_key_used_with_another_body_is_the_same(app: Litestar) -> None:
    ask(app, "POST", PATH, SENT, (BODY,))
    hot, cold = ask(app, "POST", PATH, SENT, (BODY.replace(b"5", b"6"),))
    assert hot == cold
    assert hot.messages[0]["status"] == 422


def test_a_process_without_room_refuses_both_and_counts_both(app: Litestar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited, "MAX_AT_ONCE", 0)
    hot, cold = ask(app, "POST", PATH, SENT, (BODY,))
    assert hot == cold
    assert hot.messages[0]["status"] == 429
    monkeypatch.undo()
    hot, _ = ask(app, "POST", PATH, SENT, (BODY,))
    assert hot.messages[0]["status"] == 201


def test_an_answered_request_is_counted_once_under_its_template(app: Litestar) -> None:
    hot, _ = ask(app, "POST", PATH, SENT, (BODY,))
    assert hot.counted == {
        ("refold_http_requests_total", "POST", TEMPLATE, "201"): 1,
        ("refold_http_request_seconds_count", TEMPLATE): 1,
    }
    assert hot.route == TEMPLATE
