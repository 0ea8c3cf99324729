"""Tokens (JWT) of an OpenID Connect provider: checked against its keys, which are read at its well-known address.

Taken are the algorithms of ALGORITHMS alone, whatever a token says of itself: all are asymmetric, so nobody can sign with a public key.
"""

import asyncio
import json
import logging
import re
import time
import warnings
from collections import OrderedDict
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from refold.access.roles import Role
from refold.api.access_errors import AccessExtraMissing, CredentialsInvalid, KeysUnreadable
from refold.api.http.doors.principal import Principal
from refold.api.http.wire.tasks import ended

if TYPE_CHECKING:  # the package is an extra
    from joserfc.jwk import KeySet

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
READ_S, STALE_S = 300.0, 3600.0
"""Seconds between two readings of the issuer's keys, and from the last one until no token is taken."""
_AGAIN_S = 5.0
"""Least seconds between readings, whatever asks for them: a failed one, or a token that was signed with an unknown key."""
_LEEWAY_S = 30
_FETCH_S, _MOST_BYTES, _MOST_KNOWN = 5.0, 1 << 20, 10_000
_SUBJECT = re.compile(r"[!-~]{1,120}")
_WELL_KNOWN = "/.well-known/openid-configuration"
_log = logging.getLogger(__name__)


class _Stays(HTTPRedirectHandler):
    """Keys come from the address that was configured."""

    def redirect_request(self, *_: Any) -> None:
        return None


class TokenCheck:
    """The tokens of one issuer for one audience."""

    def __init__(self, issuer: str, audience: str, roles: str) -> None:
        """`roles`: the claim that holds them. Raises AccessExtraMissing."""
        try:
            from joserfc import jwt
        except ModuleNotFoundError:
            raise AccessExtraMissing("The door `jwt` needs the package joserfc.") from None
        self._issuer, self._roles = issuer, roles.split(".")
        self._host = urlsplit(issuer).hostname or ""
        self._claims = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        self._keys: KeySet | None = None
        self._read_at = self._tried_at = float("-inf")
        self._known: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()
        self._reading = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to read the issuer's keys; does not wait for them."""
        self._task = asyncio.create_task(self._read_on(), name="issuer")

    async def close(self) -> None:
        """Stop reading."""
        await ended(self._task)

    def takes(self, text: str) -> bool:
        """Whether a text has the form of a signed token."""
        return text.count(".") == 2

    def known(self, text: str) -> Principal | None:
        """Whose token this is, if it was checked before, has not ended, and the issuer's keys are still the same."""
        found = self._known.get(sha256(text.encode()).digest())
        if found is None or self._is_stale() or time.time() > found[1]:
            return None
        return found[0]

    async def admit(self, text: str) -> Principal:
        """Whose token this is. Raises CredentialsInvalid, KeysUnreadable."""
        if self._is_stale():
            await self._read()
        if self._keys is None or self._is_stale():
            raise KeysUnreadable(f"the keys of {self._issuer} could not be read")
        try:
            return self._checked(text)
        except _UnknownKeyError:
            await self._read()
        try:
            return self._checked(text)
        except _UnknownKeyError:
            raise CredentialsInvalid("the token is signed with a key that its issuer does not have") from None

    def _checked(self, text: str) -> Principal:
        from joserfc import jwt
        from joserfc.errors import InvalidKeyIdError, JoseError

        assert self._keys is not None, "`admit` has read them"
        try:
            with warnings.catch_warnings(action="ignore"):  # issuers still use the older name of Ed25519
                claims = jwt.decode(text, self._keys, algorithms=list(ALGORITHMS)).claims
            self._claims.validate(claims)
        except InvalidKeyIdError:
            raise _UnknownKeyError from None
        except (JoseError, ValueError, TypeError) as problem:
            raise CredentialsInvalid(f"the token is not sound: {getattr(problem, 'error', 'malformed')}") from None
        principal = Principal(f"{_subject(claims['sub'])}@{self._host}", _roles(claims, self._roles))
        self._known[sha256(text.encode()).digest()] = principal, float(claims["exp"]) + _LEEWAY_S
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return principal

    def _is_stale(self) -> bool:
        return time.monotonic() - self._read_at > STALE_S

    async def _read_on(self) -> None:
        while True:
            await self._read()
            await asyncio.sleep(READ_S if self._read_at == self._tried_at else _AGAIN_S)

    async def _read(self) -> None:
        """Read the issuer's keys, once for all who wait, and not more often than every _AGAIN_S. A failure is logged."""
        async with self._reading:
            if time.monotonic() - self._tried_at < _AGAIN_S:
                return
            self._tried_at = time.monotonic()
            try:
                keys = await asyncio.to_thread(_keys_of, self._issuer)
            except (OSError, ValueError) as problem:
                why = problem.reason if isinstance(problem, URLError) else problem
                _log.warning("the keys of %s cannot be read: %s", self._issuer, why)
                return
            except Exception:  # whatever an issuer answers once, the next reading must come
                _log.exception("the keys of %s cannot be read", self._issuer)
                return
            self._keys, self._read_at = keys, self._tried_at
            self._known.clear()


class _UnknownKeyError(Exception):
    """The token names a key that was not among the issuer's when they were read."""


def _keys_of(issuer: str) -> "KeySet":
    """The issuer's public keys. Raises OSError, ValueError."""
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    said = _fetched(issuer.rstrip("/") + _WELL_KNOWN)
    if not isinstance(said, dict) or said.get("issuer") != issuer or not isinstance(said.get("jwks_uri"), str):
        raise ValueError(f"{_WELL_KNOWN} does not name this issuer and its jwks_uri")
    address, own = urlsplit(said["jwks_uri"]), urlsplit(issuer)
    if address.scheme != "https" and (address.scheme, address.hostname) != (own.scheme, own.hostname):
        raise ValueError("its jwks_uri is not https")
    found = _fetched(said["jwks_uri"])
    try:
        public = [key for key in found["keys"] if key.get("kty") in ("RSA", "EC", "OKP")]
        return KeySet.import_key_set({"keys": public})
    except (JoseError, KeyError, TypeError, AttributeError) as problem:
        raise ValueError(f"its jwks_uri has no sound keys: {problem}") from problem


def _fetched(url: str) -> Any:
    asked = Request(url, headers={"Accept": "application/json"})  # noqa: S310 - settings allow https, and http on this machine alone
    with build_opener(_Stays).open(asked, timeout=_FETCH_S) as answer:
        text = answer.read(_MOST_BYTES + 1)
    if len(text) > _MOST_BYTES:
        raise ValueError(f"{url} answers with more than {_MOST_BYTES} bytes")
    return json.loads(text)


def _subject(subject: object) -> str:
    """The subject, without blanks: behind one stands for whom a service acts. Raises CredentialsInvalid."""
    if not isinstance(subject, str) or _SUBJECT.fullmatch(subject) is None:
        raise CredentialsInvalid("the token's `sub` is not 1-120 printable ASCII characters without blanks")
    return subject


def _roles(claims: dict[str, Any], path: list[str]) -> frozenset[Role]:
    """The roles of a claim; words that are none give no right."""
    found: Any = claims
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    words = found.split() if isinstance(found, str) else found if isinstance(found, list) else []
    return frozenset(role for role in Role if role.value in words)
