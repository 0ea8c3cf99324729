"""One command on its way: the first answer counts, from Kafka or from the core, and silence has a code."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from refold.api.http.commands.sending import Sending
from refold.api.unavailable import AppendUnknown
from refold.streams.errors import DeliveryFailed

FAILED = DeliveryFailed("no broker")


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 60))


def tell(sending: Sending, problem: DeliveryFailed | None) -> None:
    """As the producer does it: in a thread of its own."""
    thread = threading.Thread(target=sending.delivered, args=(problem,))
    thread.start()
    thread.join()


def test_an_outcome_is_told_at_once_whether_acknowledged_or_not() -> None:
    async def main() -> None:
        expected, sending = asyncio.get_running_loop().create_future(), Sending()
        asyncio.get_running_loop().call_soon(expected.set_result, "outcome")
        await sending.decided(expected, 60)
        assert expected.done()

    run(main())


def test_a_refusal_ends_the_wait_for_the_outcome_and_is_raised() -> None:
    async def main() -> None:
        expected, sending = asyncio.get_running_loop().create_future(), Sending()
        threading.Timer(0.05, sending.delivered, (FAILED,)).start()
        await sending.decided(expected, 60)
        assert not expected.done()
        with pytest.raises(DeliveryFailed, match="no broker"):
            await sending.acknowledged(60)

    run(main())


@pytest.mark.parametrize("late", [False, True])
def test_an_acknowledgement_is_seen_before_and_after_it_is_waited_for(late: bool) -> None:
    async def main() -> None:
        sending = Sending()
        if late:
            threading.Timer(0.05, sending.delivered, (None,)).start()
        else:
            tell(sending, None)
        await sending.acknowledged(60)

    run(main())


def test_silence_is_unknown_and_what_is_told_after_it_harms_nobody() -> None:
    async def main() -> None:
        expected, sending = asyncio.get_running_loop().create_future(), Sending()
        await sending.decided(expected, 0.01)
        with pytest.raises(AppendUnknown):
            await sending.acknowledged(0.01)
        tell(sending, FAILED)
        expected.set_result("late")
        await asyncio.sleep(0)

    run(main())
