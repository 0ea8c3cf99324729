"""Measures a client's waiting time: commands at a steady rate, each timed to its answer and to its visible row."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import uuid4


@dataclass(frozen=True)
class Response:
    """A response to a request."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)


class Connection:
    """One keep-alive connection, cheap enough that the measurement is the server's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader, self._writer, self._host = reader, writer, host

    @classmethod
    async def to(cls, url: str) -> Self:
        """Connect to the server of a URL."""
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        return cls(reader, writer, parts.netloc)

    async def ask(self, method: str, path: str, headers: dict[str, str], body: object = None) -> Response:
        """Send one request and read its answer; `body` is sent as JSON."""
        content = b"" if body is None else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"} if content else {}
        lines = {"Host": self._host, "Content-Length": str(len(content)), **kind, **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + content)
        first, *rest = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        found = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest if line)}
        answer = await self._reader.readexactly(int(found.get("content-length", "0")))
        return Response(int(first.split(" ", 2)[1]), found, answer)

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


@dataclass(frozen=True)
class Latency:
    """Milliseconds from request to answer, and to visible row."""

    answer_p50: float
    answer_p99: float
    visible_p50: float
    visible_p99: float


async def measure(url: str, commands: int = 500, rate: float = 50.0, connections: int = 32) -> Latency:
    """Open so many baskets at that rate per second. Raises RuntimeError if one is not accepted or not visible."""
    pool: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(min(connections, commands)):
        pool.put_nowait(await Connection.to(url))
    run, began = uuid4().hex[:12], asyncio.get_running_loop().time() + 0.05
    timed = await asyncio.gather(*(_timed(pool, f"lat-{run}-{n}", began + n / rate) for n in range(commands)))
    while not pool.empty():
        pool.get_nowait().close()
    answers, rows = [sorted(times) for times in zip(*timed, strict=True)]
    return Latency(_at(answers, 0.5), _at(answers, 0.99), _at(rows, 0.5), _at(rows, 0.99))


async def _timed(pool: asyncio.Queue[Connection], basket: str, due: float) -> tuple[float, float]:
    """Seconds from the command's due time, so that a queue before the server is included."""
    clock = asyncio.get_running_loop().time
    await asyncio.sleep(due - clock())
    connection = await pool.get()
    body = {"basket_id": basket, "store_id": 1}
    answer = await connection.ask(
        "POST", "/v1/commands/retail/basket/OpenBasket", {"Idempotency-Key": str(uuid4()), "Prefer": "wait=30"}, body
    )
    answered = clock() - due
    if answer.status != 201:
        raise RuntimeError(f"a command was answered {answer.status}: {answer.body[:300]!r}")
    wanted = {"Refold-Min-Position": answer.headers["refold-position"], "Prefer": "wait=30"}
    row = await connection.ask("GET", f"/v1/retail/baskets/{basket}", wanted)
    visible = clock() - due
    if row.status != 200:
        raise RuntimeError(f"a row was answered {row.status}: {row.body[:300]!r}")
    pool.put_nowait(connection)
    return answered, visible


def _at(times: list[float], share: float) -> float:
    """The value below which that share of the sorted times lies, in milliseconds."""
    return round(times[min(int(len(times) * share), len(times) - 1)] * 1000, 2)
