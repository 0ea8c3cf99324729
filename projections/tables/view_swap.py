"""Gives a view other columns: drops it and makes it again, with our views that depend on it and everybody's grants.

Postgres replaces a view in place only if its columns stay; otherwise every view that depends on it must be dropped
first. Refold's own views are dropped and made again in the same transaction. A view of somebody else is never touched;
the error names it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from refold.projections.errors import CannotPromote
from refold.streams.postgres.connection import Database, has_table
from refold.streams.refusals import first_line

Name = tuple[str, str]
"""A schema, and a view in it."""

_ON_TOP = """
    WITH RECURSIVE over AS (
        SELECT to_regclass(%s)::oid AS oid, 0 AS depth
        UNION
        SELECT r.ev_class, over.depth + 1 FROM over
          JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = over.oid AND d.classid = 'pg_rewrite'::regclass
          JOIN pg_rewrite r ON r.oid = d.objid
         WHERE r.ev_class <> over.oid AND over.depth < 100
    )
    SELECT n.nspname, c.relname, c.relkind::text, pg_get_viewdef(c.oid)
      FROM over JOIN pg_class c ON c.oid = over.oid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE over.depth > 0 GROUP BY n.nspname, c.relname, c.relkind, c.oid ORDER BY max(over.depth), 1, 2
"""
_GRANTS = """
    SELECT NULL::text, a.grantee::regrole::text, a.grantee = 0, a.privilege_type, a.is_grantable
      FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = to_regclass(%s) AND a.grantee <> c.relowner
    UNION ALL
    SELECT t.attname::text, a.grantee::regrole::text, a.grantee = 0, a.privilege_type, a.is_grantable
      FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a
     WHERE c.oid = to_regclass(%s) AND NOT t.attisdropped AND a.grantee <> c.relowner
"""
_KIND_VIEW = "v"


@dataclass(frozen=True)
class OnTop:
    """One of our views that depends on a view being replaced: its query and its grants."""

    name: Name
    body: str
    rights: "Rights"


@dataclass(frozen=True)
class Rights:
    """A view's owner and options, and the grants on it and on its columns."""

    owner: str | None
    options: tuple[str, ...]
    grants: tuple[tuple[str | None, str, bool, str, bool], ...]


def exists(db: Database, name: Name) -> bool:
    """Whether there is such a view."""
    return has_table(db, _text(name))


def readers(db: Database, name: Name) -> list[str]:
    """The views that depend on a table or view, as `schema.view`."""
    return [f"{schema}.{view}" for schema, view, _, _ in db.execute(_ON_TOP, (_text(name),)).fetchall()]


def hold(domain: str, model: str) -> sql.Composed:
    """The statement that keeps a model's view as it is until the transaction ends. Run it before the snapshot is taken.

    LOCK TABLE takes no snapshot. One from before a promotion would see the new view over a table that is empty to it.
    """
    return sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(sql.Identifier(domain, model))


def replace(db: Database, name: Name, body: sql.Composable, ours: Sequence[Name]) -> None:
    """Let a view show `body`, within the caller's transaction. `ours`: the views that may be dropped for a moment.

    Raises CannotPromote.
    """
    statement = sql.SQL("CREATE OR REPLACE VIEW {} AS {}").format(sql.Identifier(*name), body)
    try:
        with db.transaction():
            _make(db, name, statement)
    except psycopg.errors.InvalidTableDefinition:
        with _dropped(db, name, ours):
            _make(db, name, statement)


def drop(db: Database, name: Name, ours: Sequence[Name] = ()) -> None:
    """Drop a view and our views that depend on it. Raises CannotPromote if somebody else's view depends on it."""
    for view in reversed(_on_top(db, name, ours)):
        db.execute(sql.SQL("DROP VIEW {}").format(sql.Identifier(*view.name)))
    _drop(db, name)


def _make(db: Database, name: Name, statement: sql.Composed) -> None:
    """Make a view that nobody can write through, not even its owner: Postgres would pass an UPDATE on to the table."""
    db.execute(statement)
    db.execute(
        sql.SQL(
            "CREATE OR REPLACE TRIGGER refold_read_only INSTEAD OF INSERT OR UPDATE OR DELETE ON {}"
            " FOR EACH ROW EXECUTE FUNCTION refold.refuse_write()"
        ).format(sql.Identifier(*name))
    )


