"""The doors `keys` and `jwt`: a request is let in with a key or a token whose roles have the right that it needs."""

import logging
from collections.abc import Sequence
from time import monotonic
from typing import NamedTuple, Protocol

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from refold.access.roles import Right
from refold.api.access_errors import (
    CredentialsInvalid,
    CredentialsMissing,
    Forbidden,
    KeysUnreadable,
    RateExceeded,
    TooManyTries,
)
from refold.api.errors import ApiError
from refold.api.http.doors.metrics import REFUSED
from refold.api.http.doors.needs import need_of
from refold.api.http.doors.principal import ASKS, EVERYBODY, NOBODY, Principal
from refold.api.http.doors.rates import Headers, Rates, address_of
from refold.api.http.wire.answer import Answer
from refold.api.http.wire.problems import problem

_CHALLENGE = {401: 'Bearer realm="refold"', 403: 'Bearer realm="refold", error="insufficient_scope"'}
_UNKNOWN = (CredentialsMissing, CredentialsInvalid)
_REFUSALS = (*_UNKNOWN, Forbidden, TooManyTries, RateExceeded, KeysUnreadable)
_SCHEME = b"bearer "
_HEADER = b"authorization"
_MOST_TEXT = 8000
_RECENT_S, _MOST_RECENT = 0.5, 1000
"""Seconds for which the word on a header holds for kept answers, and headers that are remembered: to look closer takes longer than to answer."""
_log = logging.getLogger(__name__)


class Check(Protocol):
    """Checks one kind of credentials."""

    async def open(self) -> None:
        """Begin to read what it checks against."""

    async def close(self) -> None:
        """Stop reading."""

    def takes(self, text: str) -> bool:
        """Whether a text is of this kind."""
        ...

    def known(self, text: str) -> Principal | None:
        """Who has it, if it was checked before and still holds."""
        ...

    async def admit(self, text: str) -> Principal:
        """Who has it. Raises CredentialsInvalid, TooManyTries, KeysUnreadable."""
        ...


class _Shown(NamedTuple):
    """The key or token of a request, and what checks it."""

    check: Check
    text: str

    def known(self) -> Principal | None:
        return self.check.known(self.text)

    async def admitted(self) -> Principal:
        """Who has it. Raises CredentialsInvalid, TooManyTries, KeysUnreadable."""
        return self.known() or await self.check.admit(self.text)


class _TakenBackError(Exception):
    """The key or token of an answer that is being sent is no longer taken."""


class Door:
    """Stands before the whole application, and before the answers that are kept in memory."""

    def __init__(self, checks: Sequence[Check], rates: Rates | None = None, *, everybody: bool = False) -> None:
        """`everybody`: nothing is checked, and whoever asks is let in as often as `rates` allow. Else nobody is without one of the `checks`."""
        self._checks, self._rates, self._everybody = checks, rates, everybody
        self._recent: dict[bytes, bool] = {}
        self._recent_until = 0.0

    def lets_read(self, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Whether a read may be answered at once: its key was checked before, and may read."""
        if self._everybody or self._rates is not None:
            return self._rates is None
        sent = [value for name, value in headers if name == _HEADER]
        if len(sent) != 1 or len(sent[0]) > _MOST_TEXT:
            return False
        now = monotonic()
        if now > self._recent_until:
            self._recent.clear()
            self._recent_until = now + _RECENT_S
        found = self._recent.get(sent[0])
        if found is None:
            found = self._may_read(headers)
            if len(self._recent) < _MOST_RECENT:
                self._recent[sent[0]] = found
        return found

    def _may_read(self, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        try:
            principal = self._shown(headers).known()
        except ApiError:
            return False
        return principal is not None and principal.has(Right.READ)

    def _shown(self, headers: Sequence[tuple[bytes, bytes]]) -> _Shown:
        """The key or token that a request brings. Raises CredentialsMissing, CredentialsInvalid."""
        text = _bearer(headers)
        check = next((check for check in self._checks if check.takes(text)), None)
        if check is None:
            raise CredentialsInvalid("this is no key and no token of this API")
        return _Shown(check, text)

    def guarded(self, app: ASGIApp) -> ASGIApp:
        """The application behind this door."""
        if self._everybody and self._rates is None:
            return _opened(app)

        async def asked(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != ScopeType.HTTP:
                await app(scope, receive, send)
                return
            try:
                principal, shown, told = await self._admitted(scope["method"], scope)
            except _REFUSALS as error:
                _count(error, scope["method"])
                await _refusal(error, scope["method"]).to_asgi_response()(scope, receive, send)
                return
            ASKS.set(principal)
            try:
                await app(scope, receive, _watched(send, shown, told) if shown or told else send)
            except _TakenBackError:  # the last message is missing, so the server breaks the connection
                _log.info("%s broken off: the key or token is no longer taken", scope["method"])

        return asked

    async def _admitted(self, method: str, scope: Scope) -> tuple[Principal, _Shown | None, Headers]:
        """Who asks, by which key or token, and the headers about the rate."""
        need = need_of(method, scope["path"], scope["query_string"])
        if need is None:
            return NOBODY, None, []
        if self._everybody:
            return EVERYBODY, None, self._counted(address_of(scope))
        try:
            shown = self._shown(list(scope["headers"]))
            principal = await shown.admitted()
        except _UNKNOWN:
            self._counted(address_of(scope))
            raise
        told = self._counted(principal.name)
        principal.require(need)
        return principal, shown, told

    def _counted(self, who: str) -> Headers:
        """Raises RateExceeded."""
        return [] if self._rates is None else self._rates.hit(who)


def _opened(app: ASGIApp) -> ASGIApp:
    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        ASKS.set(EVERYBODY)
        await app(scope, receive, send)

    return asked


def _watched(send: Send, shown: _Shown | None, told: Headers) -> Send:
    """Adds headers, and breaks a long answer off once its key is no longer taken: a stream of changes may last for days."""

    async def passed(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *told]
        elif shown and message["type"] == "http.response.body" and message.get("more_body"):
            try:
                await shown.admitted()  # what was known may have been forgotten: it is broken off only if it is refused
            except ApiError:
                raise _TakenBackError from None
        await send(message)

    return passed


def _bearer(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """The text behind `Authorization: Bearer`. Raises CredentialsMissing, CredentialsInvalid."""
    sent = [value for name, value in headers if name == _HEADER]
    if not sent:
        raise CredentialsMissing("the request has no Authorization")
    if len(sent) > 1 or sent[0][: len(_SCHEME)].lower() != _SCHEME or len(sent[0]) > _MOST_TEXT:
        raise CredentialsInvalid("one `Authorization: Bearer KEY` is taken, and nothing else")
    return sent[0][len(_SCHEME) :].strip().decode("latin-1")


def _count(error: ApiError, method: str) -> None:
    REFUSED.labels(error.code).inc()
    _log.info("%s refused: %s: %s", method, error.code, error.message)


def _refusal(error: ApiError, method: str) -> Answer:
    headers = {"Cache-Control": "no-store", **error.headers}
    if method not in ("GET", "HEAD"):
        headers["Connection"] = "close"  # its body is not read
    if error.status in _CHALLENGE:
        headers["WWW-Authenticate"] = _CHALLENGE[error.status]
    return problem(error, headers=headers)
