"""Answers to reads, kept in memory for the next client that asks the same.

Invariant: a kept answer is given only if Postgres said, after the client asked, that the model stands where the answer's rows stood
(`standing_now`). Then rows and position are those that a statement would give at that moment: rows are a function of the state. What is no
part of the state (a change of a table by hand, a right that is taken away) shows once the answer is `seconds` old.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

from litestar.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from refold.api.http.hot.metrics import BYTES
from refold.api.http.hot.standing_now import Name, StandingNow, Stands, State
from refold.api.http.reads.conditional import Basis
from refold.api.http.reads.freshness import STANDING_HEADERS
from refold.api.http.reads.services import ModelServices
from refold.projections.tables.served import ServedModel
from refold.streams.access_settings import ACCESS

Question = tuple[bytes, bytes | None, bytes | None, bytes | None, bytes | None]
"""Everything of a GET that forms its answer: its target as it was sent, `Accept`, `Accept-Encoding`, `Prefer`, `Range`."""
_HOST = re.compile(rb"[A-Za-z0-9.:\[\]-]*")
_FORMING = frozenset({b"host", b"accept", b"accept-encoding", b"prefer", b"range"})
_NEVER = frozenset(
    {
        b"if-none-match",
        b"if-modified-since",
        b"refold-min-position",
        b"refold-max-age",
        b"origin",
        b"expect",
        b"upgrade",
        b"transfer-encoding",
    }
)
"""Headers of requests that are answered one by one: by a condition, with a body, or for a page of another origin."""
_OF_STANDING = frozenset(name.lower().encode() for name in STANDING_HEADERS)
_MODIFIED = b"last-modified"
_OVERHEAD = 600
"""Bytes that an answer takes besides its texts."""
_LARGEST = 8
"""One answer takes at most this part of the memory."""


class Sent(NamedTuple):
    """An answer as it was sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer without the headers that are new each time. `until`: by the monotonic clock; `route`: its template, for metrics."""

    question: Question
    stands: StandingNow
    served: ServedModel
    state: State
    until: float
    route: str
    status: int
    before: bytes
    after: bytes
    body: bytes
    size: int

    def is_of(self, now: Stands) -> bool:
        """Whether a statement would give the same rows now."""
        return now.served is self.served and now.state == self.state and monotonic() <= self.until

    def text(self, first: bytes, now: Stands, last: bytes) -> bytes:
        """The answer as it is sent; `first` and `last`: headers around those of the answer itself."""
        head = STATUS_LINE[self.status], first, now.headers, self.before, now.modified, self.after, last
        return b"".join((*head, b"\r\n", self.body))


class KeptAnswers:
    """The answers kept by one process, in bounded memory."""

    def __init__(self, models: ModelServices) -> None:
        self._models = models
        self._stands: dict[Name, StandingNow] = {}
        self._kept: dict[Question, Kept] = {}  # the oldest first
        self.size = 0

    @property
    def _most(self) -> int:
        return self._models.keeping.most_bytes

    @property
    def _seconds(self) -> float:
        return self._models.keeping.seconds

    @property
    def keeps(self) -> bool:
        """Whether answers are kept at all."""
        return self._most > 0 and self._seconds > 0

    def find(self, question: Question) -> Kept | None:
        """The answer to a question, if the model has not moved since as far as this process knows."""
        kept = self._kept.get(question)
        if kept is None:
            return None
        if kept.state is kept.stands.state and monotonic() <= kept.until:
            return kept
        self._drop(kept)
        return None

    def keep(self, question: Question, route: str, basis: Basis, sent: Sent, asked_at: float) -> None:
        """Keep an answer whose statement was sent at `asked_at` or later, unless it is known to be out of date."""
        model, standing = basis
        name = model.domain, model.name
        if not self.keeps or model.domain == ACCESS:  # some may not read it, and a kept answer is for all who may read
            return
        if self._models.models.get(name) is not model:  # another table serves by now, or it is of the past
            return
        stands = self._stands.get(name)
        if stands is None:
            stands = self._stands[name] = StandingNow(self._models, name)
        state = stands.learned(standing.state, asked_at)
        before, after = _parts(sent.headers)
        size = len(before) + len(after) + len(sent.body) + len(question[0]) + _OVERHEAD
        if state is None or size > self._most // _LARGEST:
            return
        until = asked_at + self._seconds
        kept = Kept(question, stands, model, state, until, route, sent.status, before, after, sent.body, size)
        if (earlier := self._kept.get(question)) is not None:
            self._drop(earlier)
        self._kept[question] = kept
        self.size += size
        self._make_room()
        BYTES.set(self.size)

    def _make_room(self) -> None:
        now = monotonic()
        while self._kept:
            oldest = next(iter(self._kept.values()))
            if self.size <= self._most and oldest.until >= now:
                return
            self._drop(oldest)

    def _drop(self, kept: Kept) -> None:
        if self._kept.get(kept.question) is kept:
            del self._kept[kept.question]
            self.size -= kept.size


def question_of(target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Question | None:
    """The question of a GET, whose headers' names are in lower case; None if it is answered one by one."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _FORMING:
            if name in found:
                return None
            found[name] = value
        elif name in _NEVER or (name == b"content-length" and value != b"0"):
            return None
    if not is_plain_host(found.get(b"host", b"")):
        return None
    return target, found.get(b"accept"), found.get(b"accept-encoding"), found.get(b"prefer"), found.get(b"range")


def question_in(scope: Scope) -> Question | None:
    """The question of a GET in an ASGI scope, as `question_of`."""
    path, query = scope["raw_path"], scope["query_string"]
    return question_of(b"%b?%b" % (path, query) if query else path, scope["headers"])


def is_plain_host(host: bytes) -> bool:
    """Whether the framework has no objection to a `Host`."""
    return _HOST.fullmatch(host) is not None


def _parts(lines: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    """The headers before `Last-Modified` and those behind it, without those that say where rows stand."""
    places = [place for place, (name, _) in enumerate(lines) if name == b"etag"]
    behind = places[0] + 1 if places else 0
    texts = [
        b"" if name in _OF_STANDING or name == _MODIFIED else b"%b: %b\r\n" % (name, value) for name, value in lines
    ]
    return b"".join(texts[:behind]), b"".join(texts[behind:])
