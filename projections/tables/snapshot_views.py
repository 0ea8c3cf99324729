"""Declared views as they were: the rows of a view's query over the tables of one snapshot.

Postgres writes a name without its schema where the search path finds it. So the text of the live view, read with the
snapshot's schema in the path, reads the snapshot. A view that would read another model as it is now is not kept. Its rows
are kept in a table: its query may name the time of today, or tables that are none of ours, and a snapshot never changes.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec
import psycopg
from psycopg import sql

from refold.projections.declaring.declaration import View
from refold.projections.errors import SnapshotExists, ViewInvalid
from refold.projections.tables.declared import Declared
from refold.projections.tables.fingerprint import view_fingerprint
from refold.projections.tables.served import ServedModel, served_table, served_view
from refold.projections.tables.snapshots import Snapshot, close, schema_of
from refold.projections.tables.view_order import reads, tables_read
from refold.projections.tables.views import read_by
from refold.streams.postgres.connection import Database
from refold.streams.refusals import first_line, is_away

_QUERY = "_query"
"""Name of the view for the moment in which its rows are taken; no read model begins so."""
_SHOWN = """
    SELECT pg_get_viewdef(to_regclass(quote_ident(domain) || '.' || quote_ident(name))::oid)
      FROM refold.views WHERE serving AND (domain, name, fingerprint) = (%s, %s, %s)
"""


def expanded(found: Declared, names: Sequence[str]) -> tuple[list[str], list[View]]:
    """The tables to fold, as `domain.name`, and the views over them, in order, of the models that a command names.

    A view brings along what it reads. Without names all models are meant, and no table is named. Raises UnknownModel.
    """
    if not names:
        return [], list(found.views)
    chosen: set[tuple[str, str]] = set()
    wanted: dict[str, None] = {}
    for name in names:
        views = [(view.domain, view.name) for view in found.views if name in (view.name, f"{view.domain}.{view.name}")]
        if len(views) == 1 and not _names_table(found, name):
            chosen.add(views[0])
        else:
            layout = found.named(name)
            wanted[f"{layout.model.domain}.{layout.name}"] = None
    for view in reversed(found.views):  # each before those that it reads
        if (view.domain, view.name) in chosen:
            chosen.update(reads(view))
            down_to = tables_read(found.views)[view.domain, view.name]
            wanted |= dict.fromkeys(f"{view.domain}.{table}" for table in down_to)
    return list(wanted), [view for view in found.views if (view.domain, view.name) in chosen]


def keep_view(db: Database, found: Declared, view: View, tables: Mapping[str, Snapshot]) -> Snapshot:
    """Keep the view's rows over the snapshot's tables (by `domain.name`), in the caller's transaction; on failure nothing is kept.

    Raises ViewInvalid, SnapshotExists.
    """
    down_to = tables_read(found.views)[view.domain, view.name]
    under = [tables[name] for table in down_to if (name := f"{view.domain}.{table}") in tables]
    if len(under) < len(down_to):
        raise ViewInvalid("a table that it reads is not in the snapshot")
    first = under[0]
    kept = msgspec.structs.replace(
        first,
        model=view.name,
        positions=sorted({position for one in under for position in one.positions}),
        fingerprint=view_fingerprint(view),
        served=_served(found, view, down_to),
        parked=max(one.parked for one in under),
        rows=0,
        bytes=0,
    )
    try:
        with db.transaction():
            return _made(db, view, kept)
    except psycopg.errors.DuplicateTable as problem:
        raise SnapshotExists(f"{view.domain}.{view.name} has a snapshot {first.snapshot}") from problem
    except psycopg.Error as problem:
        if is_away(problem) or problem.sqlstate is None:
            raise
        raise ViewInvalid(first_line(problem)) from problem


def _made(db: Database, view: View, kept: Snapshot) -> Snapshot:
    schema = schema_of(view.domain, kept.snapshot)
    query, table = sql.Identifier(schema, _QUERY), sql.Identifier(schema, view.name)
    with _path(db, view.domain):
        row = db.execute(_SHOWN, (view.domain, view.name, kept.fingerprint)).fetchone()
    if row is None or row[0] is None:
        raise ViewInvalid("readers are not shown the view that this code declares")
    with _path(db, schema):
        db.execute(sql.SQL("CREATE VIEW {} AS {}").format(query, sql.SQL(row[0])))
    for other, read in read_by(db, (schema, _QUERY)):
        if other == view.domain:
            raise ViewInvalid(f"it would read {other}.{read} as it is now: give the part of its WITH another name")
    db.execute(sql.SQL("CREATE TABLE {} AS SELECT * FROM {}").format(table, query))
    db.execute(sql.SQL("DROP VIEW {}").format(query))
    return close(db, kept)


@contextmanager
def _path(db: Database, schema: str) -> Iterator[None]:
    """Let names without a schema mean this schema's. If the transaction fails, the path of before is back with it."""
    found = db.execute("SELECT current_setting('search_path')").fetchone()
    assert found is not None
    db.execute("SELECT set_config('search_path', quote_ident(%s), true)", (schema,))
    yield
    db.execute("SELECT set_config('search_path', %s, true)", (found[0],))


def _served(found: Declared, view: View, tables: tuple[str, ...]) -> ServedModel:
    models = [served_table(layout) for layout in found.layouts.values()]
    return served_view(view, tables, {(model.domain, model.name): model.categories for model in models})


def _names_table(found: Declared, name: str) -> bool:
    return any(name in (model, f"{domain}.{model}") for domain, model in found.layouts)
