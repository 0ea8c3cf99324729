"""A TCP proxy between our processes and a server, which can cut, delay, hold, deafen and strand the connections through it."""

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Self, TypeVar

from refold.api.embedded.ports import HOST

_PIECE = 1 << 16
Answer = TypeVar("Answer")
_RST_ON_CLOSE = struct.pack("ii", 1, 0)


class Proxy:
    """`with Proxy() as proxy:` listens on `proxy.port` and passes everything on to `proxy.upstream`. Its loop is a thread's own."""

    def __init__(self, upstream: int = 0) -> None:
        self.upstream = upstream
        self.passed = 0
        self._listener = socket.create_server((HOST, 0), backlog=200)
        self.port: int = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._requests = _Direction()
        self._answers = _Direction()
        self._stranded: list[_Direction] = []
        self._open: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self._thread = threading.Thread(target=self._run, name=f"proxy-{self.port}", daemon=True)

    def cut(self, rng: random.Random, share: float) -> int:
        """Reset some of the connections, both ends at once; how many were."""
        return self._wait(self._cut(rng, share))

    def delay(self, seconds: float) -> None:
        """Let each piece wait so long, both ways."""
        self._wait(self._set(seconds, flows=(True, True)))

    def hold(self) -> None:
        """A black hole: new connections are accepted, nothing passes, nobody is told."""
        self._wait(self._set(0.0, flows=(False, False)))

    def deafen(self) -> None:
        """Requests pass, answers do not: a commit or an append happens, and its acknowledgement is missing."""
        self._wait(self._set(0.0, flows=(True, False)))

    def strand(self) -> None:
        """Nothing passes on the connections there are; those made from now on are whole: a request may come late, after others."""
        self._wait(self._strand(requests=False))

    def swallow(self) -> None:
        """Requests pass on the connections there are, their answers never do; those made from now on are whole."""
        self._wait(self._strand(requests=True))

    def holds_requests(self) -> bool:
        """Whether a request has come in that does not pass."""
        return any(way.held for way in (self._requests, *self._stranded))

    def heal(self) -> None:
        """Everything passes again, what was held first."""
        self._wait(self._set(0.0, flows=(True, True)))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut(random.Random(0), 1.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._accepted, sock=self._listener))
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def _wait(self, request: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(request, self._loop).result(30)

    async def _set(self, seconds: float, flows: tuple[bool, bool]) -> None:
        for direction, flowing in zip((self._requests, self._answers), flows, strict=True):
            direction.delay = seconds
            (direction.flowing.set if flowing else direction.flowing.clear)()
        if all(flows):
            for direction in self._stranded:
                direction.flowing.set()
            self._stranded.clear()

    async def _strand(self, *, requests: bool) -> None:
        old = (self._requests, self._answers)
        for direction in old:
            if direction is self._answers or not requests:
                direction.flowing.clear()
        self._stranded += old
        self._requests, self._answers = _Direction(), _Direction()

    async def _cut(self, rng: random.Random, share: float) -> int:
        chosen = [task for task in self._open if rng.random() < share]
        for task in chosen:
            for writer in self._open[task]:
                _reset(writer)
            task.cancel()
        return len(chosen)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = [writer]
        pumps: list[asyncio.Task[None]] = []
        try:
            there, onward = await asyncio.open_connection(HOST, self.upstream)
            self._open[task].append(onward)
            pumps.append(self._loop.create_task(self._pump(reader, onward, self._requests)))
            pumps.append(self._loop.create_task(self._pump(there, writer, self._answers)))
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for pump in pumps:
                pump.cancel()
            for each in self._open.pop(task):
                each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: "_Direction") -> None:
        with suppress(OSError):
            while piece := await reader.read(_PIECE):
                if way.delay:
                    await asyncio.sleep(way.delay)
                await way.passable()
                writer.write(piece)
                self.passed += len(piece)
                await writer.drain()


class _Direction:
    """What one way through the proxy is like."""

    def __init__(self) -> None:
        self.delay = 0.0
        self.held = 0
        self.flowing = asyncio.Event()
        self.flowing.set()

    async def passable(self) -> None:
        """Return once a piece may pass; until then it counts as held."""
        self.held += 1
        try:
            await self.flowing.wait()
        finally:
            self.held -= 1


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN, as a firewall or a rebooted host would."""
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
    writer.transport.abort()
