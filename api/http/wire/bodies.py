"""A request's body, read within a time limit: a client that stops in the middle must not hold its place forever."""

import asyncio
from collections.abc import AsyncIterator, Mapping

from litestar.types import Receive

from refold.api.errors import BodyIncomplete, BodyTimeout, BodyTooLarge

MAX_BODY_BYTES = 1 << 20
BODY_S = 30.0
"""Seconds for a whole body of at most 1 MiB."""
PAUSE_S = 60.0
"""Most seconds between two pieces of a batch. The whole batch has no limit."""


class HungUp(Exception):
    """The client left in the middle of its body; the half line that is left is no command."""


async def whole_body(receive: Receive, headers: Mapping[str, str], most: int = MAX_BODY_BYTES) -> bytes:
    """The whole body, at most `most` bytes. Raises BodyTimeout, BodyTooLarge, BodyIncomplete."""
    if int(headers.get("content-length", "0")) > most:
        raise _too_large(most)
    found = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            while (message := await receive())["type"] == "http.request":
                found += message["body"]
                if len(found) > most:
                    raise _too_large(most)
                if not message["more_body"]:
                    return bytes(found)
    except TimeoutError:
        raise BodyTimeout(f"the body did not end within {BODY_S:g} s") from None
    raise BodyIncomplete("the connection ended in the middle of the body")


def _too_large(most: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {most >> 20} MiB")


async def pieces(receive: Receive) -> AsyncIterator[bytes]:
    """The body piece by piece, as it arrives. Raises BodyTimeout, HungUp."""
    while True:
        try:
            async with asyncio.timeout(PAUSE_S):
                message = await receive()
        except TimeoutError:
            raise BodyTimeout(f"no part of the body came for {PAUSE_S:g} s") from None
        if message["type"] != "http.request":
            raise HungUp
        yield message["body"]
        if not message["more_body"]:
            return
