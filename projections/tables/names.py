"""Names of tables, and of the columns by which their rows are found, as SQL."""

from collections.abc import Sequence

from psycopg import sql

from refold.projections.tables.layout import Layout


def table(layout: Layout, schema: str) -> sql.Identifier:
    """The model's table, or one beside it, in a build's schema."""
    return sql.Identifier(schema, layout.table_name)


def same_key(layout: Layout, nulls: Sequence[bool], one: str, other: str) -> sql.Composed:
    """Whether two rows have one key, with nulls in these places of it: Postgres finds such rows by the key's index."""
    same = [
        sql.SQL("{0} IS NULL AND {1} IS NULL" if is_null else "{0} = {1}").format(
            sql.Identifier(one, name), sql.Identifier(other, name)
        )
        for name, is_null in zip(layout.key_names, nulls, strict=True)
    ]
    return sql.SQL(" AND ").join(same)
