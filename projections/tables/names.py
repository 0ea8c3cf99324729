"""Names of tables as SQL identifiers."""

from psycopg import sql

from refold.projections.tables.layout import Layout


def table(layout: Layout, schema: str) -> sql.Identifier:
    """The model's table in a build's schema."""
    return sql.Identifier(schema, layout.name)
