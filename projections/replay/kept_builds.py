"""Acts on builds that are kept beside the live ones: promotes a finished shadow, rolls back to a retired one, prunes.

Invariants: what readers see changes in one transaction for all named models. A build is shown only if its rows stand
where the live ones do, so no reader meets older rows than before.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from refold.projections.errors import BuildBehind, BuildInUse, BuildMissing, BuildOfOtherCode
from refold.projections.live import apart
from refold.projections.replay import promote as ending
from refold.projections.replay.build_list import Listed, build_list
from refold.projections.replay.compare import Difference
from refold.projections.replay.gates import Gates, Judged
from refold.projections.replay.judging import judged
from refold.projections.replay.model_lock import alone
from refold.projections.tables import builds, view_swap
from refold.projections.tables.builds import Build
from refold.projections.tables.declared import Declared
from refold.projections.tables.layout import Layout
from refold.schemas.plurals import counted
from refold.streams.failpoints import failpoint
from refold.streams.postgres.connection import Database

_UNPROMOTED = "shadow", "unfinished", "preparing", "prepared"
_CATCHES_UP_S = 5.0
"""Longest wait for a build that other processes keep up to date: they are a moment behind under load."""


@dataclass(frozen=True)
class Switched:
    """One model: the build that serves now, and the one that readers see after the command.

    `compared`: rows of both that were compared; None if they are of two declarations.
    """

    domain: str
    model: str
    live: int | None
    shown: int
    rows: int | None
    behind: int
    compared: int | None = None
    differing: int | None = None
    differences: list[Difference] = field(default_factory=list)


@dataclass(frozen=True)
class KeptBuilds:
    """The builds of some models in one database. `prefix`: of the topics."""

    db: Database
    found: Declared
    prefix: str

    def promote(self, names: Sequence[str], gates: Gates, *, execute: bool) -> list[Switched]:
        """Compare each model's finished shadow with the live table; show it if the gates allow and `execute` says so.

        Raises UnknownModel, BuildMissing, BuildOfOtherCode, BuildBehind, RebuildRunning, CannotPromote, and with
        `execute` the errors of the gates.
        """
        layouts = self._named(names)
        with alone(self.db, layouts):
            chosen = [self._newest(layout, "shadow") for layout in layouts]
            plan = [judged(self.db, layout, build) for layout, build in zip(layouts, chosen, strict=True)]
            if execute:
                for one in plan:
                    gates.judge(one)
            listed = self._listed(names)
            if execute:
                self._show(layouts, chosen)
            return [_switched(one, listed) for one in plan]

    def rollback(self, names: Sequence[str], *, execute: bool) -> list[Switched]:
        """Let readers see the retired build of each model again, if `execute` says so; the live one is retired then.

        Raises UnknownModel, BuildMissing, BuildOfOtherCode, BuildBehind, RebuildRunning, CannotPromote.
        """
        layouts = self._named(names)
        with alone(self.db, layouts):
            chosen = [self._newest(layout, "retired") for layout in layouts]
            listed, pairs = self._listed(names), list(zip(layouts, chosen, strict=True))
            if execute:
                self._show(layouts, chosen)
                return [_of(listed, build) for build in chosen]
            for layout, build in pairs:
                self._refuse_behind(layout, build)
            return [_switched(judged(self.db, layout, build), listed) for layout, build in pairs]

    def prune(self, names: Sequence[str], *, unpromoted: bool, execute: bool) -> list[Listed]:
        """The retired builds of some models or of all, and those that a killed verify, preview or as-of left; drops them.

        `unpromoted`: shadows, prepared and unfinished ones too.

        Raises UnknownModel, RebuildRunning, BuildInUse.
        """
        layouts = self._named(names) if names else list(self.found.layouts.values())
        states = {"retired", *builds.DROPPED_SOON, *(_UNPROMOTED if unpromoted else ())}
        with alone(self.db, layouts if execute else ()):
            listed = [one for one in self._listed(names) if one.state in states and self._is_declared(one)]
            there = {build.number: build for build in builds.builds(self.db)}
            for one in listed if execute else ():
                self._drop(there[one.build])
            return listed

    def _named(self, names: Sequence[str]) -> list[Layout]:
        """The layouts of the names, in the order in which every command locks them."""
        return sorted({self.found.named(name) for name in names}, key=lambda layout: (layout.model.domain, layout.name))

    def _newest(self, layout: Layout, status: str) -> Build:
        """The model's newest build of a status. Raises BuildMissing, BuildOfOtherCode."""
        name = (layout.model.domain, layout.name)
        there = [b for b in builds.builds(self.db) if (b.domain, b.model) == name and b.status == status]
        if not there:
            raise BuildMissing(f"{'.'.join(name)} has no {status} build")
        ours = [build for build in there if build.fingerprint == self.found.fingerprints[name]]
        if not ours:
            raise BuildOfOtherCode(
                f"{'.'.join(name)}: build {there[-1].number} is of the declaration {there[-1].fingerprint},"
                f" and this code declares {self.found.fingerprints[name]}"
            )
        return ours[-1]

    def _show(self, layouts: Sequence[Layout], chosen: Sequence[Build]) -> None:
        """Show the builds in one transaction. Raises BuildBehind, CannotPromote."""
        pairs = list(zip(layouts, chosen, strict=True))
        self._once_caught_up(lambda: ending.switch(self.db, self.found, pairs, self._refuse_behind))

    def _once_caught_up(self, step: Callable[[], object]) -> None:
        until = time.monotonic() + _CATCHES_UP_S
        while True:
            try:
                step()
            except BuildBehind as problem:
                if not problem.follows or time.monotonic() > until:
                    raise
                time.sleep(0.1)
            else:
                return

    def _refuse_behind(self, layout: Layout, build: Build) -> None:
        """Raises BuildBehind if the build's rows are older than those of the live tables, BuildMissing if it is gone."""
        now = next((one for one in builds.builds(self.db) if one.number == build.number), None)
        if now is None or now.status != build.status:
            raise BuildMissing(f"build {build.number} of {layout.name} is gone: another command took it")
        if now.is_member:
            return
        behind = apart.records_behind(self.db, self.prefix, now, layout)
        if behind or not now.is_apart:
            raise BuildBehind(
                f"build {build.number} of {layout.name} is {counted(behind, 'records')} behind the live tables"
                f" ({now.detached_code}: {now.detached_reason})",
                follows=now.is_apart,
            )

    def _drop(self, build: Build) -> None:
        """Drop one build in one transaction. Raises BuildInUse."""

        def step() -> None:
            ending.hold_all(self.db)
            if readers := view_swap.readers(self.db, (build.schema, build.model)):
                raise BuildInUse(
                    f"build {build.number} of {build.model} is read by views of yours: {', '.join(readers)}"
                )
            ending.drop(self.db, build)
            failpoint("replay.within-prune")

        held = BuildInUse(f"somebody reads build {build.number} of {build.model} for longer than a minute")
        ending.retried(self.db, step, held)
        failpoint("replay.after-prune")

    def _listed(self, names: Sequence[str]) -> list[Listed]:
        return build_list(self.db, self.found, self.prefix, names)

    def _is_declared(self, one: Listed) -> bool:
        """Whether this code declares the model; `refold replay drop` drops all builds of a model that it does not."""
        return (one.domain, one.model) in self.found.layouts


def _switched(one: Judged, listed: Sequence[Listed]) -> Switched:
    base, compared = _of(listed, one.build), one.compared
    if compared is None:
        return base
    return replace(base, compared=compared.rows, differing=compared.differing, differences=compared.listed)


def _of(listed: Sequence[Listed], build: Build) -> Switched:
    """The change for a build's model, as the list tells it from before the change."""
    of_it = [one for one in listed if (one.domain, one.model) == (build.domain, build.model)]
    live = next((one.build for one in of_it if one.state == "live"), None)
    kept = next(one for one in of_it if one.build == build.number)
    return Switched(build.domain, build.model, live, build.number, kept.rows, kept.behind)
