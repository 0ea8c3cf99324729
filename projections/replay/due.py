"""Names the command that is due for each model that is new, renamed, changed, keyed anew, removed, prepared or unfinished.

`refold status` shows them; docs/deploys.md tells each way. Seen from this code: run it with the code that is to stay.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from refold.projections.replay.undeclared import Undeclared, undeclared
from refold.projections.tables import builds
from refold.projections.tables.builds import APART, GROUP, Build, declaration_of
from refold.projections.tables.changes import Change, changes
from refold.projections.tables.declared import Declared
from refold.streams.core.limits import group_positions
from refold.streams.postgres.connection import Database

Name = tuple[str, str]
_WORKED_ON = """
    SELECT d.domain, d.model FROM (SELECT DISTINCT domain, model FROM refold.builds) d
      JOIN pg_locks l ON l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended('refold/rebuild/' || d.domain || '.' || d.model, 0)
"""
_CHANGED = {
    "new": "no table of it is built",
    "changed": "this code declares it otherwise than the table that serves",
    "other-key": "this code gives its rows another key than the table that serves has",
}


@dataclass(frozen=True)
class Due:
    """What is due for one model or view.

    `what`: new, renamed, changed, other-key, removed, failed, prepared, unfinished. `command`: None while something else
    must happen first, which `says` names.
    """

    domain: str
    name: str
    what: str
    says: str
    command: str | None


def due(db: Database, found: Declared) -> list[Due]:
    """Everything that is due, by model. Nothing before the models have folded for the first time."""
    if not any(group_positions(db, GROUP).values()):
        return []
    there, gone = builds.builds(db), undeclared(db, found)
    worked_on = set(db.execute(_WORKED_ON.encode()).fetchall())
    changed = changes(db, found)
    listed = [
        *(one for change in changed for one in _of_change(found, change, there, worked_on)),
        *(_of_gone(one, changed) for one in gone),
        *(one for build in there for one in _of_build(db, found, build, worked_on)),
    ]
    return sorted(listed, key=lambda one: (one.domain, one.name))


def _of_change(found: Declared, change: Change, there: Sequence[Build], worked_on: set[Name]) -> Iterator[Due]:
    name = (change.domain, change.model)
    ours = [b for b in there if (b.domain, b.model) == name and declaration_of(b) == found.fingerprints[name]]
    if change.kind == "same" and change.serving is not None:
        if (code := change.serving.detached_code) is not None and code not in APART:
            yield Due(*name, "failed", f"{code}: {change.serving.detached_reason}", _rebuild(name))
        return
    if name in worked_on or any(
        b.is_prepared or (b.status == "building" and b.purpose not in builds.DROPPED_SOON) for b in ours
    ):
        return  # `_of_build` tells of these, and a command that runs needs no other
    if change.kind == "renamed":
        says = (
            f"no table of it is built, and {change.before}, which this code declares no more, has the same columns and"
            f" key: if it was renamed, rebuild it, move the readers of {change.before}, and drop that"
        )
        yield Due(*name, "renamed", says, _rebuild(name))
        return
    columns = f" ({', '.join(change.columns)})" if change.columns else ""
    yield Due(*name, change.kind, _CHANGED[change.kind] + columns, _rebuild(name))


def _of_gone(part: Undeclared, changed: Sequence[Change]) -> Due:
    says = "this code declares it no more"
    command: str | None = part.command
    if renamed := [one.model for one in changed if (one.domain, one.before) == (part.domain, part.name)]:
        says, command = f"{says}; it seems to be {renamed[0]} now: build that first, and move the readers there", None
    if part.declared_by:
        says, command = f"{says}. First stop {', '.join(part.declared_by)}", None
    return Due(part.domain, part.name, "removed", says, command)


def _of_build(db: Database, found: Declared, build: Build, worked_on: set[Name]) -> Iterator[Due]:
    """What is due for a build that no reader sees."""
    name = (build.domain, build.model)
    if name not in found.layouts or name in worked_on:
        return
    ours = found.fingerprints[name] == declaration_of(build)
    if build.is_prepared and ours:
        says = f"build {build.number} is prepared; the first models worker of this code shows it to readers"
        followed = builds.is_followed(db, build)
        yield Due(*name, "prepared", says, "refold worker" if followed else _prepare(name))
    elif build.is_prepared and not builds.is_followed(db, build):
        says = f"build {build.number} was prepared for other code, and nobody keeps it up to date: deploy that code, or drop it"
        yield Due(*name, "prepared", says, f"refold replay prune {'.'.join(name)} --unpromoted --execute")
    elif build.purpose == "preparing":
        says = f"build {build.number} is not prepared yet, since its command was stopped"
        yield Due(
            *name,
            "unfinished",
            says,
            _prepare(name) if ours else f"refold replay prune {'.'.join(name)} --unpromoted --execute",
        )
    elif build.status == "building" and build.purpose is None:
        says = f"build {build.number} is unfinished, since its command was stopped"
        yield Due(*name, "unfinished", says, _rebuild(name))


def _rebuild(name: Name) -> str:
    return f"refold replay rebuild {'.'.join(name)} --execute"


def _prepare(name: Name) -> str:
    return f"refold replay prepare {'.'.join(name)} --execute"
