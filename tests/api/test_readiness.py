"""A probe is answered at once from the last look, and a missing answer is reported."""

import asyncio

import pytest

from refold.api.http import readiness
from refold.api.http.describe.services import Check
from refold.api.http.readiness import Readiness
from refold.streams.errors import KafkaUnavailable


class Server:
    """It answers, refuses, or keeps silent."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.answers.set()
        self.problem: Exception | None = None

    async def ask(self) -> Check:
        await self.answers.wait()
        if self.problem is not None:
            raise self.problem
        return Check("kafka", ok=True)


def test_a_silent_server_holds_up_no_probe_and_is_away_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_STALE_S", 60.0)

    async def probed() -> None:
        server, other = Server(), Server()
        ready = Readiness({"kafka": server.ask, "other": other.ask})
        assert [check.ok for check in await ready.checks()] == [True, True]
        server.answers.clear()
        assert [check.ok for check in await ready.checks()] == [True, True], "what was found last"
        monkeypatch.setattr(readiness, "_STALE_S", 0.1)
        await asyncio.sleep(0.2)
        silent, well = await ready.checks()
        assert (silent.ok, well.ok) == (False, True), "each is looked at by itself"
        assert silent.detail.startswith("no answer for ")
        server.answers.set()
        await asyncio.sleep(0.05)
        assert [check.ok for check in await ready.checks()] == [True, True], "it is left as soon as it answers"
        await ready.close()

    asyncio.run(probed())


def test_nothing_is_claimed_before_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "ANSWER_S", 0.01)

    async def probed() -> None:
        server = Server()
        server.answers.clear()
        ready = Readiness({"kafka": server.ask})
        (check,) = await ready.checks()
        assert not check.ok
        await ready.close()

    asyncio.run(probed())


@pytest.mark.parametrize(
    ("problem", "says"),
    [(KafkaUnavailable("it is away"), "kafka-unavailable: it is away"), (OSError("no socket"), "OSError: no socket")],
)
def test_whatever_is_raised_is_said_and_the_next_look_is_its_own(problem: Exception, says: str) -> None:
    async def probed() -> None:
        server = Server()
        ready = Readiness({"kafka": server.ask})
        server.problem = problem
        assert await ready.checks() == [Check("kafka", ok=False, detail=says)]
        server.problem = None
        assert await ready.checks() == [Check("kafka", ok=True)]
        await ready.close()

    asyncio.run(probed())
