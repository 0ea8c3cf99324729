"""The keys that are taken now: read from Postgres every second, checked by argon2id once, known by a digest afterwards.

Invariant: a key is taken only while the ring holds a hash that it was checked against. So a revoked, expired or rotated key
is refused one second after the table shows it, and nobody is let in once the ring is older than STALE_S.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from refold.access.roles import roles_of
from refold.api.access_errors import CredentialsInvalid, KeysUnreadable, TooManyTries
from refold.api.http.doors.principal import Principal
from refold.api.http.doors.secret import Key, check_installed, is_of, read_key
from refold.api.http.wire.tasks import ended
from refold.schemas.errors import RefoldError
from refold.streams import journal

READ_S, STALE_S = 1.0, 30.0
"""Seconds between two readings of the table, and from the last one until nobody is let in."""
_AGAIN_S = 0.2
"""Least seconds between readings that requests with an unknown id cause: a key may be younger than the last reading."""
_MOST_KNOWN, _MOST_WAITING = 10_000, 8
_TRIES, _TRY_EACH_S = 5, 2.0
"""Wrong secrets for one id that are checked at once, and seconds until one more is."""
_REFUSED_S = 0.25
"""Seconds after which a key is refused, whatever is wrong with it. Longer than a check takes, so time does not tell whether there is such an id."""
_KEYS = "SELECT key_id, name, roles, hash, old_hash, old_until, expires_at FROM access.keys WHERE revoked_at IS NULL AND hash IS NOT NULL"
_NO_KEY = "this is no key of this API"
Fetch = Callable[[str], Awaitable[Sequence[tuple[Any, ...]]]]
_log = logging.getLogger(__name__)


class Holder:
    """One key of the table."""

    def __init__(self, row: Sequence[Any]) -> None:
        """`row`: as in _KEYS."""
        self.id, name, roles, self._hash, self._old_hash, self._old_until, self._expires_at = row
        self.principal = Principal(name, roles_of(roles))

    def hashes(self) -> list[str]:
        """The hashes of the secrets that are taken at this moment."""
        now = datetime.now(UTC)
        if self._expires_at is not None and self._expires_at <= now:
            return []
        old = self._old_hash is not None and self._old_until is not None and now < self._old_until
        return [self._hash, self._old_hash] if old else [self._hash]


class KeyRing:
    """The keys of one API process."""

    def __init__(self, fetch: Fetch) -> None:
        """Raises AccessExtraMissing: at the start, not at the first request."""
        check_installed()
        self._fetch = fetch
        self._holders: dict[str, Holder] = {}
        self._read_at = self._tried_at = float("-inf")
        self._checked: OrderedDict[bytes, str] = OrderedDict()  # by a key's digest the hash that it fitted
        self._tries: OrderedDict[str, tuple[float, float]] = OrderedDict()  # by id the tries that are left, and when
        self._checking: dict[bytes, asyncio.Future[str]] = {}
        self._waiting = 0
        self._hashing = ThreadPoolExecutor(1, "argon2")
        self._reading = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to read the table; does not wait for it."""
        self._task = asyncio.create_task(self._read_on(), name="keys")

    async def close(self) -> None:
        """Stop reading."""
        await ended(self._task)
        self._hashing.shutdown(wait=False)

    def takes(self, text: str) -> bool:
        """Whether a text has the form of a key."""
        return read_key(text) is not None

    def known(self, text: str) -> Principal | None:
        """Whose key this is, if this process has checked it before and it is still taken; else `admit` must say."""
        key = read_key(text)
        holder = None if key is None or self._is_stale() else self._holders.get(key.id)
        if holder is None or key is None:
            return None
        return holder.principal if self._checked.get(key.digest) in holder.hashes() else None

    async def admit(self, text: str) -> Principal:
        """Whose key this is. Raises CredentialsInvalid, TooManyTries, KeysUnreadable."""
        key, began = read_key(text), time.monotonic()
        if key is None:
            raise CredentialsInvalid(_NO_KEY)
        try:
            holder = await self._holder(key.id)
            hashes = [] if holder is None else holder.hashes()
            if self._checked.get(key.digest) not in hashes:
                await self._check(key, hashes)
        except (CredentialsInvalid, TooManyTries):
            await asyncio.sleep(began + _REFUSED_S - time.monotonic())
            raise
        assert holder is not None, "an unknown key fits no hash"
        return holder.principal

    async def _holder(self, key_id: str) -> Holder | None:
        now = time.monotonic()
        if self._is_stale() or (key_id not in self._holders and now - self._tried_at > _AGAIN_S):
            await self._read()
        if self._is_stale():
            raise KeysUnreadable(f"the keys could not be read for {STALE_S:g} s or since the start")
        return self._holders.get(key_id)

    async def _check(self, key: Key, hashes: Sequence[str]) -> None:
        """Check a key once for all requests that bring it meanwhile. Raises CredentialsInvalid, TooManyTries."""
        check = self._checking.get(key.digest)
        if check is None:
            check = self._checking[key.digest] = asyncio.ensure_future(self._fitting(key, hashes))
            check.add_done_callback(lambda _: self._checking.pop(key.digest))
        self._checked[key.digest] = await asyncio.shield(check)  # a client that goes away ends no other's check
        if len(self._checked) > _MOST_KNOWN:
            self._checked.popitem(last=False)

    def _is_stale(self) -> bool:
        return time.monotonic() - self._read_at > STALE_S

    async def _fitting(self, key: Key, hashes: Sequence[str]) -> str:
        """The hash that the secret fits; none does if the id is unknown, which counts as a wrong secret. Raises CredentialsInvalid, TooManyTries."""
        if self._waiting >= _MOST_WAITING:
            raise TooManyTries("too many keys are checked at this moment")
        self._take_a_try(key.id)
        self._waiting += 1
        try:
            for hashed in hashes:
                if await asyncio.get_running_loop().run_in_executor(self._hashing, is_of, key.secret, hashed):
                    self._tries.pop(key.id, None)
                    return hashed
        finally:
            self._waiting -= 1
        raise CredentialsInvalid(_NO_KEY)

    def _take_a_try(self, key_id: str) -> None:
        """Bounds how often secrets for one id are guessed, and what guessing costs us. Nobody is locked out for good."""
        now = time.monotonic()
        left, at = self._tries.pop(key_id, (float(_TRIES), now))
        left = min(float(_TRIES), left + (now - at) / _TRY_EACH_S)
        self._tries[key_id] = (left - 1 if left >= 1 else left), now
        if len(self._tries) > _MOST_KNOWN:
            self._tries.popitem(last=False)
        if left < 1:
            raise TooManyTries("too many wrong secrets were sent for this key")

    async def _read_on(self) -> None:
        while True:
            await self._read()
            await asyncio.sleep(READ_S)

    async def _read(self) -> None:
        """Read the table once for all who wait. A failure is logged; the ring stays as it is and grows stale."""
        asked = time.monotonic()
        async with self._reading:
            if self._tried_at >= asked:
                return
            began = self._tried_at = time.monotonic()
            try:
                found = [Holder(row) for row in await self._fetch(_KEYS)]
            except RefoldError as problem:
                _log.warning("the keys cannot be read: %s", problem.message, extra=journal.about(problem))
                return
            except Exception:  # whatever Postgres says once, the next reading must come
                _log.exception("the keys cannot be read")
                return
            self._holders, self._read_at = {holder.id: holder for holder in found}, began
