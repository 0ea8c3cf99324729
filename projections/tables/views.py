"""The SQL views that authors declare over read models, and which declaration of each is shown.

Each view is made on its own, so one that fails affects no other: `refold.view_faults` keeps the reason under the
declaration's fingerprint, and the view that was there before stays.
"""

import logging
from collections.abc import Collection

import psycopg

from refold.projections.declaring.declaration import View
from refold.projections.errors import CannotPromote, ViewInvalid
from refold.projections.tables import builds, tables, view_swap
from refold.projections.tables.declared import Declared
from refold.projections.tables.fingerprint import view_fingerprint
from refold.projections.tables.served import as_json, served_table, served_view
from refold.projections.tables.view_order import reads, tables_read
from refold.projections.tables.view_swap import Name
from refold.streams import journal
from refold.streams.postgres.connection import Database
from refold.streams.refusals import first_line, is_away

Declaration = tuple[str, str, str]
"""Domain, view, fingerprint."""
_log = logging.getLogger(__name__)
_READ = """
    SELECT DISTINCT n.nspname, c.relname
      FROM pg_rewrite r
      JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
      JOIN pg_class c ON c.oid = d.refobjid AND c.oid <> r.ev_class
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE r.ev_class = (SELECT v.oid FROM pg_class v JOIN pg_namespace s ON s.oid = v.relnamespace
                          WHERE s.nspname = %s AND v.relname = %s)
     ORDER BY 1, 2
"""


def ours(db: Database, found: Declared) -> list[Name]:
    """Every view that Refold may drop and make again: those that this code declares, or that other code did."""
    rows = db.execute("SELECT DISTINCT domain, name FROM refold.views").fetchall()
    return sorted({(view.domain, view.name) for view in found.views} | {(domain, name) for domain, name in rows})


def ensure_views(db: Database, found: Declared, others: Collection[Declaration] = ()) -> None:
    """Show each declared SQL view whose read models all serve, in reading order, within the caller's transaction.

    `others`: the declarations of living processes. A declaration that was replaced once does not replace one that a
    living process still declares. Otherwise an old worker that restarts during a deploy would undo the new one's view.
    """
    there = {(build.domain, build.model) for build in builds.builds(db) if build.status == "serving"}
    shown, faulty = _shown(db), set[Name]()
    for view in found.views:
        name, wanted = (view.domain, view.name), view_fingerprint(view)
        if (blocking := next((read for read in reads(view) if read in faulty), None)) is not None:
            faulty.add(name)
            _note_fault(db, view, wanted, f"it reads {'.'.join(blocking)}, which cannot be made")
        elif all(read in there for read in reads(view)):
            now, replaced = shown.get((*name, True), ()), wanted in shown.get((*name, False), ())
            stands = wanted in now and view_swap.exists(db, name)
            yields = replaced and any((*name, one) in others for one in now if one != wanted)
            fault = None if stands or yields else _made(db, found, view)
            if fault is not None:
                faulty.add(name)
                _note_fault(db, view, wanted, fault)
                continue
            there.add(name)
            if not stands and not yields:
                _note(db, found, view, wanted)


def restore_views(db: Database, found: Declared, others: Collection[Declaration]) -> bool:
    """Restore this code's views that newer code replaced, once no process declares the newer ones.

    Returns whether any was.
    """
    shown, faulty = _shown(db), set(db.execute("SELECT domain, view, fingerprint FROM refold.view_faults").fetchall())
    for view in found.views:
        name, wanted = (view.domain, view.name), view_fingerprint(view)
        now = shown.get((*name, True), [])
        if (*name, wanted) in faulty:
            continue  # the promote of a table that it needs will try again
        if wanted in shown.get((*name, False), []) and now and not any((*name, one) in others for one in now):
            break
    else:
        return False
    with db.transaction():
        db.execute("SET LOCAL lock_timeout = '1s'")
        builds.lock_exclusive(db)
        ensure_views(db, found, others)
    return True


def _made(db: Database, found: Declared, view: View) -> str | None:
    """Make a view; returns the reason if it cannot be made. Raises errors that are not about the view."""
    try:
        with db.transaction():
            tables.create_view(db, view, ours(db, found))
            _check_reads(db, found, view)
    except (ViewInvalid, CannotPromote) as problem:
        return problem.message
    except psycopg.Error as problem:
        if is_away(problem) or problem.sqlstate is None or problem.sqlstate.startswith("XX"):
            raise
        return first_line(problem)
    return None


def _check_reads(db: Database, found: Declared, view: View) -> None:
    """Refuse a read model that `reads` does not name: it would change the view's rows but not its position.

    Raises ViewInvalid.
    """
    models = {(build.domain, build.model) for build in builds.builds(db)} | {*ours(db, found)}
    for schema, name in read_by(db, (view.domain, view.name)):
        if (schema, name) in reads(view):
            continue
        if (schema, name) in models:
            raise ViewInvalid(f"it reads {schema}.{name}, which its `reads` does not name")
        if schema.startswith("refold_b"):
            raise ViewInvalid(f"it reads the table {schema}.{name}, which a rebuild replaces: read the model's view")


def read_by(db: Database, name: Name) -> list[Name]:
    """The tables and views that a view reads itself."""
    return [(schema, read) for schema, read in db.execute(_READ, name).fetchall()]


def _note_fault(db: Database, view: View, fingerprint: str, fault: str) -> None:
    _log.error(
        "models: the view %s.%s cannot be made: %s",
        view.domain,
        view.name,
        fault,
        extra=journal.about(of=(view.domain, view.name)),
    )
    db.execute(
        "INSERT INTO refold.view_faults (domain, view, fingerprint, reason) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (domain, view, fingerprint) DO UPDATE SET reason = excluded.reason, at = now()",
        (view.domain, view.name, fingerprint, fault[:2000]),
    )


def _shown(db: Database) -> dict[tuple[str, str, bool], list[str]]:
    """Fingerprints by domain, view, and whether it is the one shown."""
    rows = db.execute(
        "SELECT domain, name, serving, array_agg(fingerprint) FROM refold.views GROUP BY 1, 2, 3"
    ).fetchall()
    return {(domain, name, serving): prints for domain, name, serving, prints in rows}


def _note(db: Database, found: Declared, view: View, fingerprint: str) -> None:
    models = [served_table(layout) for layout in found.layouts.values()]
    categories = {(model.domain, model.name): model.categories for model in models}
    served = served_view(view, tables_read(found.views)[view.domain, view.name], categories)
    db.execute(
        "DELETE FROM refold.view_faults WHERE (domain, view, fingerprint) = (%s, %s, %s)",
        (view.domain, view.name, fingerprint),
    )
    db.execute(
        "UPDATE refold.views SET serving = false, changed_at = now() WHERE (domain, name) = (%s, %s) AND serving",
        (view.domain, view.name),
    )
    db.execute(
        "INSERT INTO refold.views (domain, name, fingerprint, serving, served) VALUES (%s, %s, %s, true, %s)"
        " ON CONFLICT (domain, name, fingerprint) DO UPDATE SET serving = true, served = excluded.served, changed_at = now()",
        (view.domain, view.name, fingerprint, as_json(served)),
    )


def forget(db: Database, name: Name) -> None:
    """Take away all that is kept about a view that was dropped."""
    db.execute("DELETE FROM refold.views WHERE (domain, name) = (%s, %s)", name)
    db.execute("DELETE FROM refold.view_faults WHERE (domain, view) = (%s, %s)", name)
