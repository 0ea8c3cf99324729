"""Sets everything that our connections rely on, so no default of a server, database, role or environment decides it.

Settings travel with the connection's start, so they override limits set for the database. libpq's environment (PGTZ,
PGDATESTYLE) overrides them, some servers do not know every setting, and a pooler may pass none on. So all are set again
once the connection is up.
"""

from collections.abc import Mapping
from typing import Any

from psycopg import pq

from refold.streams.errors import DatabaseRefused

LINK: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""Connection parameters by which a vanished server is noticed in seconds, whether sending or waiting. The system's own
limits are a quarter of an hour for unacknowledged data and two hours for an idle connection."""

LIFETIME_S = 300.0
"""Seconds that the API keeps a reading connection, so it leaves a live server that is no longer the primary."""

_RELIED_ON = {
    "timezone": "UTC",
    "datestyle": "ISO,MDY",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "search_path": "public",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_session_timeout": "0",
}
WORKER = _RELIED_ON | {
    "default_transaction_read_only": "off",
    "idle_in_transaction_session_timeout": "60000",
    "row_security": "off",  # rows hidden by a policy would be wrong numbers: refuse instead
}
"""For connections that fold, decide or rebuild."""
BY_KEY = {"enable_seqscan": "off", "plan_cache_mode": "force_generic_plan"}
"""Makes every statement find its rows by a table's key."""
STATEMENT_TIMEOUT_MS = 5000
READER = _RELIED_ON | {
    "default_transaction_read_only": "on",
    "idle_in_transaction_session_timeout": "10000",
    "row_security": "on",
    "client_min_messages": "warning",
    "statement_timeout": str(STATEMENT_TIMEOUT_MS),
}
"""For the API's reads."""

_ENCODED = {"client_encoding": "UTF8"}
_TRANSACTION_TIMEOUT = b"; SET transaction_timeout = 0"
_SINCE_17 = 170_000
_DURABLE = b"; SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"


def parameters(application_name: str, settings: Mapping[str, str]) -> dict[str, Any]:
    """A connection's parameters, in autocommit: transactions are explicit blocks."""
    said = (f"-c {name}={value}" for name, value in ((n, v.replace(" ", "\\ ")) for n, v in settings.items()))
    return {
        "autocommit": True,
        "application_name": f"refold-{application_name}",
        "client_encoding": "utf8",
        "options": " ".join(said),
        **LINK,
    }


def said_again(settings: Mapping[str, str]) -> bytes:
    """A statement that sets them again on an open connection."""
    return "; ".join(f"SET {name} = {_quoted(value)}" for name, value in settings.items()).encode()


def _quoted(value: str) -> str:
    """A list's members, each quoted: in one pair of quotes a search path would be one name."""
    return ", ".join(f"'{part}'" for part in value.split(","))


def settling(connection: pq.abc.PGconn, settings: Mapping[str, str]) -> bytes:
    """The first statements of a new connection. Raises DatabaseRefused for a database that cannot hold every text."""
    encoding = (connection.parameter_status(b"server_encoding") or b"UTF8").decode()
    if encoding != "UTF8":
        raise DatabaseRefused(
            f"the database {connection.db.decode()} has the encoding {encoding}, which cannot hold every text",
            remedy="Create a database with ENCODING 'UTF8' (TEMPLATE template0), and fold the log into it.",
        )
    timeout = _TRANSACTION_TIMEOUT if connection.server_version >= _SINCE_17 else b""
    return said_again({**_ENCODED, **settings}) + timeout + _DURABLE
