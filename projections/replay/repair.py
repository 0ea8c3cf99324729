"""Repairs rows of a live table: folds their events from the log into a build of these rows alone, and writes those that differ.

Invariants: the rows are compared and written in one transaction under the group's lock, so both sides stand at one
position, and no position moves. Every other row, and every other build of the model, stays as it is.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace

from refold.projections.declaring.declaration import EventType
from refold.projections.errors import BuildMissing, BuildOfOtherCode, CannotJoin, CannotRepair, NotCompared
from refold.projections.live.limits import parked
from refold.projections.live.showing import retried_within
from refold.projections.partials.of_key import stream_of
from refold.projections.replay import promote
from refold.projections.replay.builder import Builder, Progress
from refold.projections.replay.building import READ_RECORDS, Site
from refold.projections.replay.compare import Difference, Differing
from refold.projections.replay.decoding import Decoding
from refold.projections.replay.guarded import GuardedTarget
from refold.projections.replay.keyed_staging import KeyedStaging
from refold.projections.replay.model_lock import alone
from refold.projections.replay.plan import places_of
from refold.projections.replay.rebuild_beside import fold_close, goal
from refold.projections.replay.row_repair import LeftOut, RowRepair
from refold.projections.replay.source import Source
from refold.projections.replay.stream_refold import StreamRefold, categories_of
from refold.projections.replay.wanted_columns import wanted_columns
from refold.projections.replay.wanted_keys import Wanted, WantedKeys
from refold.projections.tables import builds, tables
from refold.projections.tables.builds import GROUP, VERIFIED, Build
from refold.projections.tables.layout import Layout
from refold.projections.tables.memories import read_types
from refold.schemas.columns.compiled import load
from refold.schemas.columns.decoder import ColumnDecoder
from refold.streams.core.limits import group_positions
from refold.streams.failpoints import failpoint
from refold.streams.guard.wiring import command_guard
from refold.streams.postgres.connection import notify

_MOST_SHARE = 0.02
"""Largest share of the log's records that are read one by one; for more, reading the whole log is quicker."""
_FEW = 20_000
"""Records of a log so short that it does not matter how it is read."""
_LONG = 300_000
"""Records of a log that is read sooner with compiled loops, although it takes a third of a second to load them."""


@dataclass(frozen=True)
class Repaired(Differing):
    """What a repair did, or would do.

    `keys`: rows asked for, each once. `rows`: those of them that differ, at most `compare.LISTED`. `left_out`: rows that stay as they
    are. `by_stream`: whether single streams were read instead of the log. `held_s`: how long the live tables stood still.
    """

    domain: str
    model: str
    build: int
    executed: bool
    keys: int
    changed: int
    missing: int
    extra: int
    rows: list[Difference] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    by_stream: bool = False
    records: int = 0
    held_s: float = 0.0
    seconds: float = 0.0


def repair(site: Site, layout: Layout, wanted: Wanted, progress: Progress, *, execute: bool) -> Repaired:
    """Fold the wanted rows, compare, and with `execute` write those that differ.

    Raises KeyUnfit, BuildMissing, BuildOfOtherCode, NotCompared, CannotRepair, RebuildRunning, CannotJoin, ModelFailed, LogRefused.
    """
    began = time.perf_counter()
    with alone(site.db, [layout]):
        _served(site, layout)
        try:
            done = _refold(site, layout, wanted).end(progress, execute=execute)
        finally:
            if not site.db.closed:
                promote.drop_apart(site.db, [layout])
    failpoint("replay.after-repair")
    return replace(done, seconds=round(time.perf_counter() - began, 3))


def _served(site: Site, layout: Layout) -> Build:
    """The build that serves, if this code can repair it."""
    name = (layout.model.domain, layout.name)
    live = builds.serving(builds.builds(site.db), *name)
    if live is None:
        raise BuildMissing(f"no table of {'.'.join(name)} is built yet")
    if live.fingerprint != site.found.fingerprints[name]:
        raise BuildOfOtherCode(
            f"the live table of {'.'.join(name)} is of the declaration {live.fingerprint},"
            f" and this code declares {site.found.fingerprints[name]}"
        )
    if live.detached_code is not None:
        raise CannotRepair(
            f"the live table of {'.'.join(name)} stands by itself ({live.detached_code}: {live.detached_reason})"
        )
    if not tables.has_key(site.db, layout, live):
        raise NotCompared(
            f"the live table of {'.'.join(name)} was altered: its key is gone, so rows may be doubled",
            "Rebuild the model: `refold replay rebuild NAME --accept --execute`.",
        )
    return live


