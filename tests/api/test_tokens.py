"""The door `jwt`: tokens of an issuer on this machine, sound ones and all that are not."""

import asyncio
import base64
import hmac
import json
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from refold.access.roles import Role
from refold.api.access_errors import CredentialsInvalid, KeysUnreadable
from refold.api.http.doors import tokens
from refold.api.http.doors.principal import Principal
from refold.api.http.doors.tokens import TokenCheck
from refold.streams.errors import BadSettings
from refold.streams.settings import Settings

AUDIENCE = "refold-api"
RSA = RSAKey.generate_key(2048, {"kid": "r1"})
EC = ECKey.generate_key("P-256", {"kid": "e1"})
ED = OKPKey.generate_key("Ed25519", {"kid": "o1"})
OTHER = RSAKey.generate_key(2048, {"kid": "r1"})
NEXT = RSAKey.generate_key(2048, {"kid": "r2"})


@dataclass
class Issuer:
    """An issuer: its address, and what it says of itself."""

    url: str
    keys: list[Any] = field(default_factory=lambda: [RSA, EC, ED])
    asked: list[str] = field(default_factory=list)
    said: dict[str, Any] = field(default_factory=dict)
    moved: bool = False

    def answer(self, path: str) -> Any:
        self.asked.append(path)
        if path == "/jwks":
            return KeySet(self.keys).as_dict(private=False)
        return {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"} | self.said

    def token(self, key: Any = RSA, alg: str = "RS256", **changed: Any) -> str:
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "till-7",
            "exp": int(time.time()) + 60,
            "roles": ["producer"],
        }
        claims = {name: value for name, value in (claims | changed).items() if value is not None}
        kid = getattr(key, "kid", None)
        known = {"alg": alg} | ({"kid": kid} if kid else {})
        registry = JWSRegistry(algorithms=[alg])
        with warnings.catch_warnings(action="ignore"):  # EdDSA has a newer name
            return str(jwt.encode(known, claims, key, registry=registry))


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if found.moved:
                self.send_response(302)
                self.send_header("Location", f"{found.url}/elsewhere")
                self.end_headers()
                return
            body = json.dumps(found.answer(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Issuer(f"http://127.0.0.1:{server.server_port}")
    Thread(target=server.serve_forever, daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


def admitted(issuer: Issuer, *texts: str, roles: str = "roles") -> list[Principal | type[Exception]]:
    async def run() -> list[Principal | type[Exception]]:
        check = TokenCheck(issuer.url, AUDIENCE, roles)
        found: list[Principal | type[Exception]] = []
        for text in texts:
            assert check.known(text) is None
            try:
                principal = await check.admit(text)
                assert check.known(text) == principal
                found.append(principal)
            except (CredentialsInvalid, KeysUnreadable) as problem:
                assert check.known(text) is None
                found.append(type(problem))
        return found

    return asyncio.run(run())


def test_a_token_of_the_issuer_says_who_asks_and_which_roles(issuer: Issuer) -> None:
    till = Principal("till-7@127.0.0.1", frozenset({Role.PRODUCER}))
    assert admitted(issuer, issuer.token(), issuer.token(EC, "ES256"), issuer.token(ED, "EdDSA")) == [till] * 3
    several, words, none = (issuer.token(roles=roles) for roles in (["admin", 7, "king"], "analyst operator", None))
    assert [each.roles for each in admitted(issuer, several, words, none) if isinstance(each, Principal)] == [
        {Role.ADMIN},
        {Role.ANALYST, Role.OPERATOR},
        set(),
    ]
    (deep,) = admitted(issuer, issuer.token(realm_access={"roles": ["analyst"]}), roles="realm_access.roles")
    assert deep == Principal("till-7@127.0.0.1", frozenset({Role.ANALYST}))
    assert admitted(issuer, issuer.token(aud=["other", AUDIENCE])) == [till]


def test_a_token_that_is_not_sound_lets_nobody_in(issuer: Issuer) -> None:
    now, sound = int(time.time()), issuer.token()
    head, body, signature = sound.split(".")
    unsigned = "eyJhbGciOiJub25lIn0." + body + "."
    asked = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"r1"}').rstrip(b"=").decode()
    made = hmac.new(RSA.as_pem(private=False), f"{asked}.{body}".encode(), "sha256").digest()
    by_public_key = f"{asked}.{body}.{base64.urlsafe_b64encode(made).rstrip(b'=').decode()}"
    asked = base64.urlsafe_b64encode(b'{"alg":"RS256","kid":"r1","crit":["x"],"x":1}').rstrip(b"=").decode()
    assert RSA.private_key is not None
    made = RSA.private_key.sign(f"{asked}.{body}".encode(), PKCS1v15(), SHA256())
    critical = f"{asked}.{body}.{base64.urlsafe_b64encode(made).rstrip(b'=').decode()}"
    bad = {
        "no algorithm": unsigned,
        "signed with the public key": by_public_key,
        "of another key": issuer.token(OTHER),
        "of another issuer": issuer.token(iss="http://127.0.0.1:1"),
        "for another audience": issuer.token(aud="others"),
        "without an audience": issuer.token(aud=None),
        "ended": issuer.token(exp=now - 120),
        "without an end": issuer.token(exp=None),
        "whose end is a text": issuer.token(exp="later"),
        "of tomorrow": issuer.token(nbf=now + 3600),
        "issued tomorrow": issuer.token(iat=now + 3600),
        "of nobody": issuer.token(sub=None),
        "of a line break": issuer.token(sub="a\nb"),
        "of a long name": issuer.token(sub="a" * 300),
        "of one for another": issuer.token(sub="till-7 for alice"),
        "changed": f"{head}.{body[:-2]}AA.{signature}",
        "cut": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        "no JSON": "a.b.c",
        "empty": "..",
        "with an unknown critical header": critical,
    }
    found = dict(zip(bad, admitted(issuer, *bad.values()), strict=True))
    assert found == dict.fromkeys(bad, CredentialsInvalid)


def test_a_rotated_key_is_found_and_the_issuer_is_not_asked_too_often(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        check = TokenCheck(issuer.url, AUDIENCE, "roles")
        old = issuer.token()
        await check.admit(old)
        issuer.keys = [NEXT]
        for _ in range(5):
            with pytest.raises(CredentialsInvalid):
                await check.admit(issuer.token(NEXT))
        assert issuer.asked.count("/jwks") == 1, "an unknown key asks again only after a while"
        monkeypatch.setattr(tokens, "_AGAIN_S", 0.0)
        assert (await check.admit(issuer.token(NEXT))).name == "till-7@127.0.0.1"
        assert check.known(old) is None
        with pytest.raises(CredentialsInvalid):
            await check.admit(old)

    asyncio.run(run())


def test_an_issuer_that_is_away_or_names_another_lets_nobody_in(issuer: Issuer) -> None:
    issuer.said = {"issuer": "https://other.example"}
    assert admitted(issuer, issuer.token()) == [KeysUnreadable]
    issuer.said = {"jwks_uri": "http://other.example/jwks"}
    assert admitted(issuer, issuer.token()) == [KeysUnreadable]
    issuer.said, issuer.moved = {}, True
    assert admitted(issuer, issuer.token()) == [KeysUnreadable]
    issuer.moved, issuer.keys = False, []
    assert admitted(issuer, issuer.token()) in ([KeysUnreadable], [CredentialsInvalid])
    gone = Issuer("http://127.0.0.1:1")
    assert admitted(gone, gone.token()) == [KeysUnreadable]


def test_a_known_token_ends_with_its_time(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        check, text = TokenCheck(issuer.url, AUDIENCE, "roles"), issuer.token()
        await check.admit(text)
        later = time.time() + 100
        monkeypatch.setattr(time, "time", lambda: later)
        assert check.known(text) is None

    asyncio.run(run())


@pytest.fixture
def provider() -> Iterator[str]:
    """A provider of OpenID Connect that is none of ours, as a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                httpx.get(f"http://127.0.0.1:{port}/.well-known/openid-configuration").raise_for_status()
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def test_the_id_token_of_a_login_by_code_is_understood(provider: str) -> None:
    with httpx.Client(base_url=provider) as client:
        client.put("/users/ann", json={"roles": ["analyst"]}).raise_for_status()
        asked = {
            "client_id": AUDIENCE,
            "redirect_uri": "https://app.example/",
            "response_type": "code",
            "scope": "openid",
        }
        login = client.post("/oauth2/authorize", params=asked, data={"sub": "ann"})
        code = httpx.URL(login.headers["location"]).params["code"]
        bought = {"grant_type": "authorization_code", "code": code, "redirect_uri": asked["redirect_uri"]}
        got = client.post("/oauth2/token", data=bought, auth=(AUDIENCE, "secret"))
        issuer = client.get("/.well-known/openid-configuration").json()["issuer"]

    async def run() -> Principal:
        return await TokenCheck(issuer, AUDIENCE, "roles").admit(got.json()["id_token"])

    assert asyncio.run(run()) == Principal("ann@127.0.0.1", frozenset({Role.ANALYST}))


@pytest.mark.parametrize(
    "environ",
    [
        {"REFOLD_API_DOORS": "jwt"},
        {"REFOLD_API_DOORS": "jwt", "REFOLD_JWT_ISSUER": "https://id.example"},
        {"REFOLD_JWT_ISSUER": "https://id.example", "REFOLD_JWT_AUDIENCE": "a"},
        *(
            {"REFOLD_API_DOORS": "jwt", "REFOLD_JWT_AUDIENCE": "a", "REFOLD_JWT_ISSUER": issuer}
            for issuer in ("http://id.example", "id.example", "file:///etc/passwd", "https://", "")
        ),
    ],
)
def test_an_issuer_is_named_by_https_and_with_its_door(environ: dict[str, str]) -> None:
    with pytest.raises(BadSettings):
        Settings.load(environ)
