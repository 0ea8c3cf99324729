"""Write what the migrations lead to and their checksums: `python -m tests.golden.make_tables`, after a migration was added.

`streams/postgres/migrations/layout.txt` is read off a fresh database. A checksum is written once and never again: that migration was applied to
somebody's database, and editing it changes nothing there.
"""

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection

from refold.api.embedded.servers import Servers
from refold.streams.postgres.tables_version import migrations

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "streams/postgres/migrations"
CHECKSUMS = Path(__file__).parent / "tables/migrations.sha256"

_COLUMNS = """
    SELECT relname || '.' || attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
     WHERE relnamespace = 'refold'::regnamespace AND relkind IN ('r', 'v') AND attnum > 0 AND NOT attisdropped ORDER BY relname, attnum
"""
_FUNCTIONS = """
    SELECT proname || '(' || array_to_string(ARRAY(SELECT format_type(t, NULL) FROM unnest(proargtypes) t), ',') || ')'
      FROM pg_proc WHERE pronamespace = 'refold'::regnamespace ORDER BY 1
"""
_INDEXES = """
    SELECT relname FROM pg_index JOIN pg_class c ON c.oid = indexrelid
     WHERE relnamespace = 'refold'::regnamespace AND NOT indisprimary ORDER BY 1
"""


def layout(db: Connection[Any]) -> str:
    """The text of layout.txt for what a database has. Keys are left out: `restoring` looks after them."""
    names = [name for asked in (_COLUMNS, _FUNCTIONS, _INDEXES) for (name,) in db.execute(asked.encode())]
    return "".join(f"{name}\n" for name in names)


def checksums() -> dict[str, str]:
    """Those that were written, by file."""
    lines = CHECKSUMS.read_text(encoding="utf-8").splitlines() if CHECKSUMS.exists() else []
    return {name: found for found, name in (line.split("  ") for line in lines)}


def checksums_now() -> dict[str, str]:
    """Those of the files."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(FOLDER.glob("0*.sql"))}


def main() -> None:
    """Write both files."""
    with tempfile.TemporaryDirectory() as data, Servers(Path(data), lambda _: None, kafka=False) as servers:
        url = servers.endpoints().database_url
        assert url
        with psycopg.connect(url, autocommit=True) as db:
            db.execute("CREATE SCHEMA refold")
            for migration in migrations(FOLDER):
                db.execute(migration.statements.encode())
            (FOLDER / "layout.txt").write_text(layout(db), encoding="utf-8")
    CHECKSUMS.write_text("".join(f"{found}  {name}\n" for name, found in (checksums_now() | checksums()).items()))


if __name__ == "__main__":
    main()
