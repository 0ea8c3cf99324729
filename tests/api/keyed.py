"""Keys in a table that a test sets, and requests to a door that stands before them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from litestar.types import Receive, Scope, Send

from refold.api.http.doors.door import Door
from refold.api.http.doors.principal import ASKS
from refold.api.http.doors.secret import Key, hash_of, new_key
from refold.streams.errors import DatabaseUnavailable

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
        await send({"type": "http.response.start", "status": 200, "headers": [(b"who", ASKS.get().name.encode())]})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def send(message: Any) -> None:
        got.append(message)

    await door.guarded(app)(scope, None, send)  # type: ignore[arg-type]  # nothing is received
    return got[0]["status"], {name.decode().lower(): value.decode() for name, value in got[0]["headers"]}
