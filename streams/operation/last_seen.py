"""Finds the process of each role that was heard of last, so that a role that does not run has a name and a time."""

from dataclasses import dataclass

from refold.streams.postgres.connection import Database

_LAST = """
    SELECT DISTINCT ON (role) role, host, pid, extract(epoch FROM now() - seen_at)::float8
      FROM refold.processes ORDER BY role, seen_at DESC
"""


@dataclass(frozen=True)
class LastSeen:
    """A process, and the seconds since its last heartbeat."""

    host: str
    pid: int
    seconds: float

    def __str__(self) -> str:
        return f"the last one, {self.pid}@{self.host}, was last heard of {self.seconds:,.0f} s ago"


def last_seen(db: Database) -> dict[str, LastSeen]:
    """The newest row of each role, dead processes' too. Raises psycopg.Error."""
    return {role: LastSeen(host, pid, seconds) for role, host, pid, seconds in db.execute(_LAST).fetchall()}
