"""Receives Postgres's NOTIFY as a wake-up. A notice is a hint that may be lost, so its receivers also poll."""

import asyncio
import logging
from collections.abc import Callable, Sequence

import psycopg
from psycopg import pq, sql

from refold.streams.chunk import Place
from refold.streams.errors import DatabaseRefused
from refold.streams.journal import about
from refold.streams.postgres import session
from refold.streams.postgres.connection import answered, channel, connect_async
from refold.streams.refusals import first_line

_log = logging.getLogger(__name__)
POLL_S = 0.25
BEAT_S = 10.0
"""Seconds of silence after which a listener checks its connection, and seconds it waits for the answer."""
GAP = ""
"""Sent instead of a notice when some may have been missed."""


async def listen(url: str, groups: Sequence[str], told: Callable[[str], None], application_name: str) -> None:
    """Call `told` forever with each notice (`group/topic/part:next_offset`), and with GAP after each new connection."""
    while True:
        try:
            async with await connect_async(url, f"{application_name}-listen", session.WORKER) as db:
                async with answered():
                    for group in groups:
                        await db.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel(group))))
                told(GAP)
                await _pass_on(db.pgconn, told)
        except (
            psycopg.Error,
            DatabaseRefused,
        ) as problem:  # readers also poll, and report what is wrong
            _log.debug("not listening: %s", first_line(problem), extra=about(problem, repeats=True))
        await asyncio.sleep(POLL_S)


async def _pass_on(connection: pq.abc.PGconn, told: Callable[[str], None]) -> None:
    """Pass notices on until the connection is lost or old. Reads libpq itself: psycopg's generator is ten times slower.

    Every BEAT_S it sends an empty query, and the last one must be answered. A dead connection would otherwise be
    listened to forever.
    """
    loop = asyncio.get_running_loop()
    lost: asyncio.Future[None] = loop.create_future()

    def readable() -> None:
        try:
            connection.consume_input()
        except psycopg.OperationalError as problem:
            if not lost.done():
                lost.set_exception(problem)
            return
        _is_idle(connection)  # libpq shows a notice only once the answer before it was taken
        while notice := connection.notifies():
            told(notice.extra.decode())

    socket, old_at = connection.socket, loop.time() + session.LIFETIME_S
    loop.add_reader(socket, readable)
    try:
        while loop.time() < old_at:
            await asyncio.wait([lost], timeout=BEAT_S)
            if lost.done():
                return lost.result()
            if not _is_idle(connection):
                raise psycopg.OperationalError(f"no answer for {BEAT_S:g} s")
            connection.send_query(b"")
            connection.flush()
    finally:
        loop.remove_reader(socket)


def _is_idle(connection: pq.abc.PGconn) -> bool:
    """Whether every query is answered; consumes the answer."""
    while not connection.is_busy():
        if connection.get_result() is None:
            return True
    return False


def read_notice(payload: str) -> tuple[str, Place, int]:
    """Group, place and next offset of a notice."""
    group, _, rest = payload.partition("/")
    name, _, offset = rest.rpartition(":")
    topic, _, part = name.rpartition("/")
    return group, (topic, int(part)), int(offset)


class CorePositions:
    """The positions that the core has announced, so folds after it need not ask in vain. Written by one thread only."""

    def __init__(self) -> None:
        self._told: dict[Place, int] = {}

    def hear(self, payload: str) -> None:
        """Take a notice of the core."""
        if payload == GAP:
            self._told = {}
        else:
            _, place, offset = read_notice(payload)
            self._told[place] = offset

    def may_be_beyond(self, place: Place, offset: int) -> bool:
        """Whether the core may be beyond the offset; False only if it announced that it is not."""
        told = self._told.get(place)
        return told is None or told > offset
