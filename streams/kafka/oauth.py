"""Tokens for Kafka's login OAUTHBEARER, from an OpenID provider by client credentials, for the library that has no such part."""

import asyncio
import json
import ssl
import time
from base64 import b64encode
from collections.abc import Mapping
from http.client import HTTPException
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import AuthenticationFailedError

_ANSWER_S = 10.0
_MOST_BYTES = 1 << 20
_SHARE = 0.8
"""Part of a token's time after which another is fetched, as librdkafka does."""


class ClientCredentials(AbstractTokenProvider):
    """Asks the provider for a token by the client's id and secret, and keeps it for most of its time."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self._options = options
        self._token, self._until = "", 0.0

    async def token(self) -> str:
        """A token that holds. Raises aiokafka's AuthenticationFailedError."""
        if time.monotonic() >= self._until:
            self._token, seconds = await asyncio.to_thread(self._ask)
            self._until = time.monotonic() + _SHARE * seconds
        return self._token

    def _ask(self) -> tuple[str, float]:
        """A token, and for how many seconds it holds."""
        options = self._options
        # As librdkafka does, and not percent-encoded as RFC 6749 has it: the provider must take both libraries' requests.
        who = ":".join(options[f"sasl.oauthbearer.client.{part}"] for part in ("id", "secret"))
        form = {"grant_type": "client_credentials"}
        if scope := options.get("sasl.oauthbearer.scope"):
            form["scope"] = scope
        url = options["sasl.oauthbearer.token.endpoint.url"]
        basic = b64encode(who.encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Accept": "application/json"}
        asked = Request(url, urlencode(form).encode(), headers)  # noqa: S310 - the operator names the address
        try:
            context = ssl.create_default_context(cafile=options.get("https.ca.location"))
            with urlopen(asked, timeout=_ANSWER_S, context=context) as answer:  # noqa: S310 - likewise
                given = json.loads(answer.read(_MOST_BYTES))
            return str(given["access_token"]), float(given.get("expires_in", 0))
        except (URLError, OSError, HTTPException, ValueError, KeyError, TypeError) as problem:
            raise AuthenticationFailedError(f"no token from {url}: {problem}") from problem
