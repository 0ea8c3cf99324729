"""Folds one pass by several commands, on any machines: Kafka's consumer group gives each of them some partitions.

Invariant: a flush moves the positions of its partitions from where its command found them, in the transaction of its rows, and
only while the leading command's session holds the pass open. So a command that was stopped, or cut off, writes no record that
another one has written; its rows in memory are dropped, and it reads again.
"""

import logging
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from refold.projections.errors import ModelFailed
from refold.projections.replay import passes, promote
from refold.projections.replay.builder import Builder, Progress, Target
from refold.projections.replay.building import READ_RECORDS, Site
from refold.projections.replay.fold_log import fold_while
from refold.projections.replay.source import Source
from refold.projections.tables.builds import Build
from refold.schemas.plurals import counted
from refold.streams.chunk import Place
from refold.streams.errors import Lost
from refold.streams.failpoints import failpoint
from refold.streams.kafka.group_member import GroupMember
from refold.streams.postgres import positions
from refold.streams.postgres.connection import Database

_LOOK_S = 1.0
_PAUSE_S = 0.2
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fold:
    """What a command folds: the log between positions, into the builds of a builder. `began`: where they stood at its beginning."""

    site: Site
    builder: Builder
    target: Target
    began: Mapping[Place, int]
    upto: Mapping[Place, int]
    progress: Progress

    @property
    def numbers(self) -> list[int]:
        """The builds."""
        return [staging.build.number for staging in self.builder.staged]


def fold_together(fold: Fold, source: Source) -> None:
    """Fold alone until another command asks to join, then together. The caller folds what is left, and flushes.

    Does nothing for a command of several processes, for models that `evolve`, and for tables that have their key already:
    two merges into one table would wait for each other's rows.
    """
    site, builder = fold.site, fold.builder
    if site.processes > 1 or any(staging.layout.evolves or staging.has_key for staging in builder.staged):
        return
    asked = _Asked(fold)
    try:
        fold_while(asked.works_alone, source, fold.target, fold.upto, fold.progress, builder.ahead)
        if asked.member is None or not source.left(fold.upto):
            return
        fold.target.flush()
        places = dict(builder.position)
        with passes.opened(site.db, builder.staged, places):
            _log.info("another command works on this rebuild, too")
            work = Work(fold, passes.session_of(site.db), leads=True)
            work.run(asked.member)
        position = passes.settled(site.db, site.reads, [staging.build for staging in builder.staged], places)
        assert position is not None, "all commands move the positions of all builds together"
        work.end({place: position[place] for place in places})
        source.seek(builder.position)
    finally:
        asked.close()


class _Asked:
    """Looks whether another command asks to join, and becomes a member of the group that divides the work."""

    def __init__(self, fold: Fold) -> None:
        self._fold, self._looked = fold, time.monotonic()
        self.member: GroupMember | None = None

    def works_alone(self) -> bool:
        """Whether to go on alone: until Kafka has given all partitions to this member, its group's first."""
        now = time.monotonic()
        if self.member is None and now - self._looked > _LOOK_S:
            self._looked = now
            site, numbers = self._fold.site, self._fold.numbers
            if passes.is_asked(site.reads, numbers):
                self.member = joined(self._fold, passes.group_of(passes.session_of(site.db), numbers))
        return self.member is None or not self.member.is_placed

    def close(self) -> None:
        """Leave the group."""
        if self.member is not None:
            self.member.close()


def joined(fold: Fold, group: str) -> GroupMember:
    """A new member of the group that divides the partitions of a pass."""
    settings = fold.site.settings
    topics = {topic for topic, _ in fold.upto}
    return GroupMember(settings.kafka_servers(), f"{settings.topic_prefix}{group}", topics)


