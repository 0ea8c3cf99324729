"""Tests a server that vanishes silently: no reset, no end of the connection, lost packets."""

import asyncio
import os
import socket

from refold.api.http.wire.database import Database
from refold.streams.postgres.connection import connect


def test_a_connection_does_not_wait_for_a_quarter_of_an_hour(database: str) -> None:
    with connect(database, application_name="test") as db:
        assert_impatient(db.fileno())


def test_nor_does_one_of_the_api(database: str) -> None:
    asyncio.run(connected(database))


async def connected(database: str) -> None:
    pool = Database(database, 2)
    await pool.open()
    try:
        async with pool._pool.connection(timeout=60) as db:
            assert_impatient(db.fileno())
    finally:
        await pool.close()


def assert_impatient(descriptor: int) -> None:
    with socket.socket(fileno=os.dup(descriptor)) as line:
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 15_000
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 5
