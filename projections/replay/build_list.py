"""Every build that has a table: its state, rows, size, and where its rows stand. Reads only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import psycopg
from psycopg import sql

from refold.projections.tables import builds
from refold.projections.tables.builds import GROUP, Build
from refold.projections.tables.declared import Declared
from refold.streams.chunk import Place
from refold.streams.core.limits import group_positions
from refold.streams.log.topics import events_topic
from refold.streams.postgres.connection import Database

STATES = {"serving": "live", "shadow": "shadow", "retired": "retired", "building": "unfinished"}
"""The states by the status that the database keeps."""
_BUILDS = """
    SELECT build, served::text, to_char(changed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
      FROM refold.builds WHERE status <> 'dropped'
"""
_BYTES = "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class WHERE relnamespace = to_regnamespace(%s) AND relkind = 'r'"


@dataclass(frozen=True)
class Listed:
    """One build.

    `state`: live, shadow, retired, unfinished, preparing, prepared, verifying, previewing or as-of. `foreign`: it is of a
    declaration that this code lacks. `rows`: hidden ones included; None if somebody dropped the table. `position`: `topic/partition:next offset`, as Refold-Position.
    `behind`: records that the core has folded and the build has not. `since`: when it came into this state.
    """

    domain: str
    model: str
    build: int
    state: str
    foreign: bool
    rows: int | None
    bytes: int
    position: str
    behind: int
    detached: str | None
    since: str


def build_list(db: Database, found: Declared, prefix: str, names: Sequence[str] = ()) -> list[Listed]:
    """The builds of some models (`name` or `domain.name`), or of all; those of undeclared models too, by model.

    Raises UnknownModel.
    """
    there, more = builds.builds(db), {row[0]: row[1:] for row in db.execute(_BUILDS).fetchall()}
    wanted = _wanted(found, there, names)
    core, live = group_positions(db, "core"), group_positions(db, GROUP)
    listed = []
    for build in there:
        if (build.domain, build.model) not in wanted or build.number not in more:
            continue
        served, since = more[build.number]
        topics = _topics(prefix, served, live)
        at = live if build.is_member else group_positions(db, build.group)
        listed.append(
            Listed(
                build.domain,
                build.model,
                build.number,
                build.purpose or ("prepared" if build.is_prepared else STATES[build.status]),
                found.fingerprints.get((build.domain, build.model)) != builds.declaration_of(build),
                _rows(db, build),
                size(db, build),
                _position(prefix, topics, at),
                sum(max(0, end - at.get(place, 0)) for place, end in core.items() if place[0] in topics),
                build.detached_code,
                since,
            )
        )
    return listed


def size(db: Database, build: Build) -> int:
    """Bytes on disk of a build's tables and their indexes."""
    row = db.execute(_BYTES, (build.schema,)).fetchone()
    return int(row[0]) if row is not None else 0


def _wanted(found: Declared, there: Sequence[Build], names: Sequence[str]) -> set[tuple[str, str]]:
    """The models of the names. A name that this code does not declare may still have builds."""
    known = {(build.domain, build.model) for build in there}
    if not names:
        return known
    wanted = set()
    for name in names:
        undeclared = {one for one in known - found.layouts.keys() if name in (one[1], ".".join(one))}
        if not undeclared:
            layout = found.named(name)
            undeclared = {(layout.model.domain, layout.name)}
        wanted |= undeclared
    return wanted


def _topics(prefix: str, served: str | None, live: Mapping[Place, int]) -> set[str]:
    if served is None:  # a build of before this was kept
        return {topic for topic, _ in live}
    return {events_topic(prefix, category) for category in msgspec.json.decode(served)["categories"]}


def _position(prefix: str, topics: set[str], at: Mapping[Place, int]) -> str:
    return ",".join(
        f"{topic.removeprefix(prefix)}/{part}:{offset}"
        for (topic, part), offset in sorted(at.items())
        if topic in topics
    )


def _rows(db: Database, build: Build) -> int | None:
    table = sql.Identifier(build.schema, build.model)
    try:
        with db.transaction():
            row = db.execute(sql.SQL("SELECT count(*) FROM {}").format(table)).fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    return int(row[0]) if row is not None else None
