"""The builds of read models: which tables exist, their declarations' fingerprints, and who writes them."""

from collections.abc import Iterable
from dataclasses import dataclass

from refold.projections.tables.layout import Layout
from refold.projections.tables.served import as_json, served_table
from refold.streams.postgres import positions
from refold.streams.postgres.connection import Database, Rows, Statements

GROUP = "models"
MEMBERS = ("serving", "shadow", "retired")
OTHER_CODE = "fingerprint"
"""Code of a build set apart because a living process lacks its declaration. Processes that have its code write it."""
REFUSED = "refused"
"""Code of a build set apart because Postgres denies its writer the table.

Its writer tries again until Postgres allows it.
"""
PREPARED = "prepared"
"""Code of a build that was built for a deploy (`refold replay prepare`). Processes of its code keep it up to date.

As a shadow it waits for the first models process of its code. It keeps the code while it serves beside processes of
other code, and until it joins the group; readers are not told, since its rows are as fresh as any.
"""
APART = (OTHER_CODE, REFUSED, PREPARED)
_GROUP_LOCK = 0x5EF01D_0001
FOLLOW_LOCK = "refold/follow/"
"""Begins the name of the lock that the process holds which follows a build apart; the build's number ends it."""
FOLLOWED = """EXISTS (
    SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended('refold/follow/' || b.build, 0)
       AND l.pid <> pg_backend_pid())"""
"""SQL: whether another session follows the build `b`."""
VERIFIED, PREVIEWED, TAKEN, PREPARING = "verify-", "preview-", "as-of-", "prepare-"
"""Begin the fingerprint of a build that a verify or a preview drops, whose table becomes a snapshot, or that is not prepared yet.

So no rebuild resumes it, and no worker writes it.
"""
_PURPOSES = {VERIFIED: "verifying", PREVIEWED: "previewing", TAKEN: "as-of", PREPARING: "preparing"}
DROPPED_SOON = ("verifying", "previewing", "as-of")
"""Purposes of builds that the command of their making drops; what a killed one left, anybody drops."""


@dataclass(frozen=True)
class Build:
    """One table of one model."""

    number: int
    domain: str
    model: str
    fingerprint: str
    status: str
    detached_code: str | None = None
    detached_reason: str | None = None

    @property
    def schema(self) -> str:
        return f"refold_b{self.number}"

    @property
    def group(self) -> str:
        """Name of the build's own positions, used while it is no member."""
        return f"build:{self.number}"

    @property
    def purpose(self) -> str | None:
        """The word for a build of a verify, a preview, an as-of or an unfinished prepare, or None for any other."""
        return purpose_of(self.fingerprint)

    @property
    def is_member(self) -> bool:
        return self.status in MEMBERS and self.detached_code is None

    @property
    def is_apart(self) -> bool:
        return self.status in MEMBERS and self.detached_code in APART

    @property
    def is_prepared(self) -> bool:
        """Whether it waits for the deploy that promotes it."""
        return self.status == "shadow" and self.detached_code == PREPARED


def purpose_of(fingerprint: str) -> str | None:
    """The purpose that the beginning of a build's fingerprint names."""
    return next((word for start, word in _PURPOSES.items() if fingerprint.startswith(start)), None)


def declaration_of(build: Build) -> str:
    """The fingerprint of the build's declaration, without its purpose."""
    start = next((start for start in _PURPOSES if build.fingerprint.startswith(start)), "")
    return build.fingerprint.removeprefix(start)


def lock_shared(db: Statements) -> None:
    """Take the group's lock as a chunk does: shared with other chunks, but not with a build that joins or leaves."""
    db.execute("SELECT pg_advisory_xact_lock_shared(%s)", (_GROUP_LOCK,))


def lock_exclusive(db: Database) -> None:
    """Take the group's lock as join, promote and detach do: alone."""
    db.execute("SELECT pg_advisory_xact_lock(%s)", (_GROUP_LOCK,))


def hold_still(db: Database) -> None:
    """Take the group's lock alone until `let_go`, also beyond the transaction."""
    db.execute("SELECT pg_advisory_lock(%s)", (_GROUP_LOCK,))


def let_go(db: Database) -> None:
    """End `hold_still`."""
    db.execute("SELECT pg_advisory_unlock(%s)", (_GROUP_LOCK,))


def builds(db: Statements) -> list[Build]:
    """All builds that have a table, in the order of writing: by model, then number."""
    return builds_of(ask(db))


def ask(db: Statements) -> Rows:
    """Ask for all builds that have a table."""
    return db.execute(
        "SELECT build, domain, model, fingerprint, status, detached_code, detached_reason FROM refold.builds"
        " WHERE status <> 'dropped' ORDER BY domain, model, build"
    )


