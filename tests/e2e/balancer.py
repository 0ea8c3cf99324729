"""A balancer's clients: round robin over ready APIs, connections kept alive, and no request sent twice."""

import json
import select
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from typing import Self

from refold.api.embedded.ports import HOST

PROBE_S = 0.1
_FRESH = 7
"""Each so-manieth request comes over a connection of its own."""


class Balancer:
    """`found`: how often each thing happened: a status with its code, or an exception and what it met."""

    def __init__(self, ports: Sequence[int], senders: int) -> None:
        self._ports = ports
        self.ready: frozenset[int] = frozenset()
        self.found: Counter[str] = Counter()
        self._stop = threading.Event()
        self._counting = threading.Lock()
        self._threads = [threading.Thread(target=self._watch, daemon=True)]
        self._threads += [threading.Thread(target=self._send, args=(n,), daemon=True) for n in range(senders)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _watch(self) -> None:
        while not self._stop.wait(PROBE_S):
            self.ready = frozenset(port for port in self._ports if _is_ready(port))

    def _send(self, number: int) -> None:
        kept: dict[int, HTTPConnection] = {}
        n = 0
        while not self._stop.is_set():
            ports = sorted(self.ready)
            if not ports:
                time.sleep(PROBE_S / 10)
                continue
            n += 1
            port = ports[n % len(ports)]
            if n % _FRESH == 0:
                with closing(HTTPConnection(HOST, port, timeout=20)) as fresh:
                    self._asked(fresh, number, n)
            else:
                connection = kept.setdefault(port, HTTPConnection(HOST, port, timeout=20))
                if _has_ended(connection):
                    connection.close()
                if not self._asked(connection, number, n):
                    kept.pop(port).close()
        for connection in kept.values():
            connection.close()

    def _asked(self, connection: HTTPConnection, number: int, n: int) -> bool:
        try:
            if n % 3:
                connection.request("GET", "/v1/retail/store_daily?limit=5")
            else:
                body = json.dumps({"basket_id": f"s{number}-{n}", "store_id": number})
                headers = {"Content-Type": "application/json", "Idempotency-Key": f"{number}-{n}", "Prefer": "wait=3"}
                connection.request("POST", "/v1/commands/retail/basket/OpenBasket", body, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, HTTPException) as problem:
            self._count(type(problem).__name__)
            return False
        code = json.loads(text).get("code", "") if answer.status >= 400 else ""
        self._count(f"{answer.status} {code}".strip())
        return True

    def _count(self, what: str) -> None:
        with self._counting:
            self.found[what] += 1


def _has_ended(connection: HTTPConnection) -> bool:
    """Whether the server closed it while nothing was asked, which every pool of connections looks for."""
    return connection.sock is not None and bool(select.select([connection.sock], [], [], 0)[0])


def _is_ready(port: int) -> bool:
    with suppress(OSError, HTTPException), closing(HTTPConnection(HOST, port, timeout=1)) as probe:
        probe.request("GET", "/readyz")
        return probe.getresponse().status == 200
    return False
