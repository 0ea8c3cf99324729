"""Makes some rows of a live table those of a build: finds the rows that differ by their keys, and writes these alone.

Invariant: every statement that writes names its rows by their places in the table, found in the same transaction under
the group's lock. So no other row is written, and no position moves meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from refold.projections.errors import CannotRepair
from refold.projections.replay import side_values
from refold.projections.replay.compare import LISTED, Difference, Differing, difference, either_key
from refold.projections.replay.wanted_keys import NUMBER, WantedKeys
from refold.projections.tables.builds import Build
from refold.projections.tables.layout import Layout
from refold.projections.tables.names import same_key, table
from refold.streams.postgres.connection import Database

_DIFFERING = "Differing"
_MAKE = """
    CREATE TABLE {differing} AS
    SELECT k.{number} AS number, a.place AS ours, b.place AS theirs, a.digests AS our_digests, b.digests AS their_digests
      FROM {keys} k LEFT JOIN ({ours}) a ON a.number = k.{number} LEFT JOIN ({theirs}) b ON b.number = k.{number}
     WHERE (a.place IS NULL) <> (b.place IS NULL) OR NOT (a.whole *= b.whole)
"""
_SIDE = """
    SELECT k.{number} AS number, t.ctid AS place, ROW({columns}, {digests}) AS whole, {digests} AS digests FROM {keys} k JOIN {table} t ON {same}
"""
_COUNTED = """
    SELECT count(*) FILTER (WHERE ours IS NOT NULL AND theirs IS NOT NULL), count(*) FILTER (WHERE theirs IS NULL),
           count(*) FILTER (WHERE ours IS NULL) FROM {differing}
"""
_TEXTS = """
    SELECT d.theirs IS NOT NULL, d.ours IS NOT NULL, {b_texts}, {a_texts}
      FROM {differing} d LEFT JOIN {ours} a ON a.ctid = d.ours LEFT JOIN {theirs} b ON b.ctid = d.theirs
     ORDER BY {either_key} LIMIT {listed}
"""
_UPDATE = """
    UPDATE {theirs} t SET {columns} FROM {differing} d JOIN {ours} a ON a.ctid = d.ours WHERE t.ctid = d.theirs
"""
_INSERT = """
    INSERT INTO {theirs} ({names}) SELECT {columns} FROM {differing} d JOIN {ours} a ON a.ctid = d.ours
     WHERE d.theirs IS NULL
"""
_DELETE = "DELETE FROM {theirs} t USING {differing} d WHERE t.ctid = d.theirs AND d.ours IS NULL"
# `evolve` failed on the stream in the live table, and did not in the build, or later: a release is due, no repair.
_FURTHER = """
    SELECT p.stream, 'it waits in the live table, and no longer has to: `refold replay release` lets it go on' FROM refold.parked p
     WHERE p.build = {theirs} AND p.category = ANY({categories}) AND NOT EXISTS (
        SELECT FROM refold.parked o WHERE (o.build, o.category, o.stream) = ({ours}, p.category, p.stream)
           AND o.first_offset <= p.first_offset)
"""
_UNREAD = """
    SELECT p.stream, p.reason FROM refold.parked p
     WHERE p.build = {ours} AND p.category = ANY({categories}) AND NOT EXISTS (
        SELECT FROM refold.parked o WHERE o.build IN (0, {theirs}) AND (o.category, o.stream) = (p.category, p.stream)
           AND o.first_offset <= p.first_offset)
