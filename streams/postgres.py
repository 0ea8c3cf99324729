"""How every process of ours speaks to Postgres, and the platform's own tables."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, LiteralString, Protocol

import psycopg
from psycopg.rows import TupleRow

from refold.streams.chunk import Place
from refold.streams.errors import DatabaseUnavailable

_CHANNEL = "refold_"
_BOOTSTRAP_LOCK = 0x5EF01D
_log = logging.getLogger(__name__)

Database = psycopg.Connection[TupleRow]

LINK: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""A server that vanishes without a word is noticed in seconds, whether something was sent or awaited: the system's own
patience with what is not acknowledged is a quarter of an hour, with an idle connection two hours."""


class Rows(Protocol):
    """The answer to a statement."""

    def fetchall(self) -> list[Any]: ...
    def fetchone(self) -> Any: ...


class Statements(Protocol):
    """A connection that answers at once (`Database`), or many at a time (`pipelined.Pipelined`)."""

    def execute(self, query: LiteralString | bytes, params: Sequence[Any] = ..., /) -> Rows: ...


def connect(url: str, *, application_name: str, by_key: bool = False) -> Database:
    """A connection in autocommit; transactions are explicit blocks. Raises psycopg.OperationalError.

    `by_key`: every statement finds its rows by a table's key. A plan prepared while a table was small and never analysed
    would otherwise go on scanning it from end to end as it grows.
    """
    return psycopg.connect(
        url,
        autocommit=True,
        application_name=f"refold-{application_name}",
        **LINK,
        options="-c timezone=UTC -c idle_in_transaction_session_timeout=60000"
        + (" -c enable_seqscan=off -c plan_cache_mode=force_generic_plan" if by_key else ""),
    )


def connect_patiently(url: str, *, application_name: str, seconds: float = 3600.0, by_key: bool = False) -> Database:
    """Connect, however long Postgres stays away, up to `seconds`. Raises DatabaseUnavailable."""
    until, told = time.monotonic() + seconds, False
    while True:
        try:
            return connect(url, application_name=application_name, by_key=by_key)
        except psycopg.OperationalError as problem:
            if time.monotonic() > until:
                raise DatabaseUnavailable(f"Postgres does not answer: {first_line(problem)}") from problem
            if not told:
                _log.warning("Postgres is away, waiting for it: %s", first_line(problem))
                told = True
            time.sleep(0.25)


@contextmanager
def answering() -> Iterator[None]:
    """What psycopg says of a server that is away, as an error of ours. Raises DatabaseUnavailable."""
    try:
        yield
    except psycopg.OperationalError as problem:
        raise DatabaseUnavailable(f"Postgres does not answer: {first_line(problem)}") from problem


def first_line(problem: Exception) -> str:
    """The first line of a driver's message: the rest is for the driver's authors."""
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0]


def bootstrap(db: Database) -> None:
    """Create what is missing of the platform's tables; safe to run by many at once."""
    create_tables(db, "refold.streams", "core_tables.sql")


def create_tables(db: Database, package: str, name: str) -> None:
    """Run a package's SQL that creates what is missing; safe to run by many at once."""
    statements = (files(package) / name).read_text(encoding="utf-8")
    with db.transaction():
        db.execute("SELECT pg_advisory_xact_lock(%s)", (_BOOTSTRAP_LOCK,))
        db.execute("SET LOCAL client_min_messages = warning")
        db.execute(statements.encode())


def channel(group: str) -> str:
    """Where a group tells of its commits: whoever waits for one group is not woken by the others."""
    return _CHANNEL + group


def notify(db: Statements, group: str, moved: Mapping[Place, int]) -> None:
    """Tell listeners, once the transaction commits, where a group stands now."""
    payloads = [f"{group}/{topic}/{part}:{at}" for (topic, part), at in moved.items()]
    db.execute("SELECT pg_notify(%s, payload) FROM unnest(%s::text[]) payload", (channel(group), payloads))
