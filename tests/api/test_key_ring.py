"""The keys of one API process over a table that the test sets: which are taken, and for how long."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from refold.access.roles import Role
from refold.api.access_errors import CredentialsInvalid, KeysUnreadable, TooManyTries
from refold.api.http.doors import key_ring
from refold.api.http.doors.key_ring import KeyRing
from refold.api.http.doors.principal import Principal
from refold.api.http.doors.secret import Key, is_of, new_key, read_key
from refold.api.http.resources import Resources
from refold.streams.domain import Domains
from refold.streams.settings import Settings
from tests.api.keyed import HASH, KEY, OTHER, OTHER_HASH, WRONG, Table, row


@pytest.fixture(autouse=True)
def refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_ring, "_REFUSED_S", 0.0)


def test_a_text_is_a_key_or_it_is_none() -> None:
    assert read_key(KEY.text) == KEY
    for text in (KEY.text[:-1], f"{KEY.text}a", KEY.text.upper(), f"{KEY.text}\n", "", f" {KEY.text}"):
        assert read_key(text) is None
    assert is_of(KEY.secret, HASH)
    assert not is_of(OTHER.secret, HASH)
    assert not is_of(KEY.secret, "no hash")
    assert HASH.startswith("$argon2id$")


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


async def refusal(ring: KeyRing, key: Key) -> tuple[type[Exception], str, bool]:
    """The error for a key, its words, and whether it came as late as all refusals."""
    began = time.monotonic()
    with pytest.raises((CredentialsInvalid, TooManyTries)) as caught:
        await ring.admit(key.text)
    return type(caught.value), str(caught.value), time.monotonic() - began >= key_ring._REFUSED_S


def test_a_refusal_does_not_tell_whether_there_is_such_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_ring, "_REFUSED_S", 0.05)

    async def run() -> None:
        ring = KeyRing(Table([row(), row(id=OTHER.id, ends=datetime.now(UTC))]).fetch)
        unknown, expired, wrong = [[await refusal(ring, key) for _ in range(7)] for key in (new_key(), OTHER, WRONG)]
        assert unknown == expired == wrong
        assert {each[0] for each in wrong} == {CredentialsInvalid, TooManyTries}
        assert all(late for _, _, late in wrong)
        await ring.close()

    asyncio.run(run())


def test_ids_that_nobody_has_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_ring, "_MOST_KNOWN", 50)

    async def run() -> None:
        ring = KeyRing(Table([row()]).fetch)
        for _ in range(200):
            await refusal(ring, new_key())
        assert (len(ring._tries), len(ring._checked), len(ring._checking), ring._waiting) == (50, 0, 0, 0)
        assert (await ring.admit(KEY.text)).name == "ann"
        await ring.close()

    asyncio.run(run())


def test_a_key_is_revoked_while_slow_reads_hold_every_connection(database: str, domains: Domains) -> None:
    with psycopg.connect(database, autocommit=True) as db:
        db.execute("CREATE SCHEMA IF NOT EXISTS access; DROP TABLE IF EXISTS access.keys")
        db.execute(
            "CREATE TABLE access.keys (key_id text, name text, roles text, hash text, old_hash text, "
            "old_until timestamptz, expires_at timestamptz, revoked_at timestamptz)"
        )
        db.execute("INSERT INTO access.keys VALUES (%s, 'ann', 'analyst', %s)", [KEY.id, HASH])

    async def run() -> None:
        resources = Resources(
            Settings(kafka="127.0.0.1:1", database_url=SecretStr(database), api_doors=["keys"]), domains
        )
        (ring,) = resources._checks
        await resources.database.open()
        await ring.open()
        await ring.admit(KEY.text)
        slow = [asyncio.create_task(resources.database.fetch("SELECT pg_sleep(4)")) for _ in range(300)]
        await asyncio.sleep(0)
        with psycopg.connect(database, autocommit=True) as db:
            db.execute("UPDATE access.keys SET revoked_at = now()")
        async with asyncio.timeout(2):
            while ring.known(KEY.text) is not None:  # noqa: ASYNC110 - another task reads
                await asyncio.sleep(0.01)
        assert not any(each.done() and not each.exception() for each in slow), (
            "no read is done, so each connection is held"
        )
        for each in slow:
            each.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        await ring.close()
        await resources.keys.close()
        await resources.database.close()

    asyncio.run(run())
