"""The doors of the API: who is let in, for what, how often, and as whom."""

import asyncio
import sys
from contextvars import Context
from typing import Any, Literal

import pytest
from litestar.types import Receive, Scope, Send

from refold.access.roles import Right, Role
from refold.api.access_errors import AccessExtraMissing, DoorOpen, Forbidden
from refold.api.errors import HeaderInvalid
from refold.api.http.doors import key_ring
from refold.api.http.doors.door import Door
from refold.api.http.doors.key_ring import KeyRing
from refold.api.http.doors.metrics import REFUSED
from refold.api.http.doors.needs import need_of
from refold.api.http.doors.openness import refuse_open
from refold.api.http.doors.principal import ASKS, Principal, actor_of, is_hidden, shown_domains
from refold.api.http.doors.rates import Rates
from refold.api.http.doors.tokens import TokenCheck
from refold.api.http.server import server
from refold.streams.addresses import is_loopback
from refold.streams.settings import Settings
from tests.api.keyed import KEY, OTHER, OTHER_HASH, WRONG, Table, asked, bearer, row, scope_of


@pytest.fixture(autouse=True)
def refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_ring, "_REFUSED_S", 0.0)


@pytest.mark.parametrize(
    ("request_line", "right"),
    [
        ("GET /livez", None),
        ("GET /readyz", None),
        ("GET /problems/forbidden", None),
        ("POST /livez", Right.READ),
        ("GET /metrics", Right.WATCH),
        ("GET //metrics//", Right.WATCH),
        ("POST /v1/commands/", Right.SEND),
        ("GET /docs", Right.ANY),
        ("POST /registry/subjects/x", Right.ANY),
        ("POST /v1/commands/retail/basket/OpenBasket", Right.SEND),
        ("POST /v1/commands", Right.SEND),
        ("POST /v1/events/retail/gate", Right.SEND),
        ("POST //v1//commands", Right.SEND),
        ("GET /v1/streams/retail/basket/1/commands/a/b", Right.OUTCOME),
        ("GET /v1/streams/retail/basket?stream=1&command=2", Right.OUTCOME),
        ("GET /v1/streams/retail/basket?stream=1", Right.READ),
        ("GET /v1/streams/retail/basket/1", Right.READ),
        ("GET /v1/retail/store_daily", Right.READ),
        ("GET /v1", Right.READ),
        ("DELETE /v1/retail/store_daily", Right.READ),
        ("GET /anything", Right.READ),
        ("GET /v1/streams/retail/basket/1/commands/", Right.READ),
    ],
)
def test_method_and_path_say_what_a_request_needs(request_line: str, right: Right | None) -> None:
    method, _, target = request_line.partition(" ")
    path, _, query = target.partition("?")
    assert need_of(method, path, query.encode()) is right


def test_the_door_lets_in_whose_role_may_and_says_who_it_is() -> None:
    async def run() -> None:
        ring = KeyRing(Table([row(), row(id=OTHER.id, name="till", roles="producer", hash=OTHER_HASH)]).fetch)
        door, read = Door([ring]), "/v1/retail/store_daily"
        assert (await asked(door, scope_of("/livez")))[1]["who"] == "nobody"
        status, headers = await asked(door, scope_of(read))
        assert (status, headers["www-authenticate"]) == (401, 'Bearer realm="refold"')
        assert not door.lets_read([bearer(KEY)]), "it was not checked yet"
        door._recent_until = 0.0
        assert await asked(door, scope_of(read, bearer(KEY))) == (200, {"who": "ann"})
        assert door.lets_read([bearer(KEY)])
        status, headers = await asked(door, scope_of(read, bearer(OTHER)))
        assert (status, headers["cache-control"]) == (403, "no-store")
        assert not door.lets_read([bearer(OTHER)])
        assert (await asked(door, scope_of("/v1/commands", bearer(OTHER), method="POST")))[0] == 200
        for bad in (
            [bearer(KEY), bearer(KEY)],
            [(b"authorization", b"Basic YTpi")],
            [(b"authorization", KEY.text.encode())],
            [(b"authorization", b"Bearer " + b"a" * 5000)],
            [(b"authorization", b"Bearer \xff")],
            [bearer(WRONG)],
        ):
            assert (await asked(door, scope_of(read, *bad)))[0] == 401
            assert not door.lets_read(bad)
        await ring.close()

    asyncio.run(run())


def test_a_long_answer_ends_when_its_key_is_revoked() -> None:
    async def run() -> None:
        table = Table([row()])
        ring = KeyRing(table.fetch)
        sent: list[bytes] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            del scope, receive
            for piece in (b"1", b"2", b"3"):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                table.rows = [] if piece == b"2" else table.rows
                await ring._read()

        async def send(message: Any) -> None:
            sent.append(message["body"])

        await Door([ring]).guarded(app)(scope_of("/v1/retail/a/changes", bearer(KEY)), None, send)  # type: ignore[arg-type]  # nothing is received
        assert sent == [b"1", b"2"]
        await ring.close()

    asyncio.run(run())


def test_a_long_answer_goes_on_when_its_key_is_only_forgotten() -> None:
    async def run() -> None:
        ring = KeyRing(Table([row()]).fetch)
        sent: list[bytes] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            del scope, receive
            for piece in (b"1", b"2", b"3"):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                ring._checked.clear()

        async def send(message: Any) -> None:
            sent.append(message["body"])

        await Door([ring]).guarded(app)(scope_of("/v1/retail/a/changes", bearer(KEY)), None, send)  # type: ignore[arg-type]  # nothing is received
        assert sent == [b"1", b"2", b"3"]
        await ring.close()

    asyncio.run(run())


