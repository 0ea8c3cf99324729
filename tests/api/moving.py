"""A model that moves, and a client of bytes: what tests of answers from memory ask, and of whom."""

import asyncio
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from refold.api.http.hot.metrics import HITS
from refold.api.http.reads.standing import ALONE
from refold.api.http.wire.database import Parameters, Row, Statement
from refold.streams.errors import DatabaseUnavailable
from tests.api.conftest import World
from tests.api.test_models import page

END = b"\r\n\r\n"
ROWS, ROW = b"/v1/retail/store_daily", b"/v1/retail/store_daily/3,2026-01-01"
TEMPLATES = "/v1/{domain}/{model}", "/v1/{domain}/{model}/{key}"
ONE_BY_ONE = b"refold-max-age: 99999999\r\n"
"""Makes a request one that is never answered from memory, and its answer no other."""


class Moving(World):
    """A model whose rows say where they stand, and a Postgres that may be slow or away."""

    def __init__(self) -> None:
        super().__init__()
        self.at, self.behind, self.parked, self.age = 10, 0, 0, 100.0
        self.away = self.alone = self.whole = 0
        self.gate: asyncio.Event | None = None
        self.held = 0
        self.note = "x" * 50

    async def look_up(self, statement: bytes, parameters: Any) -> list[Row]:
        return await self.fetch(statement.decode(), parameters)

    async def fetch(self, statement: Statement, _: Parameters) -> list[Row]:
        is_alone = statement in {ALONE, ALONE.encode()}
        if is_alone and self.gate is not None:
            self.held += 1
            await self.gate.wait()
        if is_alone and self.away:
            raise DatabaseUnavailable("away")
        row = {"store_id": 3, "day": "2026-01-01", "revenue": f"{self.at}.00", "note": self.note}
        found = page(row, at=self.at, behind=self.behind, parked=self.parked, age=self.age)
        self.alone, self.whole = self.alone + is_alone, self.whole + (not is_alone)
        return [(found[0][2],)] if is_alone else found


class Client:
    """One connection, on which bytes are sent as they are."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.read = b""

    def send(self, target: bytes, headers: bytes = b"", version: bytes = b"1.1") -> None:
        self.connection.sendall(b"GET %b HTTP/%b\r\nhost: here\r\n%b\r\n" % (target, version, headers))

    def answer(self) -> bytes:
        """The next answer: head and body."""
        while END not in self.read:
            self._more()
        head, _, _ = self.read.partition(END)
        found = re.search(rb"\r\ncontent-length: ([0-9]+)", head)
        length = len(head) + len(END) + int(found[1] if found else 0)
        while len(self.read) < length:
            self._more()
        whole, self.read = self.read[:length], self.read[length:]
        return whole

    def _more(self) -> None:
        piece = self.connection.recv(65536)
        assert piece, self.read
        self.read += piece

    def ask(self, target: bytes, headers: bytes = b"") -> bytes:
        self.send(target, headers)
        return self.answer()


@contextmanager
def client(port: int) -> Iterator[Client]:
    with closing(socket.create_connection(("127.0.0.1", port), timeout=30)) as connection:
        yield Client(connection)


def timeless(answer: bytes) -> bytes:
    """An answer without what each one has of its own."""
    return re.sub(rb"\r\n(date|x-request-id): [^\r]*", b"", answer)


def hits() -> float:
    return float(HITS._value.get())


@contextmanager
def from_memory(number: int) -> Iterator[None]:
    """So many answers within the block come from memory."""
    before = hits()
    yield
    assert hits() - before == number


def code(answer: bytes) -> bytes:
    return answer.split(b" ", 2)[1]


def until(holds: Any) -> None:
    bound = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < bound
        time.sleep(0.005)