class Work:
    """One command's work on an open pass."""

    def __init__(self, fold: Fold, session: int, *, leads: bool) -> None:
        """`session`: of the command that leads."""
        self._fold, self._session, self._leads = fold, session, leads
        self._builder, self._site = fold.builder, fold.site
        self._numbers = fold.numbers
        self._stands = dict[Place, int]()
        self._looked = 0.0
        self._strange: Mapping[Place, int] | None = None
        self.folded = 0
        """Records that this command has folded and flushed."""
        self._builder.hold = self._hold
        for staging in self._builder.staged:
            staging.shared = True

    def run(self, member: GroupMember) -> None:
        """Fold the partitions that Kafka gives to this member, until all are folded, by whomever, or the pass is closed."""
        while True:
            mine = member.take() if member.is_alive or not self._leads else self._fold.upto.keys()
            stands = self._look(self._site.db)
            if stands is None:
                return
            self._tell(0, 0)
            if not any(at < self._upto(place) for place, at in stands.items()):
                return
            if left := {place: at for place, at in stands.items() if place in mine and at < self._upto(place)}:
                self._turn(member, left)
            else:
                self._builder.restart({})
                time.sleep(_PAUSE_S)

    def end(self, position: Mapping[Place, int]) -> None:
        """Write alone from now on, from these positions."""
        self._builder.hold = None
        for staging in self._builder.staged:
            staging.shared = False
        self._builder.restart(position)

    def _turn(self, member: GroupMember, left: Mapping[Place, int]) -> None:
        """Fold some partitions until the share changes or nothing of them is left."""
        found = passes.settled(self._site.db, self._site.reads, self._builds, left)
        if found is None or any(found.get(place) != at for place, at in left.items()):
            return  # the flush of the command that had them has just ended
        self._builder.restart(left)
        servers, batch_records = self._site.settings.kafka_servers(), self._site.holding.batch_records
        try:
            with closing(Source(servers, left, records=READ_RECORDS, batch_records=batch_records)) as source:
                fold_while(
                    lambda: self._goes_on(member),
                    source,
                    self._fold.target,
                    self._fold.upto,
                    self._tell,
                    self._builder.ahead,
                )
            self._fold.target.flush()
        except Lost as problem:
            _log.info(
                "%s: another command has folded them, or the one that leads is gone",
                counted(len(problem.places), "partitions"),
            )
        except ModelFailed as problem:
            self._leave_out(problem)
        finally:
            self.folded += sum(at - left[place] for place, at in self._builder.flushed.items() if place in left)

    def _leave_out(self, problem: ModelFailed) -> None:
        """Only the command that leads drops a build. Others end, and it meets the failure itself."""
        if not self._leads:
            raise problem
        failed = next(staging for staging in self._builder.staged if staging.build.number == problem.build)
        self._builder.leave_out(failed, problem)
        with self._site.db.transaction():
            promote.drop(self._site.db, failed.build)

    def _goes_on(self, member: GroupMember) -> bool:
        """Whether to fold another batch of the same share. Raises Lost if somebody else has flushed some of it."""
        if member.is_changing():
            return False
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return True
        self._looked = now
        flushed = self._builder.flushed
        stands = self._look(self._site.reads)
        if stands is None:
            return False
        moved = [place for place, at in flushed.items() if stands.get(place) != at]
        if moved and self._strange is flushed:  # twice: else it may be the flush that has just ended
            raise Lost(moved)
        self._strange = flushed if moved else None
        return True

    def _look(self, db: Database) -> dict[Place, int] | None:
        """Where the builds stand now; None if the pass is closed, or some builds of it are dropped."""
        if not passes.is_open(db, self._session, self._numbers):
            return None
        stands = passes.standing(db, self._builds)
        if stands is not None:
            self._stands = {place: at for place, at in stands.items() if place in self._fold.upto}
            return self._stands
        return None

    def _hold(self, flushed: Mapping[Place, int]) -> None:
        """Let no other command flush these places until the transaction ends. Raises Lost if one did, or nobody may."""
        db = self._site.db
        positions.hold(db, [build.group for build in self._builds], flushed)
        if not passes.is_open(db, self._session, self._numbers):
            raise Lost(sorted(flushed))
        failpoint("replay.within-turn")

    def _tell(self, _done: int, _whole: int) -> None:
        """Report the progress of all commands together."""
        at = self._stands | {place: max(at, self._stands.get(place, 0)) for place, at in self._builder.position.items()}
        whole, left = (self._left(one) for one in (self._fold.began, at))
        self._fold.progress(whole - left, whole)

    def _left(self, position: Mapping[Place, int]) -> int:
        return sum(max(0, upto - position.get(place, 0)) for place, upto in self._fold.upto.items())

    @property
    def _builds(self) -> list[Build]:
        return [staging.build for staging in self._builder.staged]

    def _upto(self, place: Place) -> int:
        return self._fold.upto.get(place, 0)
