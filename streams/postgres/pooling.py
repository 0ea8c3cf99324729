"""Whether a pooler gives each transaction another connection of Postgres. It is refused: what is said to a session is lost with it.

No pooler is asked for its name. A session is told a word, another connection of ours begins a transaction, and the first is asked again.
Who pools by transaction or statement hands the second connection the session that the first has just given back, word and all, and
the first gets another one; who pools by session cannot. A pooler that changes nothing says so in another way, too: the process id
that it tells its client is not the one that Postgres tells, so such a connection is looked at more than once.
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
"""In which a new connection is to have its session; a pooler whose pool is full gives none."""
_SECOND_S = 1.0
"""Who gives the second connection no session meanwhile keeps one for each client: the first connection has it."""
BELIEVED_S = 60.0
"""For so long a pooler is taken for what it was found to be: an operator may change it while a process runs."""
_ROUNDS = {True: 1, False: 16}
"""By whether no pooler is seen. One that runs as several processes has a pool in each, and two connections must meet in one."""
_TELL = "SELECT pg_backend_pid(), set_config('refold.session', '{word}', false)"
_ASK = "SELECT pg_backend_pid(), current_setting('refold.session', true)"
_believed: dict[tuple[str, bool], float] = {}
"""When an address has to be looked at again, by whether no pooler was seen."""

Told = tuple[str | None, ...]


def pools_transactions(url: str, parameters: Mapping[str, Any], connection: pq.abc.PGconn) -> bool:
    """Whether two statements on this new connection may meet two sessions; False where no second one can be had to find out.

    Raises psycopg.OperationalError where the connection is lost, or is given no session.
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
    """None where there was no second session. Raises psycopg.OperationalError."""
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
    """It keeps its transaction while the stack is open. () where that is refused, None where no second session is given."""
    try:
        second = opened.enter_context(closing(psycopg.connect(url, **parameters)))
    except psycopg.Error:
        return None
    try:
        return _asked(second.pgconn, f"BEGIN; {_ASK}", _SECOND_S)
    except psycopg.Error:  # who pools by statement refuses transactions, and ends the connection
        return ()


def _asked(connection: pq.abc.PGconn, query: str, seconds: float) -> Told | None:
    """The row of a query's last result, () where it fails; None when the time is over. Raises psycopg.OperationalError."""
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
