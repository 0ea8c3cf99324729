"""Describes the platform's own tables and their rows as lines to compare. The order of columns does not count."""

from typing import Any

from psycopg import Connection, sql

_OURS = "'refold'::regnamespace"
_ASKED = {
    "column": f"""
        SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull, attidentity::text, attcollation::regcollation::text,
               pg_get_expr(adbin, adrelid), col_description(attrelid, attnum), attacl::text
          FROM pg_attribute JOIN pg_class c ON c.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
         WHERE relnamespace = {_OURS} AND relkind IN ('r', 'v') AND attnum > 0 AND NOT attisdropped""",
    "relation": f"""
        SELECT relname, relkind::text, relpersistence::text, reloptions::text, relowner::regrole::text, relrowsecurity,
               obj_description(oid, 'pg_class'), ARRAY(SELECT a::text FROM unnest(relacl) a ORDER BY 1)::text
          FROM pg_class WHERE relnamespace = {_OURS}""",
    "index": f"SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE relnamespace = {_OURS}",
    "constraint": f"SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = {_OURS}",
    "view": f"SELECT relname, pg_get_viewdef(oid) FROM pg_class WHERE relnamespace = {_OURS} AND relkind = 'v'",
    "function": f"SELECT pg_get_functiondef(oid), proacl::text FROM pg_proc WHERE pronamespace = {_OURS}",
    "trigger": f"SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid WHERE relnamespace = {_OURS}",
    "schema": "SELECT nspname, nspowner::regrole::text, ARRAY(SELECT a::text FROM unnest(nspacl) a ORDER BY 1)::text, obj_description(oid)"
    " FROM pg_namespace WHERE nspname = 'refold'",
}

Row = dict[str, Any]


def catalog(db: Connection[Any]) -> list[str]:
    """A line for each thing that there is."""
    return sorted(f"{kind} {row}" for kind, asked in _ASKED.items() for row in db.execute(asked.encode()).fetchall())


def rows(db: Connection[Any]) -> dict[str, list[Row]]:
    """Every row of every table, in the order of its text."""
    tables = db.execute(
        f"SELECT relname FROM pg_class WHERE relnamespace = {_OURS} AND relkind = 'r' ORDER BY 1".encode()
    )
    asked = sql.SQL("SELECT to_jsonb(t) FROM refold.{} t ORDER BY t::text")
    return {name: [row for (row,) in db.execute(asked.format(sql.Identifier(name)))] for (name,) in tables.fetchall()}
