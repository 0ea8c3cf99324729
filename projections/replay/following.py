"""Follows prepared builds: keeps them at the group's positions until models processes of their code do it.

The live workers have other code, so this process reads the log for them. Once a build is promoted, it goes on until
another process follows, so that no second is lost between the two.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Self

import psycopg

from refold.projections.errors import BuildMissing, ModelFailed, RebuildRunning
from refold.projections.live import apart
from refold.projections.live.apart import Apart
from refold.projections.live.follower import FOLLOWERS, ApartFold, Follower
from refold.projections.replay.building import Site
from refold.projections.tables import builds
from refold.projections.tables.builds import APART, Build
from refold.projections.tables.declared import Declared
from refold.schemas.catalog import Catalog
from refold.streams.chunk import Place
from refold.streams.guard.wiring import command_guard
from refold.streams.postgres.connection import connect_patiently
from refold.streams.refusals import is_away
from refold.streams.worker.guarded_fold import GuardedFold

LOOK_S = 0.2
_STATES = {"shadow": "prepared", "serving": "promoted", "retired": "retired"}


@dataclass(frozen=True)
class Prepared:
    """One build. `state`: prepared; promoted, if readers see it; retired, if they saw it. `behind`: records."""

    domain: str
    model: str
    build: int
    state: str
    behind: int


class FollowingFold(ApartFold):
    """Folds into some builds alone.

    A promoted one it unlocks, so that another process can follow it, and goes on to fold: each chunk counts once.
    """

    def __init__(self, url: str, prefix: str, catalog: Catalog, found: Declared, numbers: Sequence[int]) -> None:
        """`promoted`: numbers of builds to hand over; another thread adds to it."""
        super().__init__(url, prefix, catalog, found)
        self._numbers = frozenset(numbers)
        self.promoted, self.handed_over = set[int](), set[int]()

    def followed(self) -> list[Apart]:
        """The builds that this process keeps up to date."""
        for number in self.promoted - self.handed_over:
            self.let_go(number)
            self.handed_over.add(number)
        there = apart.known(self.declared, builds.builds(self.db))
        ours = [one for one in there if one[0].number in self._numbers]
        return [one for one in ours if one[0].number in self.handed_over or self.follows(one[0].number)]

    def stands(self) -> dict[Place, int]:
        """The group's positions, and the core's in topics that the group does not read yet."""
        return apart.stands_of_deploy(self.db)


class _Thread(Follower):
    """A follower whose thread can be watched."""

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()


class Following:
    """The builds of one command, followed within the block."""

    def __init__(self, site: Site, prepared: Sequence[Build]) -> None:
        """Raises RebuildRunning if another process follows one of them."""
        self._site, self._numbers = site, [build.number for build in prepared]
        self._last = {build.number: build for build in prepared}
        settings = site.settings
        self._open = ExitStack()
        self._db = connect_patiently(settings.dsn(), application_name="prepare")
        self._fold = FollowingFold(
            settings.dsn(), settings.topic_prefix, site.domains.catalog, site.found, self._numbers
        )
        free = {build.number for build, _ in self._fold.followed()}
        for build in prepared:
            if build.is_prepared and build.number not in free:
                self.close()
                raise RebuildRunning(
                    f"another process follows build {build.number} of {build.model}, which is prepared"
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the builds stay as they are. The next command, or a worker of their code, goes on."""
        self._open.close()
        self._fold.close()
        self._db.close()

    def run(self, report: Callable[[Sequence[Prepared]], None]) -> list[Prepared]:
        """Follow until readers see all the builds and other processes follow them.

        While a server is away it waits. Raises BuildMissing, ModelFailed.
        """
        settings = self._site.settings
        guard = self._open.enter_context(command_guard(settings, FOLLOWERS))
        follower = _Thread(self._fold, GuardedFold(self._fold, guard), settings, lambda _: [], lambda _: None)
        follower.start()
        try:
            while True:
                try:
                    if self._is_over(now := self.look()):
                        return now
                    report(now)
                except psycopg.Error as problem:
                    if not is_away(problem):
                        raise
                    self._reconnect()
                if not follower.is_alive:
                    raise RuntimeError("the thread that follows the builds has ended")
                time.sleep(LOOK_S)
        finally:
            follower.stop()

    def look(self) -> list[Prepared]:
        """Each build now, by model. Raises BuildMissing, ModelFailed."""
        there = {build.number: build for build in builds.builds(self._db)}
        found = []
        for number in self._numbers:
            last, now = self._last[number], there.get(number)
            if now is None and last.status == "shadow":
                raise BuildMissing(f"build {number} of {last.model} was dropped by another command")
            if now is not None and now.detached_code not in (None, *APART):
                raise ModelFailed(number, f"{now.model}: {now.detached_reason}", now.detached_code or "")
            self._last[number] = now or last
            found.append(self._told(now or last))
        return found

    def _told(self, build: Build) -> Prepared:
        layout = self._site.found.layouts[build.domain, build.model]
        behind = (
            0 if build.is_member else apart.records_behind(self._db, self._site.settings.topic_prefix, build, layout)
        )
        return Prepared(build.domain, build.model, build.number, _STATES[build.status], behind)

    def _is_over(self, now: Sequence[Prepared]) -> bool:
        self._fold.promoted |= {one.build for one in now if one.state != "prepared"}
        return all(one.state != "prepared" and self._goes_on(self._last[one.build]) for one in now)

    def _goes_on(self, build: Build) -> bool:
        """Whether others write the build, so that this process is needed no more."""
        if build.is_member:
            return True
        return build.number in self._fold.handed_over and builds.is_followed(self._db, build)

    def _reconnect(self) -> None:
        with suppress(psycopg.Error):
            self._db.close()
        self._db = connect_patiently(self._site.settings.dsn(), application_name="prepare")
