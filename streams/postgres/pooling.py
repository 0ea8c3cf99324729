"""Detects and refuses a pooler that gives each transaction another session: it would lose a session's settings.

The pooler's name does not matter. The test sets a word in the session of one connection; then a second connection begins
a transaction, and the first is asked for its word. If sessions are pooled by transaction or statement, the second gets
the session that the first just returned, with the word, and the first gets another one. If they are pooled by session,
this cannot happen. Some poolers also report a process id that is not Postgres's own: such a connection is tested more
than once.
"""

import select
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import pq

SESSION_S = 10.0
"""Seconds in which a new connection must get its session. A pooler with a full pool gives none."""
_SECOND_S = 1.0
"""Seconds in which the second connection must get a session. Otherwise each client keeps its own, so the first has
one."""
BELIEVED_S = 60.0
"""Seconds that a finding about a pooler is used: an operator may change it while a process runs."""
_ROUNDS = {True: 1, False: 16}
"""Tests per connection: 1 if no pooler shows, else 16. A pooler of several processes has a pool in each, and both
connections must meet in one."""
_TELL = "SELECT pg_backend_pid(), set_config('refold.session', '{word}', false)"
_ASK = "SELECT pg_backend_pid(), current_setting('refold.session', true)"
_believed: dict[tuple[str, bool], float] = {}
"""Time at which an address must be tested again, by whether no pooler showed."""

Told = tuple[str | None, ...]


def pools_transactions(url: str, parameters: Mapping[str, Any], connection: pq.abc.PGconn) -> bool:
    """Whether two statements on this connection may meet two sessions; False if no second one can be had to test.

    Raises psycopg.OperationalError if the connection is lost, or gets no session.
    """
    if (server := _asked(connection, "SELECT pg_backend_pid()", SESSION_S)) is None:
        raise psycopg.OperationalError(f"no session was given within {SESSION_S:g} s: a pooler's pool may be full")
    direct = server[:1] == (str(connection.backend_pid),)
    if time.monotonic() < _believed.get((url, direct), 0.0):
        return False
    for _ in range(_ROUNDS[direct]):
        found = _round(url, parameters, connection)
        if found:
            return True
        if found is None:
            break
    _believed[url, direct] = float("inf") if direct else time.monotonic() + BELIEVED_S
    return False


def _round(url: str, parameters: Mapping[str, Any], connection: pq.abc.PGconn) -> bool | None:
    """The result of one test; None without a second session. Raises psycopg.OperationalError."""
    word = uuid4().hex
    told = _asked(connection, _TELL.format(word=word), SESSION_S)
    with ExitStack() as opened:
        met = _met_by_a_second(opened, url, parameters)
        if met is not None and met[1:] == (word,):
            return True
        again = _asked(connection, _ASK, SESSION_S)
    if told and again and again != told:
        return True
    return None if met is None else False


def _met_by_a_second(opened: ExitStack, url: str, parameters: Mapping[str, Any]) -> Told | None:
    """A second connection's session; its transaction ends with the stack. () if refused, None if not given."""
    try:
        second = opened.enter_context(closing(psycopg.connect(url, **parameters)))
    except psycopg.Error:
        return None
    try:
        return _asked(second.pgconn, f"BEGIN; {_ASK}", _SECOND_S)
    except psycopg.Error:  # a pooler by statement refuses transactions, and ends the connection
        return ()


def _asked(connection: pq.abc.PGconn, query: str, seconds: float) -> Told | None:
    """The row of a query's last result, () if it fails, None after the timeout. Raises psycopg.OperationalError."""
    until = time.monotonic() + seconds
    found: Told = ()
    connection.send_query(query.encode())
    while True:
        unsent = connection.flush()
        if not unsent and not connection.is_busy():
            result = connection.get_result()
            if result is None:
                return found
            found = _row(result)
            continue
        poll = select.poll()
        poll.register(connection.socket, select.POLLIN | (select.POLLOUT if unsent else 0))
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            return None
        connection.consume_input()


def _row(result: pq.abc.PGresult) -> Told:
    if result.status != pq.ExecStatus.TUPLES_OK or not result.ntuples:
        return ()
    values = (result.get_value(0, column) for column in range(result.nfields))
    return tuple(None if value is None else value.decode() for value in values)
