"""Postgres's NOTIFY as a wake-up: a hint that may be lost, so whoever waits polls too."""

import asyncio
import logging
from collections.abc import Callable

import psycopg

from refold.streams.postgres import channel, first_line

_log = logging.getLogger(__name__)
POLL_S = 0.25
_CORE = "core"


async def listen(url: str, heard: Callable[[], None], application_name: str) -> None:
    """Call `heard` at each notice of the core, for ever; reconnects by itself, and calls it after a gap too."""
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(
                url, autocommit=True, application_name=f"refold-{application_name}-listen", connect_timeout=5
            ) as db:
                await db.execute(f"LISTEN {channel(_CORE)}")
                heard()
                async for _ in db.notifies():
                    heard()
        except psycopg.OperationalError as problem:
            _log.debug("not listening: %s", first_line(problem))
        await asyncio.sleep(POLL_S)
