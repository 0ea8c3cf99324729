"""A request's body, within a time: a client that stops in the middle must not hold a place for ever."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from litestar import Request
from litestar.types import Receive

from refold.api.errors import BodyTimeout

BODY_S = 30.0
"""For a body of at most 1 MiB."""
PAUSE_S = 60.0
"""Between two pieces of a batch, whose whole may take as long as it likes."""


class HungUp(Exception):
    """The client left in the middle of its body; what is half a line then is no command."""


async def whole_body(request: Request[Any, Any, Any]) -> bytes:
    """All of the body. Raises BodyTimeout."""
    try:
        async with asyncio.timeout(BODY_S):
            return await request.body()
    except TimeoutError:
        raise BodyTimeout(f"the body did not end within {BODY_S:g} s") from None


async def pieces(receive: Receive) -> AsyncIterator[bytes]:
    """The body as it comes. Raises BodyTimeout, HungUp."""
    while True:
        try:
            async with asyncio.timeout(PAUSE_S):
                message = await receive()
        except TimeoutError:
            raise BodyTimeout(f"no piece of the body came for {PAUSE_S:g} s") from None
        if message["type"] != "http.request":
            raise HungUp
        yield message["body"]
        if not message["more_body"]:
            return