"""


@dataclass(frozen=True)
class LeftOut:
    """A row that stays as it is, and why."""

    key: dict[str, str | None]
    why: str


@dataclass(frozen=True)
class Found(Differing):
    """The wanted rows that differ, and how. `listed`: at most `compare.LISTED` of them."""

    changed: int
    missing: int
    extra: int
    listed: list[Difference]


@dataclass(frozen=True)
class RowRepair:
    """The wanted rows of the live build beside those of the command's build, which holds no others."""

    db: Database
    layout: Layout
    build: Build
    live: Build
    keys: WantedKeys

    def leave_out(self, categories: Sequence[str]) -> list[LeftOut]:
        """Take the rows out of the wanted ones that this code cannot compute as the live table holds them. Raises CannotRepair."""
        names = {
            "ours": sql.Literal(self.build.number),
            "theirs": sql.Literal(self.live.number),
            "categories": sql.Literal(list(categories)),
        }
        unread = self.db.execute(sql.SQL(_UNREAD).format(**names)).fetchall()
        if not self.layout.by_stream:
            for stream, reason in unread:
                raise CannotRepair(
                    f"{self.layout.name}: this code cannot read an event that the live rows hold: {stream}: {reason}"
                )
        further = self.db.execute(sql.SQL(_FURTHER).format(**names)).fetchall() if self.layout.evolves else []
        found = dict([*further, *unread])
        key = self.layout.key_names[0]
        gone = self.db.execute(
            sql.SQL("DELETE FROM {} WHERE {} = ANY(%s) RETURNING {}").format(
                self.keys.table, sql.Identifier(key), sql.Identifier(key)
            ),
            (list(found),),
        )
        return [LeftOut({key: stream}, found[stream]) for (stream,) in sorted(gone.fetchall())]

    def find(self) -> Found:
        """Note the rows that differ, to the byte and hidden columns included."""
        self.db.execute(
            sql.SQL(_MAKE).format(
                differing=self._differing,
                number=sql.Identifier(NUMBER),
                keys=self.keys.table,
                ours=self._side(self.build),
                theirs=self._side(self.live),
            )
        )
        # Without its size, Postgres would read both tables whole to find rows by their places.
        self.db.execute(sql.SQL("ANALYZE {}").format(self._differing))
        row = self.db.execute(sql.SQL(_COUNTED).format(differing=self._differing)).fetchone()
        assert row is not None
        texts = {
            f"{alias}_texts": side_values.texts(self.layout, alias, sql.SQL(f"d.{whose}_digests"))
            for alias, whose in (("a", "our"), ("b", "their"))
        }
        statement = sql.SQL(_TEXTS).format(
            **texts, **self._tables, either_key=either_key(self.layout), listed=sql.Literal(LISTED)
        )
        names = self.layout.names
        changed, missing, extra = row
        return Found(
            changed,
            missing,
            extra,
            [difference(self.layout, names, *one) for one in self.db.execute(statement).fetchall()],
        )

    def write(self, found: Found) -> None:
        """Update, insert and delete the rows that differ. Raises CannotRepair if somebody else has just written one of them."""
        columns = [sql.Identifier(part.name) for part in self.layout.columns]
        assigned = sql.SQL(", ").join(sql.SQL("{} = a.{}").format(name, name) for name in columns)
        names = list(map(sql.Identifier, self.layout.names))
        statements = {
            _UPDATE: (found.changed, {"columns": assigned}),
            _INSERT: (
                found.missing,
                {
                    "names": sql.SQL(", ").join(names),
                    "columns": sql.SQL(", ").join(sql.SQL("a.{}").format(name) for name in names),
                },
            ),
            _DELETE: (found.extra, {}),
        }
        for statement, (number, parts) in statements.items():
            if number:
                done = self.db.execute(sql.SQL(statement).format(**self._tables, **parts))
                if done.rowcount != number:
                    raise CannotRepair(f"{self.layout.name}: somebody wrote the same rows by hand at the same moment")
        rows = {"differing": self._differing, "keys": self.keys.table, "number": sql.Identifier(NUMBER)}
        same = [same_key(self.layout, nulls, "v", "k") for nulls in self.keys.patterns()]
        for repairing in side_values.repairs(self.layout, self.build, self.live, rows, same):
            self.db.execute(repairing)

    @property
    def _differing(self) -> sql.Identifier:
        return sql.Identifier(self.build.schema, _DIFFERING)

    @property
    def _tables(self) -> dict[str, sql.Composable]:
        return {
            "differing": self._differing,
            "ours": table(self.layout, self.build.schema),
            "theirs": table(self.layout, self.live.schema),
        }

    def _side(self, build: Build) -> sql.Composable:
        """The wanted rows of one table, found by its key."""
        columns = sql.SQL(", ").join(sql.Identifier("t", part.name) for part in self.layout.stored)
        sides = [
            sql.SQL(_SIDE).format(
                number=sql.Identifier(NUMBER),
                columns=columns,
                keys=self.keys.table,
                digests=side_values.digests_of_row(self.layout, build, same_key(self.layout, nulls, "v", "k")),
                table=table(self.layout, build.schema),
                same=same_key(self.layout, nulls, "t", "k"),
            )
            for nulls in self.keys.patterns()
        ]
        none = sql.SQL(
            "SELECT 0::bigint AS number, NULL::tid AS place, NULL::record AS whole, NULL::text[] AS digests WHERE false"
        )
        return sql.SQL(" UNION ALL ").join(sides) if sides else none
