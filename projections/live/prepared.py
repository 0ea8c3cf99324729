"""Promotes builds that were prepared for a deploy: the first models process of their code shows them to readers.

It does so before it folds anything. So no table that readers see is ever of a declaration which this process lacks,
and none is set apart in front of them.

Invariants: all prepared builds of this code are shown in one transaction, so readers never meet a mix. In that
transaction no position of the group can move, and each build stands at the group's positions: readers meet no older rows.
"""

import logging
import time
from collections.abc import Sequence
from contextlib import closing

import psycopg

from refold.projections.errors import BuildBehind
from refold.projections.live import apart, showing
from refold.projections.live.apart import Apart
from refold.projections.live.follower import FOLLOWERS, ApartFold, Follower
from refold.projections.tables import builds
from refold.projections.tables.builds import GROUP, Build
from refold.projections.tables.declared import Declared
from refold.schemas.catalog import Catalog
from refold.schemas.errors import RefoldError
from refold.streams import journal
from refold.streams.chunk import Place
from refold.streams.core.limits import group_positions
from refold.streams.failpoints import failpoint
from refold.streams.guard.wiring import command_guard
from refold.streams.postgres import positions
from refold.streams.postgres.connection import Database
from refold.streams.refusals import first_line, is_away
from refold.streams.settings import Settings
from refold.streams.worker.guarded_fold import GuardedFold

NEAR_RECORDS = 100_000
"""Most records behind at which a process catches up with prepared builds before it begins: a second or two."""
PATIENCE_S = 10.0
_TAIL_S = 0.15
"""Longest time for which all folding waits while the last records are folded. If it is over, the next try comes."""
_AGAIN_S = 0.05
_log = logging.getLogger(__name__)


def waiting(found: Declared, there: Sequence[Build]) -> list[Apart]:
    """The prepared builds of this code."""
    return [(build, layout) for build, layout in apart.known(found, there) if build.is_prepared]


class WaitingFold(ApartFold):
    """Folds into prepared builds, whoever else follows them: each chunk counts once, by their positions."""

    def followed(self) -> list[Apart]:
        """The prepared builds of this code."""
        return waiting(self.declared, builds.builds(self.db))

    def stands(self) -> dict[Place, int]:
        """The group's positions, and the core's in topics that the group does not read yet."""
        return apart.stands_of_deploy(self.db)


class Takeover:
    """Brings the prepared builds of this code to the group's positions, and shows them. One connection, one thread."""

    def __init__(self, fold: WaitingFold, follower: Follower, prefix: str, found: Declared) -> None:
        self._fold, self._follower, self._prefix, self._found = fold, follower, prefix, found

    def run(self, patience_s: float) -> list[Build]:
        """The builds that readers see now; none if they are too far behind, and their followers go on.

        Raises CannotPromote, BuildBehind.
        """
        until = time.monotonic() + patience_s
        if self._behind() > NEAR_RECORDS:
            return []
        while (found := self._fold.followed()) and not self._follower.advance(found):
            if time.monotonic() > until:
                return []
        while True:
            try:
                return showing.retried(self._fold.db, self._show)
            except BuildBehind:
                if time.monotonic() > until:
                    raise
                time.sleep(_AGAIN_S)

    def _behind(self) -> int:
        return max(
            (apart.records_behind(self._fold.db, self._prefix, *one) for one in self._fold.followed()), default=0
        )

    def _show(self) -> list[Build]:
        """Fold the rest and show the builds, within one transaction. Raises BuildBehind, CannotPromote."""
        db = self._fold.db
        showing.hold_all(db)
        until = time.monotonic() + _TAIL_S
        while (found := self._fold.followed()) and not self._follower.advance(found):
            if time.monotonic() > until:
                build = found[0][0]
                raise BuildBehind(f"build {build.number} of {build.model} did not catch up in time", follows=True)
        self._begin_topics(found)
        showing.show_all(db, self._found, found)
        failpoint("prepared.within-takeover")
        return [build for build, _ in found]

    def _begin_topics(self, found: Sequence[Apart]) -> None:
        """Let the group begin where the builds stand in topics that it does not read: nobody else has rows of these.

        Raises BuildBehind if they do not stand together yet.
        """
        db, begins = self._fold.db, dict[Place, int]()
        read = {topic for topic, _ in group_positions(db, GROUP)}
        for build, layout in found:
            topics = apart.topics_of(self._prefix, layout) - read
            for place, at in group_positions(db, build.group).items():
                if place[0] in topics and begins.setdefault(place, at) != at:
                    raise BuildBehind(
                        f"build {build.number} of {build.model} is not where the others stand", follows=True
                    )
        positions.put(db, GROUP, begins)
        positions.adopt_times(db, GROUP, [build.group for build, _ in found])


class Waiting:
    """Looks for prepared builds of this code, and takes them over. A failure is logged once and tried again later."""

    def __init__(self, settings: Settings, catalog: Catalog, found: Declared) -> None:
        self._settings, self._catalog, self._found = settings, catalog, found
        self._told = ""

    def take_over(self, db: Database, patience_s: float = PATIENCE_S) -> list[Build]:
        """Show this code's prepared builds to readers, if there are any. `db` only looks for them."""
        there = waiting(self._found, builds.builds(db))
        if not there:
            return []
        try:
            shown = self._take_over(patience_s)
            failpoint("prepared.after-takeover")
        except (psycopg.Error, RefoldError) as problem:
            if isinstance(problem, psycopg.Error) and is_away(problem):
                raise
            if self._told != (told := first_line(problem)):
                _log.warning("models: prepared builds are not shown yet: %s", told, extra=journal.about(problem))
            self._told = told
            return []
        for build in shown:
            _log.info(
                "models: %s.%s (build %d) was prepared; readers see it now", build.domain, build.model, build.number
            )
        return shown

    def _take_over(self, patience_s: float) -> list[Build]:
        settings = self._settings
        fold = WaitingFold(settings.dsn(), settings.topic_prefix, self._catalog, self._found)
        with command_guard(settings, FOLLOWERS) as guard:
            follower = Follower(fold, GuardedFold(fold, guard), settings, lambda _: [], lambda _: None)
            with closing(follower):
                return Takeover(fold, follower, settings.topic_prefix, self._found).run(patience_s)