def test_the_actor_is_who_sent_it_and_keys_are_changed_by_admins_alone() -> None:
    assert actor_of("retail.basket", "alice") == "alice", "without a door it is who the sender says"
    till, admin = Principal("till-7", frozenset({Role.PRODUCER})), Principal("boss", frozenset({Role.ADMIN}))
    held = ASKS.set(till)
    try:
        assert actor_of("retail.basket", None) == actor_of("retail.basket", "till-7") == "till-7"
        assert actor_of("retail.basket", "alice") == "till-7 for alice"
        with pytest.raises(HeaderInvalid):
            actor_of("retail.basket", "a" * 200)
        refused = REFUSED.labels(Forbidden.code)._value.get()
        with pytest.raises(Forbidden):
            actor_of("access.key", None)
        assert REFUSED.labels(Forbidden.code)._value.get() == refused + 1, "a refused line of a batch is counted"
        assert is_hidden("access")
        assert shown_domains(["access", "retail"]) == ["retail"]
        ASKS.set(Principal("ann", frozenset({Role.ANALYST})))
        with pytest.raises(Forbidden):
            actor_of("retail.basket", None)
        ASKS.set(admin)
        assert actor_of("access.key", None) == "boss"
        assert not is_hidden("access")
    finally:
        ASKS.reset(held)


def test_where_no_door_said_who_asks_nobody_does() -> None:
    def past_all_doors() -> None:
        with pytest.raises(Forbidden):
            actor_of("retail.basket", "alice")
        assert is_hidden("access")

    Context().run(past_all_doors)


def test_a_door_lets_everybody_in_only_if_it_was_told_so() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def status(door: Literal["local", "open", "keys"]) -> int:
        """The status of an answer by a server that was given no door."""
        got: list[Any] = []

        async def send(message: Any) -> None:
            got.append(message)

        served: Any = server(Settings(api_doors=[door]), app).config.app
        await served(scope_of("/v1"), None, send)
        return int(got[0]["status"])

    async def run() -> None:
        assert (await asked(Door([]), scope_of("/v1")))[0] == 401
        assert (await asked(Door([]), scope_of("/v1", bearer(KEY))))[0] == 401
        assert not Door([]).lets_read([bearer(KEY)])
        assert await asked(Door([], everybody=True), scope_of("/v1")) == (200, {"who": "everybody"})
        assert Door([], everybody=True).lets_read([])
        assert (await status("local"), await status("open"), await status("keys")) == (200, 200, 401)

    asyncio.run(run())


def test_the_api_is_open_without_a_login_only_where_somebody_said_so() -> None:
    for host in ("127.0.0.1", "::1", "localhost", "127.8.0.1"):
        assert is_loopback(host)
        refuse_open(Settings(api_host=host))
    for host in ("0.0.0.0", "::", "10.0.0.7", "api.example", ""):
        assert not is_loopback(host)
        with pytest.raises(DoorOpen):
            refuse_open(Settings(api_host=host))
        refuse_open(Settings(api_host=host, api_doors=["open"]))
        refuse_open(Settings(api_host=host, api_doors=["keys"]))


def test_each_who_asks_has_a_rate_of_its_own_and_probes_have_none() -> None:
    async def run() -> None:
        ring = KeyRing(Table([row(), row(id=OTHER.id, name="bob", hash=OTHER_HASH)]).fetch)
        door, read = Door([ring], Rates("3/hour")), "/v1/retail/store_daily"
        left = [(await asked(door, scope_of(read, bearer(KEY))))[1]["ratelimit-remaining"] for _ in range(3)]
        assert left == ["2", "1", "0"]
        status, headers = await asked(door, scope_of(read, bearer(KEY)))
        assert (status, headers["ratelimit-limit"]) == (429, "3")
        assert 0 < int(headers["retry-after"]) <= 3600
        assert not door.lets_read([bearer(KEY)]), "an answer from memory would not be counted"
        assert (await asked(door, scope_of(read, bearer(OTHER))))[0] == 200
        statuses = [(await asked(door, scope_of(read)))[0] for _ in range(4)]
        assert statuses == [401, 401, 401, 429]
        assert (await asked(door, scope_of("/livez")))[0] == 200
        await ring.close()

    asyncio.run(run())


def test_without_a_login_an_address_has_a_rate() -> None:
    async def run() -> None:
        door = Door([], Rates("2/minute"), everybody=True)
        assert (await asked(door, scope_of("/v1")))[1]["who"] == "everybody"
        assert not door.lets_read([]), "an answer from memory would not be counted"
        assert [(await asked(door, scope_of("/v1")))[0] for _ in range(2)] == [200, 429]

    asyncio.run(run())


def test_a_door_without_its_packages_says_so_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("argon2", "joserfc", "limits"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(AccessExtraMissing, match="argon2-cffi"):
        KeyRing(Table().fetch)
    with pytest.raises(AccessExtraMissing, match="joserfc"):
        TokenCheck("https://id.example", "a", "roles")
    with pytest.raises(AccessExtraMissing, match="limits"):
        Rates("1/second")
