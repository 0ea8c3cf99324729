"""A command that joins a rebuild: it works on the builds of the command that leads, and leads itself once nobody else does."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import Self

from refold.projections.errors import BuildMissing, BuildOfOtherCode, RebuildRunning
from refold.projections.live.limits import parked
from refold.projections.replay import passes
from refold.projections.replay.builder import Builder, Progress, Target
from refold.projections.replay.building import Site, Start
from refold.projections.replay.model_lock import alone
from refold.projections.replay.passes import Led
from refold.projections.replay.plan import Failed, Rebuilt, Report
from refold.projections.replay.rebuild_beside import goal
from refold.projections.replay.source import Source
from refold.projections.replay.staging import Staging
from refold.projections.replay.together import Fold, Work, joined
from refold.projections.tables import builds
from refold.projections.tables.builds import Build
from refold.projections.tables.layout import Layout

_PAUSE_S = 0.3
_PATIENCE_S = 30.0
"""Seconds until the command that holds the models' locks has begun to make builds, if it is a rebuild."""


@dataclass(frozen=True)
class Left:
    """What is left to do once no other command leads: models to be built, builds to be shown, and those that are done."""

    layouts: list[Layout]
    joined: list[tuple[Layout, Build]]
    done: list[Rebuilt]
    failed: list[Failed]


class Joining:
    """The builds that this command has seen others make, and its share of the work on them."""

    def __init__(self, site: Site, layouts: Sequence[Layout], progress: Progress) -> None:
        self._site, self._layouts, self._progress = site, layouts, progress
        self._seen: dict[tuple[str, str], int] = {}
        self._asked = set[int]()
        self._until = time.monotonic() + _PATIENCE_S
        self._records = self._events = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._site.db.closed:
            passes.ask_no_more(self._site.db, self._asked)

    def run(self, rebuild: Callable[[Sequence[Layout], Sequence[tuple[Layout, Build]]], Report]) -> Report:
        """Help until nobody leads. Then `rebuild` what is left: models to be built, and builds to be shown with them."""
        began = time.perf_counter()
        while True:
            with suppress(RebuildRunning), alone(self._site.db, self._layouts):
                left = self._left()
                if not (left.layouts or left.joined):
                    return self._report(left, time.perf_counter() - began)
                report = rebuild(left.layouts, left.joined)
                return replace(report, models=report.models + left.done, failed=report.failed + left.failed)
            self._help()

    def _help(self) -> None:
        """Fold what Kafka gives to this command, if the command that leads lets others work; else wait a moment.

        Raises RebuildRunning, BuildOfOtherCode.
        """
        led = self._led()
        if led is None:
            if not self._seen and time.monotonic() > self._until:
                raise RebuildRunning(
                    "another command works on the builds of these models, and it rebuilds none of them"
                )
        elif led.open:
            helping = Helping(self._site, led)
            for start, staged in helping.starts(self._layouts).items():
                builder, _ = self._site.build(helping, staged, dict(start), self._progress)
                self._records += helping.folded
                self._events += builder.events
        elif new := set(led.numbers) - self._asked:
            passes.ask(self._site.db, sorted(new))
            self._asked |= new
        time.sleep(_PAUSE_S)

    def _led(self) -> Led | None:
        """The rebuild of these models that another command leads. Raises BuildOfOtherCode."""
        there = {build.number: build for build in builds.builds(self._site.db)}
        names = {(layout.model.domain, layout.name) for layout in self._layouts}
        ours = [number for number, build in there.items() if (build.domain, build.model) in names]
        led = Led.of(self._site.db, ours)
        if led is None:
            return None
        for build in (there[number] for number in led.numbers if number in there):
            if self._site.found.fingerprints.get((build.domain, build.model)) != build.fingerprint:
                raise BuildOfOtherCode(
                    f"the running rebuild is of another declaration of {build.domain}.{build.model} than this code has"
                )
            if (build.domain, build.model) in names:
                self._seen[build.domain, build.model] = build.number
        return led

    def _left(self) -> Left:
        """What is left, now that no other command works on the builds."""
        there = {build.number: build for build in builds.builds(self._site.db)}
        left = Left([], [], [], [])
        for layout in self._layouts:
            name = (layout.model.domain, layout.name)
            number = self._seen.get(name)
            build = there.get(number) if number is not None else None
            if number is None or (build is not None and build.status == "building"):
                left.layouts.append(layout)
            elif build is None:
                left.failed.append(_dropped(name, number))
            elif build.status == "shadow":
                left.joined.append((layout, build))
            else:
                left.done.append(Rebuilt(*name, number, None, self._site.rows(layout, build), None, None))
        return left

    def _report(self, left: Left, seconds: float) -> Report:
        """The result of a command that has only helped."""
        rate = round(self._records / seconds)
        return Report(
            left.done,
            self._records,
            self._events,
            round(seconds, 2),
            round(seconds, 2),
            rate,
            0,
            left.failed,
            led=False,
        )


class Helping:
    """Work on an open pass of the command that leads; nothing is begun, ended or shown."""

    with_core = False
    compared_s = 0.0

    def __init__(self, site: Site, led: Led) -> None:
        self._site, self._led = site, led
        self.folded = 0

    def starts(self, _layouts: Sequence[Layout]) -> dict[Start, list[Staging]]:
        """The builds of the pass, at their positions; none if they no longer stand together."""
        site = self._site
        there = [build for build in builds.builds(site.db) if build.number in self._led.open]
        stands = passes.standing(site.db, there)
        if stands is None:
            return {}
        parks = parked(site.db)
        by_name = site.found.layouts
        staged = [
            Staging(site.db, by_name[build.domain, build.model], build, parks, None, site.holding) for build in there
        ]
        return {tuple(sorted(stands.items())): staged}

    def fold(self, builder: Builder, target: Target, source: Source, progress: Progress) -> list[Rebuilt]:
        """Fold the partitions that Kafka gives, as long as the pass is open."""
        site, places = self._site, dict(source.position)
        fold = Fold(site, builder, target, places, goal(site.db, list(places)), progress)
        work = Work(fold, self._led.session, leads=False)
        with closing(joined(fold, self._led.group)) as member:
            work.run(member)
        self.folded = work.folded
        return []


def _dropped(name: tuple[str, str], number: int) -> Failed:
    return Failed(*name, BuildMissing.code, f"the command that led has dropped build {number}: it says why")