def builds_of(rows: Rows) -> list[Build]:
    """The builds in the answer to `ask`."""
    return [Build(*row) for row in rows.fetchall()]


def serving(there: Iterable[Build], domain: str, model: str) -> Build | None:
    """The build of a model that readers see."""
    return next((b for b in there if (b.domain, b.model, b.status) == (domain, model, "serving")), None)


def is_followed(db: Database, build: Build) -> bool:
    """Whether another process follows the build."""
    row = db.execute(f"SELECT {FOLLOWED} FROM refold.builds b WHERE b.build = %s".encode(), (build.number,)).fetchone()
    return row is not None and bool(row[0])


def given_up(db: Database, build: Build) -> bool:
    """Whether no living command works on the unfinished build; then no command resumes it, and the next one drops it.

    The model's lock is the caller's until its transaction ends, so that no command resumes the build meanwhile.
    """
    name = f"refold/rebuild/{build.domain}.{build.model}"
    row = db.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", (name,)).fetchone()
    if row is None or not row[0]:
        return False
    start = PREVIEWED if build.fingerprint.startswith(PREVIEWED) else VERIFIED
    db.execute("UPDATE refold.builds SET fingerprint = %s WHERE build = %s", (f"{start}given-up", build.number))
    return True


def create(db: Database, layout: Layout, fingerprint: str, status: str) -> Build:
    """Insert a build's row; `tables.create` makes its table."""
    model = layout.model
    row = db.execute(
        "INSERT INTO refold.builds (domain, model, fingerprint, status, served) VALUES (%s, %s, %s, %s, %s) RETURNING build",
        (model.domain, model.name, fingerprint, status, as_json(served_table(layout))),
    ).fetchone()
    assert row is not None
    return Build(row[0], model.domain, model.name, fingerprint, status)


def set_status(db: Database, build: Build, status: str) -> None:
    """Move a build on in its life."""
    db.execute("UPDATE refold.builds SET status = %s, changed_at = now() WHERE build = %s", (status, build.number))


def mark_repaired(db: Database, build: Build) -> None:
    """Let every reader's cache and every watcher take the build for another table: its rows have changed, and its position has not.

    They all know a build by its number, declaration and `created_at`.
    """
    db.execute("UPDATE refold.builds SET created_at = clock_timestamp() WHERE build = %s", (build.number,))


def detach(db: Database, build: Build, code: str, reason: str) -> None:
    """Take a member out of the group at its positions, or end the life of a build set apart; the others go on.

    Holds the exclusive lock for a moment. A build that failed stays as it is until a rebuild.
    """
    with db.transaction():
        lock_exclusive(db)
        detach_within(db, build, code, reason)


def detach_within(db: Database, build: Build, code: str, reason: str) -> None:
    """`detach` within a transaction that holds the exclusive lock."""
    found = db.execute(
        "SELECT detached_code FROM refold.builds WHERE build = %s AND status = ANY(%s)"
        " AND (detached_code IS NULL OR detached_code = ANY(%s) AND detached_code <> %s)",
        (build.number, list(MEMBERS), list(APART), code),
    ).fetchone()
    if found is None:
        return
    db.execute(
        "UPDATE refold.builds SET detached_code = %s, detached_reason = %s, detached_at = now(), changed_at = now() WHERE build = %s",
        (code, reason[:2000], build.number),
    )
    if found[0] is None:
        keep_positions(db, build)


def prepare_within(db: Database, build: Build) -> None:
    """Let a build that was folded for a deploy wait for it, at its own positions."""
    db.execute(
        "UPDATE refold.builds SET status = 'shadow', fingerprint = %s, detached_code = %s, detached_at = now(), changed_at = now(),"
        " detached_reason = 'it waits for the deploy of its code' WHERE build = %s",
        (declaration_of(build), PREPARED, build.number),
    )
    positions.adopt_times(db, build.group, [GROUP, "core"])  # else the rows would be of an unknown age


def settle_within(db: Database, build: Build) -> None:
    """Let a prepared build that serves from now on join at the earliest after the pause of one just set apart."""
    db.execute(
        "UPDATE refold.builds SET detached_at = now(), detached_reason = 'processes of other code run beside its own'"
        " WHERE build = %s AND detached_code = %s",
        (build.number, PREPARED),
    )


def attach_within(db: Database, build: Build) -> None:
    """Make a build that stands at the group's positions a member again. The caller holds the exclusive lock."""
    db.execute(
        "UPDATE refold.builds SET detached_code = NULL, detached_reason = NULL, detached_at = NULL, changed_at = now() WHERE build = %s",
        (build.number,),
    )
    positions.forget(db, build.group)


def keep_positions(db: Database, build: Build) -> None:
    """Copy the group's positions as the build's own."""
    positions.copy(db, GROUP, build.group)
