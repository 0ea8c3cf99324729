"""An operator's restores while everything runs: from an older dump, to an empty database, or every table emptied."""

import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psycopg
from psycopg import sql

from refold.api.embedded.postgres import wheel_binaries
from tests.conftest import database_named

_BEFORE_KEYS_S = 5.0
_OLDER = b"""
    DROP TABLE refold.migrations, refold.view_faults;
    DROP VIEW refold.freshness;
    DROP INDEX refold.outcomes_rejected;
    ALTER TABLE refold.set_aside DROP COLUMN reason;
    ALTER TABLE refold.processes DROP COLUMN tables, DROP COLUMN trouble, DROP COLUMN trouble_at, DROP COLUMN standing;
"""
"""What a release of before versions were counted did not have."""


def dump(url: str, path: Path) -> None:
    """What pg_dump gives; one snapshot, whatever is written meanwhile."""
    _run("pg_dump", "--format=custom", f"--file={path}", url)


def put_in_place(admin_url: str, url: str, dumped: Path | None, *, of_older_release: bool = False) -> None:
    """The database is swapped for one restored from a dump, or for one that holds nothing; its connections are ended."""
    name = url.rpartition("/")[2]
    fresh = f"{name}_restored"
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(fresh)))
        if dumped is not None:
            _run("pg_restore", "--exit-on-error", f"--dbname={database_named(admin_url, fresh)}", str(dumped))
        if of_older_release:
            with psycopg.connect(database_named(admin_url, fresh), autocommit=True) as db:
                db.execute(_OLDER)
        _swap(admin, name, fresh)


def restore_in_place(url: str, dumped: Path) -> None:
    """`pg_restore --clean` into the database that everybody is connected to: tables go, come, are filled, and get their keys last.

    Each step by itself, with a pause before the keys, as a large dump takes its time: all workers meet tables without keys.
    """
    _run("pg_restore", "--clean", "--if-exists", "--section=pre-data", f"--dbname={url}", str(dumped))
    _run("pg_restore", "--section=data", f"--dbname={url}", str(dumped))
    time.sleep(_BEFORE_KEYS_S)
    _run("pg_restore", "--section=post-data", "--exit-on-error", f"--dbname={url}", str(dumped))


def empty(url: str) -> None:
    """Every table that is a fold of the log, connections left alone. Which tables there are is no fold (builds, topics)."""
    with psycopg.connect(url, autocommit=True) as db:
        tables = db.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname LIKE 'refold%' AND NOT (schemaname, tablename)"
            " IN (('refold', 'builds'), ('refold', 'topics')) ORDER BY 1, 2"
        ).fetchall()
        names = sql.SQL(", ").join(sql.Identifier(*table) for table in tables)
        while True:  # beside readers that take the same tables in another order: Postgres ends one of them, an operator tries again
            with suppress(psycopg.errors.DeadlockDetected):
                db.execute(sql.SQL("TRUNCATE {}").format(names))
                return


def _swap(admin: psycopg.Connection[tuple[object, ...]], name: str, fresh: str) -> None:
    old = f"{name}_old"
    admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
    admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (name,))
    for before, after in ((name, old), (fresh, name)):
        admin.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(before), sql.Identifier(after)))
    admin.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(old)))


def _run(program: str, *arguments: str) -> None:
    done = subprocess.run([str(wheel_binaries() / program), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
