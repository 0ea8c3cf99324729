"""Clients that use the API as people do in trouble: retries under one id, expected versions, reused ids."""

import json
import random
import threading
import time
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from typing import Any, Self

from refold.streams.settings import Settings
from tests.e2e.history import Op

_CALL_S, _TRIES = 8.0, 12
_ANSWERS = {201: "ok", 400: "fail", 409: "fail", 412: "fail", 422: "fail"}


class Client(threading.Thread):
    """One client: a few hot streams that all share, and cold ones of its own."""

    def __init__(self, number: int, host: str, port: int, seed: int, stop: threading.Event) -> None:
        super().__init__(daemon=True, name=f"client-{number}")
        self.number, self._host, self._port, self._stopping = number, host, port, stop
        self._rng = random.Random(seed * 100 + number)
        self._versions: dict[str, int] = {}
        self._done: list[tuple[str, str, str, int | None]] = []
        self.history: list[Op] = []

    def run(self) -> None:
        """Send until told to stop."""
        n = 0
        while not self._stopping.is_set():
            self.history.append(self._command(n))
            n += 1
            time.sleep(self._rng.uniform(0, 0.05))

    def expect(self, seen: Sequence[Op]) -> None:
        """Know the streams of what others sent."""
        self._versions.update(dict.fromkeys((op.stream for op in seen), 0))

    def _command(self, n: int) -> Op:
        if self._done and self._rng.random() < 0.1:
            key, body, stream, expected = self._rng.choice(self._done)
            if self._rng.random() < 0.3:
                body = _scan(stream, 9_999)
            return self.until_answered(key, body, stream, expected)
        stream = f"hot-{self._rng.randrange(3)}" if self._rng.random() < 0.4 else f"cold-{self.number}-{n // 6}"
        opens = stream not in self._versions
        body = json.dumps({"basket_id": stream, "store_id": self.number}) if opens else _scan(stream, n)
        expected = self._versions.get(stream) if self._rng.random() < 0.4 and not opens else None
        key = f"c{self.number}-{n}"
        self._versions.setdefault(stream, 0)
        self._done.append((key, body, stream, expected))
        return self.until_answered(key, body, stream, expected)

    def until_answered(self, key: str, body: str, stream: str, expected: int | None) -> Op:
        """The same command under the same id, until there is an answer or patience ends (`info`)."""
        invoked = time.monotonic()
        for attempt in range(_TRIES):
            status, answer = self._post(key, body, expected)
            if status in _ANSWERS:
                version, base = int(answer.get("version", 0)), int(answer.get("base_version", 0))
                self._versions[stream] = max(self._versions[stream], version)
                end = time.monotonic()
                code = str(answer.get("code", ""))
                return Op(
                    self.number,
                    key,
                    body,
                    stream,
                    expected,
                    invoked,
                    end,
                    _ANSWERS[status],
                    status,
                    version,
                    base,
                    code,
                )
            time.sleep(min(2.0, 0.1 * 2**attempt) * self._rng.uniform(0.5, 1))
        return Op(self.number, key, body, stream, expected, invoked, float("inf"), "info")

    def _post(self, key: str, body: str, expected: int | None) -> tuple[int, dict[str, Any]]:
        name = "ScanItem" if "product_id" in body else "OpenBasket"
        headers = {"Content-Type": "application/json", "Idempotency-Key": key, "Prefer": "wait=3"}
        if expected is not None:
            headers["If-Match"] = f'"{expected}"'
        connection = HTTPConnection(self._host, self._port, timeout=_CALL_S)
        try:
            connection.request("POST", f"/v1/commands/retail/basket/{name}", body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        except (OSError, HTTPException, ValueError):
            return 0, {}
        finally:
            connection.close()


class Crowd:
    """Clients at work together."""

    def __init__(self, settings: Settings, number: int, seed: int) -> None:
        self._stop = threading.Event()
        self._clients = [Client(n, settings.api_host, settings.api_port, seed, self._stop) for n in range(number)]

    @property
    def seen(self) -> list[Op]:
        """What they saw so far."""
        return [op for client in self._clients for op in client.history]

    @property
    def accepted(self) -> int:
        """How many answers said that a command took effect."""
        return sum(op.type == "ok" for op in self.seen)

    def __enter__(self) -> Self:
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for client in self._clients:
            client.join(180)


def asked_again(settings: Settings, seen: Sequence[Op], most: int = 60) -> list[Op]:
    """Some of the commands that were answered, sent once more as they were."""
    client = Client(99, settings.api_host, settings.api_port, 0, threading.Event())
    answered = [op for op in seen if op.type != "info"]
    client.expect(answered)
    some = random.Random(0).sample(answered, min(most, len(answered)))
    return [client.until_answered(op.key, op.body, op.stream, op.expected) for op in some]


def counted(seen: Sequence[Op]) -> dict[str, int]:
    """How many calls there were, and how many of them ended how."""
    kinds = {kind: sum(op.type == kind for op in seen) for kind in ("ok", "fail", "info")}
    return {"calls": len(seen), **kinds}


def _scan(stream: str, product: int) -> str:
    line = {"basket_id": stream, "product_id": product, "quantity": product % 5, "amount": "1.25", "discount": "0.00"}
    return json.dumps(line)
