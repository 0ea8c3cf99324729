"""Decides whether a server's error means that it is away or busy, which passes, or that it refuses, which does not.

Every part that waits for a server asks this module first. psycopg's OperationalError does not tell (an index row that
is too large raises one), nor does a KafkaException.
"""

import os
import re
import select
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from confluent_kafka import KafkaError
from psycopg import conninfo, pq

from refold.streams.errors import (
    DatabasePooled,
    DatabaseRefused,
    KafkaRefused,
    KafkaUnavailable,
    Refused,
    StatementFailed,
    WrongSettings,
)

_AWAY_CLASSES = frozenset({"08", "40", "53", "57", "58"})
"""SQLSTATE classes that pass: connection lost; serialization and deadlock; out of disk, memory or connections; shut
down or cancelled; system errors."""
_AWAY = frozenset({"25006", "25P03", "25P04", "55006", "55P03"})
"""SQLSTATEs that pass: read-only (a standby before its promotion); a transaction idle or open for too long; in use; a
lock not free in time."""
_RIGHTS_CLASSES = frozenset({"28", "3D", "0P"})
_RIGHTS = frozenset({"42501"})
_SQLSTATE = re.compile(rb'ErrorResponse\t.*? C "([0-9A-Z]{5})"')
_CLIENT_REFUSES = (
    "no password supplied",
    "SSL was required",
    "certificate",
    "authentication method",
    "channel binding required",
    "GSSAPI encryption required",
)
_CLIENTS_REMEDY = (
    "Correct REFOLD_DATABASE_URL, or the variables PG… of the environment (PGSSLMODE, PGSERVICE, …), and start again."
)
_WHICH_SERVER = re.compile(
    r"^(connection failed: )?connection to server at .+?, port \d+ failed: |^connection is bad: "
)
_CROWDED = ("too many", "remaining connection slots")
_UNSUPPORTED = "unsupported startup parameter"
_POOLERS_REMEDY = "Configure the pooler to ignore it (PgBouncer: ignore_startup_parameters = options), or connect to Postgres directly; docs/configuration.md has a pooler's settings."
_POOLED = "a pooler gives each transaction, or each statement, another session of Postgres"
_PATIENCE_S = 5.0
_ENDED = frozenset({pq.PollingStatus.OK, pq.PollingStatus.FAILED})

_REFUSED = frozenset(
    {
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - a public constant of the library
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.ILLEGAL_SASL_STATE,
        KafkaError.SECURITY_DISABLED,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.INVALID_PARTITIONS,
        KafkaError.INVALID_CONFIG,
        KafkaError.INVALID_REQUEST,
        KafkaError.INVALID_REQUIRED_ACKS,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.POLICY_VIOLATION,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT,
        KafkaError.UNSUPPORTED_COMPRESSION_TYPE,
    }
)
TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})


STEADY_S = 10.0
"""Seconds after which a running role counts as fully admitted: a later refusal withdraws a right, which may come
back."""


@dataclass
class Admission:
    """Whether a server once admitted this process. A later refusal passes, for example when a restore ends."""

    waits: bool = False
    granted: bool = False
    steady_from: float = 0.0

    def begin(self, *, ran_before: bool) -> None:
        """A supervised role starts, for the first time or again."""
        self.waits, self.granted = True, ran_before
        self.steady_from = time.monotonic() + (0.0 if ran_before else STEADY_S)

    def is_steady(self) -> bool:
        """Whether to wait after any refusal."""
        return self.waits and time.monotonic() >= self.steady_from


ADMISSION = Admission()
"""Supervised roles begin it. A command or a role run by hand reports a refusal at once."""


def first_line(problem: BaseException) -> str:
    """The first line of a driver's message. The rest is for the driver's authors."""
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0]


def is_away(problem: psycopg.Error) -> bool:
    """Whether a statement may succeed once the server is back or less busy. No SQLSTATE: the connection was lost."""
    state = problem.sqlstate
    if state is None:
        return isinstance(problem, psycopg.OperationalError)
    return state in _AWAY or state[:2] in _AWAY_CLASSES


def refusal_of(problem: psycopg.Error) -> DatabaseRefused | None:
    """The refusal of this role, whatever it sends. None if the statement or the server's state is to blame."""
    state = problem.sqlstate or ""
    if state in _RIGHTS or state[:2] in _RIGHTS_CLASSES:
        return DatabaseRefused(f"Postgres refuses: {first_line(problem)}")
    return None


def of_statement(problem: psycopg.Error) -> DatabaseRefused | StatementFailed:
    """The reason why our own statement failed, when no server is away."""
    state = f" (SQLSTATE {problem.sqlstate})" if problem.sqlstate else ""
    return refusal_of(problem) or StatementFailed(f"Postgres says: {first_line(problem)}{state}")


