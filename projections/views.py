"""The SQL views that authors declare over read models, and which declaration of each is shown."""

from collections.abc import Collection

from refold.projections import builds, tables, view_swap
from refold.projections.declaration import View
from refold.projections.declared import Declared
from refold.projections.fingerprint import view_fingerprint
from refold.projections.served import as_json, served_table, served_view
from refold.projections.view_swap import Name
from refold.streams.postgres import Database

Declaration = tuple[str, str, str]
"""Domain, view, fingerprint."""


def ours(db: Database, found: Declared) -> list[Name]:
    """Every view that Refold may take away and make again: those that this code declares, and those that other code did."""
    rows = db.execute("SELECT DISTINCT domain, name FROM refold.views").fetchall()
    return sorted({(view.domain, view.name) for view in found.views} | {(domain, name) for domain, name in rows})


def ensure_views(db: Database, found: Declared, others: Collection[Declaration] = ()) -> None:
    """Show each declared SQL view whose read models all serve, within the caller's transaction. Raises CannotPromote.

    `others`: what living processes declare. A declaration that was replaced once does not take the place of one that somebody
    still declares: else an old worker that starts again during a deploy would undo what the new one showed.
    """
    there = {(build.domain, build.model) for build in builds.builds(db) if build.status == "serving"}
    shown = _shown(db)
    for view in found.views:
        name, wanted = (view.domain, view.name), view_fingerprint(view)
        now = shown.get((*name, True))
        if not all((view.domain, of) in there for of in view.reads) or (
            wanted in (now or ()) and view_swap.exists(db, name)
        ):
            continue
        replaced = wanted in shown.get((*name, False), ())
        if replaced and any((*name, one) in others for one in now or () if one != wanted):
            continue
        tables.create_view(db, view, ours(db, found))
        _note(db, found, view, wanted)


def _shown(db: Database) -> dict[tuple[str, str, bool], list[str]]:
    """Fingerprints by domain, view, and whether it is the one that is shown."""
    rows = db.execute(
        "SELECT domain, name, serving, array_agg(fingerprint) FROM refold.views GROUP BY 1, 2, 3"
    ).fetchall()
    return {(domain, name, serving): prints for domain, name, serving, prints in rows}


def _note(db: Database, found: Declared, view: View, fingerprint: str) -> None:
    models = [served_table(layout) for layout in found.layouts.values()]
    served = served_view(view, {(model.domain, model.name): model.categories for model in models})
    db.execute(
        "UPDATE refold.views SET serving = false, changed_at = now() WHERE (domain, name) = (%s, %s) AND serving",
        (view.domain, view.name),
    )
    db.execute(
        "INSERT INTO refold.views (domain, name, fingerprint, serving, served) VALUES (%s, %s, %s, true, %s)"
        " ON CONFLICT (domain, name, fingerprint) DO UPDATE SET serving = true, served = excluded.served, changed_at = now()",
        (view.domain, view.name, fingerprint, as_json(served)),
    )