@contextmanager
def _dropped(db: Database, name: Name, ours: Sequence[Name]) -> Iterator[None]:
    """Drop the view while the block makes it again.

    Afterwards make our dependent views again, if they still can be made.
    """
    on_top, rights = _on_top(db, name, ours), _rights(db, name)
    for view in reversed(on_top):
        db.execute(sql.SQL("DROP VIEW {}").format(sql.Identifier(*view.name)))
    _drop(db, name)
    yield
    _give_back(db, name, rights)
    for view in on_top:
        _make_again(db, view)


def _make_again(db: Database, view: OnTop) -> None:
    """Make a view again as it was. One that reads a lost column stays away; its code declares the replacement."""
    try:
        with db.transaction():
            _make(db, view.name, sql.SQL("CREATE VIEW {} AS {}").format(sql.Identifier(*view.name), sql.SQL(view.body)))
            _give_back(db, view.name, view.rights)
    except (psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedFunction, psycopg.errors.DatatypeMismatch):
        return


def _drop(db: Database, name: Name) -> None:
    try:
        with db.transaction():
            db.execute(sql.SQL("DROP VIEW IF EXISTS {}").format(sql.Identifier(*name)))
    except psycopg.errors.DependentObjectsStillExist as problem:
        detail = (problem.diag.message_detail or first_line(problem)).replace("\n", "; ")
        raise CannotPromote(
            f"{'.'.join(name)} must be dropped for a moment, but others depend on it: {detail}"
        ) from problem


def _on_top(db: Database, name: Name, ours: Sequence[Name]) -> list[OnTop]:
    """Our views that depend on a view, the lowest first. Raises CannotPromote if somebody else's does."""
    found = db.execute(_ON_TOP, (_text(name),)).fetchall()
    known = set(ours)
    strange = [
        f"{schema}.{view}" for schema, view, kind, _ in found if kind != _KIND_VIEW or (schema, view) not in known
    ]
    if strange:
        raise CannotPromote(
            f"{'.'.join(name)} must be dropped for a moment, but views of your own depend on it: {', '.join(strange)}",
            "Drop the views that the message names, run the same command again, and create the views again.",
        )
    return [OnTop((schema, view), body, _rights(db, (schema, view))) for schema, view, _, body in found]


def _rights(db: Database, name: Name) -> Rights:
    text = _text(name)
    row = db.execute(
        "SELECT nullif(relowner::regrole, current_user::regrole)::text, coalesce(reloptions, '{}') FROM pg_class WHERE oid = to_regclass(%s)",
        (text,),
    ).fetchone()
    assert row is not None
    return Rights(row[0], tuple(row[1]), tuple(db.execute(_GRANTS, (text, text)).fetchall()))


def _give_back(db: Database, name: Name, rights: Rights) -> None:
    """Restore the grants exactly, without the schema's default grants.

    A grant on a column that is gone goes with it.
    """
    view = sql.Identifier(*name)
    for _, grantee, public, privilege, _ in db.execute(_GRANTS, (_text(name), _text(name))).fetchall():
        db.execute(sql.SQL("REVOKE {} ON {} FROM {}").format(sql.SQL(privilege), view, _role(grantee, public=public)))
    columns = {
        row[0]
        for row in db.execute("SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s)", (_text(name),))
    }
    for column, grantee, public, privilege, grantable in rights.grants:
        if column is not None and column not in columns:
            continue
        part = sql.SQL("") if column is None else sql.SQL(" ({})").format(sql.Identifier(column))
        with_option = sql.SQL(" WITH GRANT OPTION" if grantable else "")
        db.execute(
            sql.SQL("GRANT {}{} ON {} TO {}{}").format(
                sql.SQL(privilege),
                part,
                view,
                _role(grantee, public=public),
                with_option,
            )
        )
    for option in rights.options:
        db.execute(sql.SQL("ALTER VIEW {} SET ({})").format(view, sql.SQL(option)))
    if rights.owner is not None:
        db.execute(sql.SQL("ALTER VIEW {} OWNER TO {}").format(view, sql.SQL(rights.owner)))


def _role(grantee: str, *, public: bool) -> sql.Composable:
    """A role as `regrole` prints it, quoted if necessary."""
    return sql.SQL("PUBLIC") if public else sql.SQL(grantee)


def _text(name: Name) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in name)
