"""Builds of other code during a deploy: set apart with their own positions, kept up by processes that have their code.

Old and new code run side by side. A worker cannot write a table whose declaration it does not have, and that table must
not hold the worker back. So the build leaves the group with a copy of the group's positions, and moves by itself until
every living process can write it.

Invariants: the positions of a build that is set apart match its rows exactly and are never ahead of the group. Its
position in a place moves in the transaction of its rows, and only from where it stood. It joins under the group's
exclusive lock, and only if it stands at the group's position in every place that it reads.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from refold.projections.declaring.declaration import handled
from refold.projections.live.limits import FoldLimits
from refold.projections.partials.batch import Park
from refold.projections.tables import builds
from refold.projections.tables.builds import GROUP, Build
from refold.projections.tables.declared import Declared
from refold.projections.tables.layout import Layout
from refold.streams.chunk import Chunk, Place
from refold.streams.core.limits import core_positions, group_positions
from refold.streams.log.topics import events_topic
from refold.streams.postgres.connection import Database, Statements

Apart = tuple[Build, Layout]
_BEHIND = """
    SELECT coalesce(sum(abs(g.next_offset - coalesce(o.next_offset, 0))), 0)::bigint
      FROM refold.positions g LEFT JOIN refold.positions o ON (o.grp, o.topic, o.part) = (%s, g.topic, g.part)
     WHERE g.grp = %s AND g.topic = ANY(%s)
"""
SETTLED_S = 10.0
"""Least seconds for which a build stays apart.

A process whose row in `refold.processes` is late would part it again.
"""


def known(found: Declared, there: Sequence[Build]) -> list[Apart]:
    """The builds set apart that this code can write."""
    return [
        (build, found.layouts[name])
        for build in there
        if build.is_apart and found.fingerprints.get(name := (build.domain, build.model)) == build.fingerprint
    ]


def topics_of(prefix: str, layout: Layout) -> set[str]:
    """The topics whose events a model gathers."""
    return {events_topic(prefix, kind.category.name) for kind in handled(layout.model)}


def waits_for_itself(build: Build, layout: Layout, parked: Collection[Park]) -> list[Park]:
    """The streams that wait for this build alone; none if the model evolves, since its own fold handles them."""
    return [] if layout.evolves else [park for park in parked if park.build == build.number]


def standing(
    db: Statements, prefix: str, found: Declared, there: Sequence[Build], chunks: Sequence[Chunk], allowed: FoldLimits
) -> Iterator[tuple[Build, Layout, tuple[Place, ...]]]:
    """The builds set apart that stand at the start of some of the chunks, with those places. Locks their positions.

    Positions that another process has locked are left out, since that process moves them. So are builds that Postgres
    refuses; the follower tries those again.
    """
    let_in = [build for build in there if build.detached_code != builds.REFUSED]
    ours = [one for one in known(found, let_in) if not waits_for_itself(*one, allowed.parked)]
    if not ours:
        return
    at = _locked(db, [build.group for build, _ in ours], chunks, skips=True)
    for build, layout in ours:
        topics = topics_of(prefix, layout)
        places = tuple(
            sorted(c.place for c in chunks if c.topic in topics and at.get((build.group, c.place)) == c.start)
        )
        if places:
            yield build, layout, places


def locked(db: Statements, found: Sequence[Apart], chunks: Sequence[Chunk]) -> dict[tuple[str, Place], int]:
    """The positions of builds in the places of some chunks, locked until the transaction ends."""
    return _locked(db, [build.group for build, _ in found], chunks, skips=False)


def _locked(
    db: Statements, groups: Sequence[str], chunks: Sequence[Chunk], *, skips: bool
) -> dict[tuple[str, Place], int]:
    topics, parts = [chunk.topic for chunk in chunks], [chunk.part for chunk in chunks]
    rows = db.execute(
        "SELECT grp, topic, part, next_offset FROM refold.positions WHERE grp = ANY(%s::text[])"
        " AND (topic, part) IN (SELECT * FROM unnest(%s::text[], %s::int[])) ORDER BY grp, topic, part FOR UPDATE"
        + (" SKIP LOCKED" if skips else ""),
        (list(groups), topics, parts),
    )
    return {(group, (topic, part)): at for group, topic, part, at in rows.fetchall()}


Writers = Callable[[Database], Sequence[Mapping[tuple[str, str], str]]]
"""For each living process of the group: the fingerprint of each model that it can write."""


def join(db: Database, prefix: str, build: Build, layout: Layout, writers: Writers) -> bool:
    """Make a build a member again if every living process can write it and it stands where the group does.

    Returns whether it did.
    """
    if not _is_ripe(db, build, layout):
        return False
    living, name = writers(db), (build.domain, build.model)
    if not living or any(writes.get(name) != build.fingerprint for writes in living):
        return False
    with db.transaction():
        db.execute("SET LOCAL lock_timeout = '1s'")
        builds.lock_exclusive(db)
        if not _is_ripe(db, build, layout):
            return False
        if records_behind(db, prefix, build, layout):
            return False
        builds.attach_within(db, build)
    return True


def stands_of_deploy(db: Database) -> dict[Place, int]:
    """The positions up to which prepared builds are folded: the group's, and the core's in topics that the group does not read.

    No live table gathers events of such a topic. The group begins there where the first prepared builds stand that do.
    """
    at = group_positions(db, GROUP)
    read = {topic for topic, _ in at}
    return {place: offset for place, offset in core_positions(db).items() if place[0] not in read} | at


def records_behind(db: Database, prefix: str, build: Build, layout: Layout) -> int:
    """Records that lie between the build's own positions and the group's, in the topics that the model reads."""
    row = db.execute(_BEHIND, (build.group, GROUP, sorted(topics_of(prefix, layout)))).fetchone()
    assert row is not None
    return int(row[0])


def _is_ripe(db: Database, build: Build, layout: Layout) -> bool:
    row = db.execute(
        "SELECT FROM refold.builds b WHERE b.build = %s AND b.detached_code = ANY(%s) AND b.detached_at < now() - make_interval(secs => %s)"
        " AND (b.status, b.detached_code) <> ('shadow', 'prepared')"  # a deploy promotes it first
        " AND (%s OR NOT EXISTS (SELECT FROM refold.parked p WHERE p.build = b.build))",
        (build.number, list(builds.APART), SETTLED_S, layout.evolves),
    ).fetchone()
    return row is not None