def is_keyless(problem: psycopg.Error) -> bool:
    """Whether a key that our statement names is missing. Tables are made with keys, so a restore must still add it."""
    return isinstance(problem, psycopg.errors.InvalidColumnReference)


def may_pass(problem: psycopg.Error) -> bool:
    """Whether to ask again: the server is away, is being restored, or now refuses a role that it admitted before."""
    return is_away(problem) or is_keyless(problem) or (ADMISSION.is_steady() and refusal_of(problem) is not None)


def is_passing(problem: BaseException) -> bool:
    """Whether to restart a role that ends with it: it ran before, so an operator may restore the withdrawn right."""
    return isinstance(problem, Refused | WrongSettings) and ADMISSION.is_steady()


def of_connecting(url: str, parameters: Mapping[str, Any], problem: psycopg.Error) -> psycopg.Error | DatabaseRefused:
    """Why no connection was made: the problem itself while the server is away, otherwise its refusal.

    libpq hides the SQLSTATE of a failed start, and messages are in the server's language. So the start is repeated with
    libpq's trace of the bytes sent and received, which holds the SQLSTATE.
    """
    if not isinstance(problem, psycopg.OperationalError):
        return DatabaseRefused("the address of the database cannot be read", remedy="Correct REFOLD_DATABASE_URL.")
    whole = conninfo.make_conninfo(url, **{name: value for name, value in parameters.items() if name != "autocommit"})
    silent = _is_silent(whole)
    if any(said in str(problem) for said in _CLIENT_REFUSES) or (not silent and _ping(whole) == pq.Ping.NO_ATTEMPT):
        return _refused(first_line(problem), _CLIENTS_REMEDY)
    if silent or not _is_up(whole, str(problem)):
        return problem
    try:
        came_about, text, traced = _traced_start(whole)
    except psycopg.Error:
        return problem
    states = [found.decode() for found in _SQLSTATE.findall(traced)]
    refused = [state for state in states if state[:2] not in _AWAY_CLASSES or _UNSUPPORTED in text]
    if not came_about and states and refused == states:
        return _refused(
            first_line(Exception(text.rpartition("FATAL:")[2])), _POOLERS_REMEDY if _UNSUPPORTED in text else None
        )
    return problem


def of_pooler() -> psycopg.Error | DatabasePooled:
    """The error for a connection whose statements may each run in another session. A role that ran before waits."""
    if ADMISSION.waits and ADMISSION.granted:
        return psycopg.OperationalError(f"it cannot be used now: {_POOLED}")
    return DatabasePooled(_POOLED)


def _refused(why: str, remedy: str | None = None) -> psycopg.Error | DatabaseRefused:
    why = _WHICH_SERVER.sub("", why)
    if ADMISSION.waits and ADMISSION.granted:
        return psycopg.OperationalError(f"it refuses the connection now: {why}")
    return DatabaseRefused(f"Postgres refuses the connection: {why}", remedy)


def _is_up(url: str, text: str) -> bool:
    """Whether the server answers, is not just starting, and has room for clients."""
    return not any(said in text for said in _CROWDED) and _ping(url) == pq.Ping.OK


def _is_silent(url: str) -> bool:
    """Whether nothing comes of a start for a while. Only a server that answers is pinged: a ping that waits stops all threads of the process.

    psycopg calls libpq's `PQping` without giving Python's lock away.
    """
    connection = pq.PGconn.connect_start(url.encode())
    try:
        return _started(connection) not in _ENDED
    finally:
        connection.finish()


def _ping(url: str) -> int:
    return pq.PGconn.ping(url.encode())


def _traced_start(url: str) -> tuple[bool, str, bytes]:
    """Whether it connects now, libpq's message, and its trace (in memory only: it may hold a password)."""
    with os.fdopen(os.memfd_create("refold-trace"), "rb") as trace:
        connection = pq.PGconn.connect_start(url.encode())
        try:
            connection.trace(trace.fileno())
            state = _started(connection)
            connection.untrace()
            text = connection.get_error_message("utf-8")
        finally:
            connection.finish()
        trace.seek(0)
        return state == pq.PollingStatus.OK, text, trace.read()


def _started(connection: pq.abc.PGconn) -> int:
    """The state of a start after it ended, or after _PATIENCE_S; meanwhile other threads run."""
    until = time.monotonic() + _PATIENCE_S
    while (state := connection.connect_poll()) not in _ENDED and (left := until - time.monotonic()) > 0:
        poll = select.poll()
        poll.register(connection.socket, select.POLLIN if state == pq.PollingStatus.READING else select.POLLOUT)
        poll.poll(left * 1000)
    return state


def of_kafka(error: KafkaError, what: str) -> KafkaUnavailable | KafkaRefused:
    """An error of a broker or client as one of ours; `what` is the attempted action."""
    if error.code() in _REFUSED:
        return KafkaRefused(f"{what}: {error.str()} ({error.name()})")
    return KafkaUnavailable(f"{what}: {error}")
