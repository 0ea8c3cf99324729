"""Compares and repairs the values of sets, which lie beside a model's table: by a digest of each row's values.

Invariant: two rows are equal only if their values are, not only the numbers of them that readers see: the values decide
what later events add.
"""

from collections.abc import Mapping, Sequence

from psycopg import sql

from refold.projections.tables.builds import Build
from refold.projections.tables.layout import Layout
from refold.projections.tables.names import table
from refold.projections.tables.picked import COUNT, VALUE

# Sums of hashes need no order and little memory, however many values a row has.
_DIGEST = "md5(concat(count(*), ' ', sum(hashtextextended({text}, 0)), ' ', sum(hashtextextended({text}, 1))))"
_OF_TABLE = "LEFT JOIN (SELECT ROW({keys}) AS key, {digest} AS digest FROM {side} v GROUP BY {keys}) {name} ON {name}.key = ROW({of_row})"
_OF_ROW = "(SELECT {digest} FROM {side} v WHERE {same} HAVING count(*) > 0)"
_DELETE = "DELETE FROM {theirs} v USING {differing} d JOIN {keys} k ON k.{number} = d.number WHERE {same}"
_INSERT = "INSERT INTO {theirs} ({names}) SELECT {values} FROM {differing} d JOIN {keys} k ON k.{number} = d.number JOIN {ours} v ON {same}"
_SHORT = 8


def joined(layout: Layout, build: Build) -> sql.Composed:
    """Joins to the model's table `t` that give the digests of all rows, for `digests_joined`."""
    keys, of_row = (sql.SQL(", ").join(sql.Identifier(alias, name) for name in layout.key_names) for alias in "vt")
    return sql.SQL(" ").join(
        sql.SQL(_OF_TABLE).format(
            keys=keys, of_row=of_row, digest=_digest(side), side=table(side, build.schema), name=_name(side)
        )
        for side in layout.sides
    )


def digests_joined(layout: Layout) -> sql.Composed:
    """The digests of a row as an array of texts; null for a set without values."""
    return _array([sql.SQL("{}.digest").format(_name(side)) for side in layout.sides])


def digests_of_row(layout: Layout, build: Build, same: sql.Composable) -> sql.Composed:
    """The same for a single row. `same`: the condition on the values `v` of its key."""
    return _array(
        [
            sql.SQL(_OF_ROW).format(digest=_digest(side), side=table(side, build.schema), same=same)
            for side in layout.sides
        ]
    )


def texts(layout: Layout, alias: str, digests: sql.Composable) -> sql.Composed:
    """The texts of a row's stored columns; that of a set is the number of its values and their digest."""
    places = {part.name: place for place, part in enumerate(layout.sets, 1)}
    found: list[sql.Composable] = []
    for name in layout.names:
        text = sql.SQL("{}::text").format(sql.Identifier(alias, name))
        if name in places:
            text = sql.SQL("{} || ' ' || coalesce({}[{}], 'none')").format(text, digests, sql.Literal(places[name]))
        found.append(text)
    return sql.SQL("ARRAY[{}]").format(sql.SQL(", ").join(found))


def told(one: str | None, other: str | None) -> tuple[str | None, str | None]:
    """Two texts of a set as people read them: the numbers, and of equal numbers also the digests' first letters."""
    (number, _, digest), (other_number, _, other_digest) = (one or "").partition(" "), (other or "").partition(" ")
    if number != other_number:
        return one and number, other and other_number
    return f"{number} (values {digest[:_SHORT]})", f"{other_number} (values {other_digest[:_SHORT]})"


def repairs(
    layout: Layout, ours: Build, theirs: Build, rows: Mapping[str, sql.Composable], same: Sequence[sql.Composable]
) -> list[sql.Composed]:
    """Statements that give differing rows the values of the other build.

    `rows`: the tables `differing` and `keys`, and the column `number` of the keys. `same`: for each set of null key columns, the
    condition that a value `v` is of the key `k`.
    """
    found = []
    for side in layout.sides:
        tables = {"ours": table(side, ours.schema), "theirs": table(side, theirs.schema)}
        columns = {
            "names": sql.SQL(", ").join(map(sql.Identifier, side.names)),
            "values": sql.SQL(", ").join(sql.Identifier("v", name) for name in side.names),
        }
        for statement in (_DELETE, _INSERT):
            found += [sql.SQL(statement).format(**rows, **tables, **columns, same=one) for one in same]
    return found


def _array(digests: Sequence[sql.Composable]) -> sql.Composed:
    return sql.SQL("ARRAY[{}]::text[]").format(sql.SQL(", ").join(digests))


def _digest(side: Layout) -> sql.Composed:
    """The digest of a side table's values, and of their numbers if it has some."""
    text = sql.SQL("{}::text").format(sql.Identifier("v", VALUE))
    if side.columns:
        text = sql.SQL("ROW({}, {})::text").format(sql.Identifier("v", VALUE), sql.Identifier("v", COUNT))
    return sql.SQL(_DIGEST).format(text=text)


def _name(side: Layout) -> sql.Identifier:
    return sql.Identifier(f"Digest{side.side}")
