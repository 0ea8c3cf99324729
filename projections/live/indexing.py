"""Makes the indexes of live tables be those that this code declares: a thread of the models process, at its start."""

import logging
import threading

import psycopg

from refold.projections.tables import builds, indexes
from refold.projections.tables.builds import Build
from refold.projections.tables.declared import Declared
from refold.projections.tables.layout import Layout
from refold.schemas.errors import RefoldError
from refold.streams import journal
from refold.streams.postgres.connection import Database, connect
from refold.streams.refusals import first_line

_log = logging.getLogger(__name__)
_LOCK = "refold/indexes"
_AGAIN_S = 5.0


def mend_all(db: Database, found: Declared) -> bool:
    """Mend the indexes of every table that this code writes. Returns whether it could: another process may be at it.

    The one that starts last has the last word, so that a deploy's new code wins. `db` is in no transaction.
    """
    row = db.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (_LOCK,)).fetchone()
    if row is None or not row[0]:
        return False
    try:
        # A build of many rows waits for transactions older than it, and they are not kept waiting.
        db.execute("SET lock_timeout = '60s'")
        for build, layout in _ours(db, found):
            indexes.mend(db, layout, build)
        return True
    finally:
        if not db.closed:
            db.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (_LOCK,))


class Indexing:
    """The thread. It never ends its process: an error is logged and the work tried again."""

    def __init__(self, url: str, found: Declared) -> None:
        self._url, self._declared = url, found
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="indexing", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Let it end after the index under way. The process's end ends that one: the next start drops what is left of it."""
        self._stopping.set()

    def _run(self) -> None:
        pause, told = 0.0, ""
        while not self._stopping.wait(pause):
            pause = _AGAIN_S
            try:
                with connect(self._url, application_name="models-indexes") as db:
                    if mend_all(db, self._declared):
                        return
            except (psycopg.Error, RefoldError) as problem:
                if told != (told := first_line(problem)):
                    _log.warning("models: indexes wait: %s", told, extra=journal.about(problem))


def _ours(db: Database, found: Declared) -> list[tuple[Build, Layout]]:
    """The builds that readers see or may come to see, and that this code declares as they are."""
    there = [build for build in builds.builds(db) if build.status in builds.MEMBERS]
    return [
        (build, found.layouts[build.domain, build.model])
        for build in there
        if found.fingerprints.get((build.domain, build.model)) == build.fingerprint
    ]