def _refold(site: Site, layout: Layout, wanted: Wanted) -> "_Refold":
    """A build of the wanted rows that is not folded yet."""
    fingerprint = VERIFIED + site.found.fingerprints[layout.model.domain, layout.name]
    build = promote.begin(site.db, layout, fingerprint, None)
    keys = WantedKeys(site.db, layout, build)
    keys.note(wanted)
    frame, settings = keys.frame(), site.settings
    staging = KeyedStaging(site.db, layout, build, parked(site.db), frame)
    wanted_of = wanted_columns([layout], site.domains.catalog)
    streams = [stream_of(layout, key) for key in frame.iter_rows()]
    named = sorted({stream for stream in streams if stream is not None})
    records = sum(goal(site.db, places_of(settings, [layout])).values())
    if None not in streams:
        servers, prefix = settings.kafka_servers(), settings.topic_prefix
        decoder = ColumnDecoder(site.domains.catalog, thin=True, wanted=wanted_of)
        single = StreamRefold(site.db, servers, prefix, decoder, staging, named)
        if sum(map(len, single.left().values())) <= _MOST_SHARE * records or records < _FEW:
            return _OfStreams(site, layout, keys, staging, single)
    if records > _LONG:
        load()
    decoder = ColumnDecoder(site.domains.catalog, thin=True, wanted=wanted_of, picks=staging.picks)
    return _OfTheLog(site, layout, keys, staging, decoder)


@dataclass
class _Refold(ABC):
    """The fold of a repair."""

    site: Site
    layout: Layout
    keys: WantedKeys
    staging: KeyedStaging

    @abstractmethod
    def end(self, progress: Progress, *, execute: bool) -> Repaired:
        """Fold, compare and write."""

    def _met(self, tail: Callable[[], None], *, execute: bool) -> Repaired:
        """Under the group's lock: fold what is left, compare, and write."""
        site, held = self.site, False
        failpoint("replay.before-repair")

        def step() -> Repaired:
            nonlocal held
            if held:  # what was folded into memory was lost with the failed transaction
                raise CannotJoin("the transaction that repairs the rows failed")
            builds.lock_exclusive(site.db)
            held, began = True, time.perf_counter()
            tail()
            done = self._written(execute=execute)
            failpoint("replay.within-repair")
            return replace(done, held_s=round(time.perf_counter() - began, 3))

        return retried_within(site.db, "1s", step, CannotJoin("the live tables were busy all the time"))

    def _written(self, *, execute: bool) -> Repaired:
        db, live = self.site.db, _served(self.site, self.layout)
        rows = RowRepair(db, self.layout, self.staging.build, live, self.keys)
        asked = self.keys.count()
        left_out = rows.leave_out(categories_of(self.layout))
        found = rows.find()
        if execute and found.differing:
            rows.write(found)
            builds.mark_repaired(db, live)
            places = set(places_of(self.site.settings, [self.layout]))
            notify(db, GROUP, {place: at for place, at in group_positions(db, GROUP).items() if place in places})
        name = self.layout.model.domain, self.layout.name
        counts = found.changed, found.missing, found.extra
        return Repaired(*name, live.number, execute, asked, *counts, found.listed, left_out)


@dataclass
class _OfTheLog(_Refold):
    """Reads the whole log, checks what the model gathers, and with compiled loops decodes only the events of the wanted rows."""

    decoder: ColumnDecoder

    def end(self, progress: Progress, *, execute: bool) -> Repaired:
        site, types = self.site, dict[str, list[EventType]]()
        for kind in read_types(self.layout.model):
            types.setdefault(kind.category.name, []).append(kind)
        start = dict.fromkeys(places_of(site.settings, [self.layout]), 0)
        decoding = Decoding(site.reads, site.settings.topic_prefix, self.decoder, types)
        builder = Builder(site.db, decoding, [self.staging], start, parks_alone=True)
        source = Source(site.settings.kafka_servers(), start, records=READ_RECORDS)
        with closing(source), command_guard(site.settings, GROUP) as guard:
            fold_close(site.db, builder, GuardedTarget(builder, guard), source, progress)
            done = self._met(lambda: promote.fold_tail(site.db, builder, source), execute=execute)
        return replace(done, records=sum(builder.position.values()))


@dataclass
class _OfStreams(_Refold):
    """Reads single streams, by the places that the core stored."""

    streams: StreamRefold

    def end(self, progress: Progress, *, execute: bool) -> Repaired:
        with self.site.db.transaction():
            self.streams.go_on(self.streams.left(), progress)
            self.staging.finish(self.site.db)
        done = self._met(self._tail, execute=execute)
        return replace(done, by_stream=True, records=self.streams.read)

    def _tail(self) -> None:
        if left := self.streams.left():
            self.streams.go_on(left, lambda _done, _of: None)
