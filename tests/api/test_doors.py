"""The door `keys` over a table that the test sets: who is let in, for what, and for how long."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from litestar.types import Receive, Scope, Send

from refold.access.roles import Right, Role
from refold.api.access_errors import (
    AccessExtraMissing,
    CredentialsInvalid,
    DoorOpen,
    Forbidden,
    KeysUnreadable,
    TooManyTries,
)
from refold.api.errors import HeaderInvalid
from refold.api.http.doors import key_ring
from refold.api.http.doors.door import Door
from refold.api.http.doors.key_ring import KeyRing
from refold.api.http.doors.needs import need_of
from refold.api.http.doors.openness import refuse_open
from refold.api.http.doors.principal import ASKS, Principal, actor_of, is_hidden, shown_domains
from refold.api.http.doors.rates import Rates
from refold.api.http.doors.secret import Key, hash_of, is_of, new_key, read_key
from refold.api.http.doors.tokens import TokenCheck
from refold.streams.addresses import is_loopback
from refold.streams.errors import DatabaseUnavailable
from refold.streams.settings import Settings

KEY, OTHER = new_key(), new_key()
HASH, OTHER_HASH = hash_of(KEY.secret), hash_of(OTHER.secret)
WRONG = Key(KEY.id, OTHER.secret)


@dataclass
class Table:
    """The table of keys; `away`: whether Postgres is."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    away: bool = False
    reads: int = 0

    async def fetch(self, _: str) -> Sequence[tuple[Any, ...]]:
        self.reads += 1
        if self.away:
            raise DatabaseUnavailable("none here")
        return self.rows


def row(roles: str = "analyst", **changed: Any) -> tuple[Any, ...]:
    held = {"id": KEY.id, "name": "ann", "roles": roles, "hash": HASH, "old": None, "until": None, "ends": None}
    return tuple((held | changed).values())


def test_a_text_is_a_key_or_it_is_none() -> None:
    assert read_key(KEY.text) == KEY
    for text in (KEY.text[:-1], f"{KEY.text}a", KEY.text.upper(), f"{KEY.text}\n", "", f" {KEY.text}"):
        assert read_key(text) is None
    assert is_of(KEY.secret, HASH)
    assert not is_of(OTHER.secret, HASH)
    assert not is_of(KEY.secret, "no hash")
    assert HASH.startswith("$argon2id$")


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


def test_a_key_is_checked_once_and_known_afterwards() -> None:
    async def run() -> None:
        ring = KeyRing(Table([row()]).fetch)
        assert ring.known(KEY.text) is None
        assert (await ring.admit(KEY.text)).name == "ann"
        assert ring.known(KEY.text) == Principal("ann", frozenset({Role.ANALYST}))
        for text in (WRONG.text, OTHER.text, "no key"):
            assert ring.known(text) is None
            with pytest.raises(CredentialsInvalid):
                await ring.admit(text)
        await ring.close()

    asyncio.run(run())


def test_a_revoked_an_expired_and_a_replaced_key_are_no_longer_known() -> None:
    async def run() -> None:
        table, now = Table([row()]), datetime.now(UTC)
        ring = KeyRing(table.fetch)
        await ring.admit(KEY.text)
        later, ago = now + timedelta(hours=1), now - timedelta(seconds=1)
        rotated = {"hash": OTHER_HASH, "old": HASH}
        for rows, taken in (
            ([], False),
            ([row(ends=later)], True),
            ([row(ends=ago)], False),
            ([row(**rotated, until=later)], True),
            ([row(**rotated, until=ago)], False),
        ):
            table.rows = rows
            await ring._read()
            assert (ring.known(KEY.text) is not None) is taken
        table.rows = [row(**rotated, until=later)]
        await ring._read()
        assert (await ring.admit(Key(KEY.id, OTHER.secret).text)).name == "ann"
        await ring.close()

    asyncio.run(run())


def test_a_key_younger_than_the_last_reading_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_ring, "_AGAIN_S", 0.0)

    async def run() -> None:
        table = Table()
        ring = KeyRing(table.fetch)
        with pytest.raises(CredentialsInvalid):
            await ring.admit(KEY.text)
        table.rows = [row()]
        assert (await ring.admit(KEY.text)).name == "ann"
        await ring.close()

    asyncio.run(run())


