"""Names of tables as SQL identifiers."""

from psycopg import sql

from refold.projections.tables.layout import Layout


def table(layout: Layout, schema: str) -> sql.Identifier:
    """The model's table, or one beside it, in a build's schema."""
    return sql.Identifier(schema, layout.table_name)
