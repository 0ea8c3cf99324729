"""A stop drains: not ready first, the listener open until then, connections closed after an answer, what is in flight finished."""

import threading
import time
from typing import Any

import httpx
from litestar import Litestar

from refold.api.http.server import server
from refold.streams.settings import Settings
from tests.api.test_limits import COMMAND, GOOD, running


def test_a_stopping_api_is_unready_and_answers_all_else_until_it_is_drained(app: Litestar, world: Any) -> None:
    served = server(Settings(api_port=0, api_drain_s=30), app)
    world.decides = False
    with running(served) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as kept:
        assert kept.get("/livez").headers.get("connection") != "close"
        answers: list[int] = []
        headers = {"Idempotency-Key": "k", "Prefer": "wait=2"}
        url = f"http://127.0.0.1:{port}{COMMAND}"
        flying = threading.Thread(
            target=lambda: answers.append(httpx.post(url, json=GOOD, headers=headers, timeout=60).status_code)
        )
        flying.start()
        served.should_exit = True
        until = time.monotonic() + 20
        while not served.server_state.draining and time.monotonic() < until:
            time.sleep(0.01)
        unready, other = kept.get("/readyz"), httpx.get(f"http://127.0.0.1:{port}/v1/retail")
        assert (unready.status_code, unready.json()["checks"][0]["name"]) == (503, "process")
        assert (other.status_code, unready.headers["connection"], other.headers["connection"]) == (
            200,
            "close",
            "close",
        )
        served.force_exit, served._drain_s = False, 0
        flying.join(30)
        assert answers == [202]
        served.force_exit = True
