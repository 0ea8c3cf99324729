"""Tells whether the database is being restored now. Writers wait until it is complete.

A restore makes the tables, fills them, and adds their keys last. In between a row can exist twice, and two tables may
show different moments. So no position moves, and no table is made, while a key is missing or pg_restore is at work.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from refold.streams import standing
from refold.streams.errors import DatabaseUnavailable
from refold.streams.refusals import ADMISSION

_log = logging.getLogger(__name__)
_PAUSE_S = 0.5
RESTORE = "the database is being restored"
AFTER_RESTORE = "wait; if the restore was broken off, run it again (docs/backup.md)"
_BASE = ("claims", "outcomes", "positions", "stream_offsets", "streams", "voids")
HAS_KEYS = " AND ".join(f"to_regclass('refold.{name}_pkey') IS NOT NULL" for name in _BASE)
"""SQL condition: the keys of the core's tables exist. Look-ups in Postgres's own caches, some microseconds in all."""

_RESTORER = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND starts_with(application_name, 'pg_restore') LIMIT 1"
_KEYLESS = """
    SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
     WHERE nspname = 'refold' AND relkind = 'r' AND relname = ANY(%s)
       AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary AND indisvalid)
     ORDER BY relname
"""


def why_not_whole(db: psycopg.Connection[Any], tables: Sequence[str] = _BASE) -> str | None:
    """A sentence that says why nobody may write now, or None. Raises psycopg.Error."""
    if (found := db.execute(_RESTORER).fetchone()) is not None:
        return f"{RESTORE} (pg_restore, Postgres process {found[0]})"
    if keyless := [name for (name,) in db.execute(_KEYLESS, (list(tables),)).fetchall()]:
        return f"refold.{', refold.'.join(keyless)} has no key: {RESTORE}, or a restore was broken off"
    return None


def stand_aside(db: psycopg.Connection[Any], tables: Sequence[str] = _BASE, *, patient: bool = False) -> None:
    """Return once the database is complete. A command run by hand does not wait but raises DatabaseUnavailable.

    `patient`: wait in any case. Raises psycopg.Error.
    """
    while (why := why_not_whole(db, tables)) is not None:
        if not (patient or ADMISSION.waits):
            raise DatabaseUnavailable(why, AFTER_RESTORE[0].upper() + AFTER_RESTORE[1:] + ".")
        if standing.waits(stand_aside, why):
            _log.warning("waiting: %s", why)
        time.sleep(_PAUSE_S)
    standing.goes_on(stand_aside)


@contextmanager
def whole(db: psycopg.Connection[Any]) -> Iterator[None]:
    """Run statements that rely on keys. A missing key counts as a server that is away: psycopg.OperationalError."""
    if (why := why_not_whole(db)) is not None:
        raise psycopg.OperationalError(why)
    try:
        yield
    except psycopg.errors.InvalidColumnReference as problem:
        raise psycopg.OperationalError(f"a key is missing: {RESTORE}") from problem