def test_nobody_is_let_in_by_a_ring_that_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        table = Table([row()])
        ring = KeyRing(table.fetch)
        await ring.admit(KEY.text)
        table.away = True
        await ring._read()
        assert ring.known(KEY.text) is not None, "a short outage locks nobody out"
        monkeypatch.setattr(key_ring, "STALE_S", -1.0)
        assert ring.known(KEY.text) is None
        with pytest.raises(KeysUnreadable):
            await ring.admit(KEY.text)
        await ring.close()

    asyncio.run(run())


def test_guessing_is_slowed_and_the_checked_key_goes_on() -> None:
    async def run() -> None:
        ring = KeyRing(Table([row()]).fetch)
        await ring.admit(KEY.text)
        refusals = []
        for _ in range(8):
            with pytest.raises((CredentialsInvalid, TooManyTries)) as caught:
                await ring.admit(WRONG.text)
            refusals.append(type(caught.value))
        assert refusals[0] is CredentialsInvalid
        assert refusals[-1] is TooManyTries
        assert (await ring.admit(KEY.text)).name == "ann"
        await ring.close()

    asyncio.run(run())


def test_many_requests_with_one_new_key_are_one_check() -> None:
    async def run() -> None:
        ring = KeyRing(Table([row()]).fetch)
        found = await asyncio.gather(*(ring.admit(KEY.text) for _ in range(50)))
        assert {principal.name for principal in found} == {"ann"}
        refused = await asyncio.gather(*(ring.admit(WRONG.text) for _ in range(50)), return_exceptions=True)
        assert {type(each) for each in refused} == {CredentialsInvalid}
        await ring.close()

    asyncio.run(run())


def scope_of(target: str, *headers: tuple[bytes, bytes], method: str = "GET") -> Any:
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": list(headers),
        "client": ("::1", 1),
    }


def bearer(key: Key) -> tuple[bytes, bytes]:
    return b"authorization", f"Bearer {key.text}".encode()


async def asked(door: Door, scope: Any) -> tuple[int, dict[str, str]]:
    """The status of an answer, and its headers. The application says who asks in a header."""
    got: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        who = ASKS.get()
        name = b"-" if who is None else who.name.encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"who", name)]})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def send(message: Any) -> None:
        got.append(message)

    await door.guarded(app)(scope, None, send)  # type: ignore[arg-type]  # nothing is received
    return got[0]["status"], {name.decode().lower(): value.decode() for name, value in got[0]["headers"]}


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


def test_the_actor_is_who_sent_it_and_keys_are_changed_by_admins_alone() -> None:
    assert actor_of("retail.basket", "alice") == "alice", "without a door it is who the sender says"
    till, admin = Principal("till-7", frozenset({Role.PRODUCER})), Principal("boss", frozenset({Role.ADMIN}))
    held = ASKS.set(till)
    try:
        assert actor_of("retail.basket", None) == actor_of("retail.basket", "till-7") == "till-7"
        assert actor_of("retail.basket", "alice") == "till-7 for alice"
        with pytest.raises(HeaderInvalid):
            actor_of("retail.basket", "a" * 200)
        with pytest.raises(Forbidden):
            actor_of("access.key", None)
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
        door = Door([], Rates("2/minute"))
        assert (await asked(door, scope_of("/v1")))[1]["who"] == "-", "nobody is known there"
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


def test_an_error_that_nobody_expected_does_not_end_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_ring, "READ_S", 0.01)

    async def run() -> None:
        table = Table([row()])

        async def fetch(statement: str) -> Sequence[tuple[Any, ...]]:
            found = await table.fetch(statement)
            if table.reads == 2:
                raise psycopg.errors.InternalError_("the table was swapped")
            return found

        ring = KeyRing(fetch)
        await ring.open()
        await ring.admit(KEY.text)
        async with asyncio.timeout(10):
            while table.reads < 3:  # noqa: ASYNC110 - another task reads
                await asyncio.sleep(0.01)
        table.rows = []
        async with asyncio.timeout(10):
            while ring.known(KEY.text) is not None:  # noqa: ASYNC110 - another task reads
                await asyncio.sleep(0.01)
        await ring.close()

    asyncio.run(run())
