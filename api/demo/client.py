"""The HTTP API as an analyst's program uses it: standard library only, with retries while a server comes back."""

import http.client
import json
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from refold.api.unavailable import ModelNotBuilt
from refold.streams.errors import Unreachable

PATIENCE_S = 90.0
_NEXT = re.compile(r'<([^>]*)>; rel="next"')
_LATER = frozenset({412, 429, 500, 502, 503, 504})

Json = dict[str, Any]


def _not_built(body: bytes) -> bool:
    """Whether waiting is in vain: an earlier release filled this data folder, and its operator has to build the model."""
    return f'"{ModelNotBuilt.code}"'.encode() in body


def _refused(path: str, status: int, body: bytes) -> Unreachable:
    """The answer as an error; that of a model that is not built has the command in its remedy."""
    if _not_built(body):
        problem = json.loads(body)
        return Unreachable(f"GET {path} was answered {status}: {problem['detail']}", problem["remedy"])
    return Unreachable(f"GET {path} was answered {status}: {body[:300].decode(errors='replace')}")


class Client:
    """Asks one API. Raises Unreachable if it does not answer in time, or refuses."""

    def __init__(self, url: str) -> None:
        self._server = urlsplit(url).netloc
        self._min_position = ""

    def demand(self, position: str) -> None:
        """Demand from now on that no answer is older than this position."""
        self._min_position = position

    def get(self, path: str) -> Any:
        """The answer at a path, read as JSON."""
        body, _ = self._answered(path)
        return json.loads(body)

    def rows(self, path: str) -> Iterator[Json]:
        """Every row of a read model, page after page by its cursor."""
        following: str | None = path
        while following:
            body, following = self._answered(following)
            yield from json.loads(body)

    def download(self, path: str) -> bytes:
        """The whole body at a path."""
        body, _ = self._answered(path)
        return body

    def _answered(self, path: str) -> tuple[bytes, str | None]:
        """The body at a path, and the path of the next page."""
        until, pause = time.monotonic() + PATIENCE_S, 0.1
        while True:
            try:
                status, body, following = self._once(path)
            except (OSError, http.client.HTTPException) as problem:
                status, body, following = 503, repr(problem).encode(), None
            if status == 200:
                return body, following
            if status not in _LATER or _not_built(body) or time.monotonic() > until:
                raise _refused(path, status, body)
            time.sleep(pause)
            pause = min(pause * 2, 2.0)

    def _once(self, path: str) -> tuple[int, bytes, str | None]:
        connection = http.client.HTTPConnection(self._server, timeout=40)
        headers = {"Refold-Min-Position": self._min_position, "Prefer": "wait=10"} if self._min_position else {}
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            found = _NEXT.match(answer.getheader("Link", ""))
            return answer.status, answer.read(), found and found.group(1)
        finally:
            connection.close()
