"""The steps that both kinds of rebuild share: begin or resume each model's build, and fold the log into builds."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from psycopg import sql

from refold.projections.errors import EventFailed, ModelFailed
from refold.projections.live.limits import parked
from refold.projections.partials.batch import Park
from refold.projections.partials.occurrence import occurred
from refold.projections.replay import promote
from refold.projections.replay.builder import Builder, Progress, Target
from refold.projections.replay.decoding import Choice, Decoding
from refold.projections.replay.evolve_notes import EvolveNotes, KeepAway, evolve_notes, pass_over_killers
from refold.projections.replay.guarded import GuardedTarget
from refold.projections.replay.holding import UNHELD, Holding
from refold.projections.replay.memory import ROOM
from refold.projections.replay.plan import places_of, unfinished
from refold.projections.replay.sampling import Sample
from refold.projections.replay.source import Source
from refold.projections.replay.staging import Staging
from refold.projections.replay.wanted_columns import wanted_columns
from refold.projections.tables import builds, names, tables
from refold.projections.tables.builds import GROUP, Build
from refold.projections.tables.declared import Declared, types_of
from refold.projections.tables.layout import Layout
from refold.schemas.columns.compiled import load
from refold.schemas.columns.decoder import ColumnDecoder
from refold.streams.chunk import Place
from refold.streams.core.limits import group_positions
from refold.streams.domain import Domains
from refold.streams.guard.wiring import command_guard
from refold.streams.postgres.connection import Database
from refold.streams.postgres.set_aside import CODE_KILLS
from refold.streams.settings import Settings

READ_RECORDS = 40_000
Result = TypeVar("Result")
"""Of one model."""
Start = tuple[tuple[Place, int], ...]
"""The positions of builds that are folded together."""


@dataclass(frozen=True)
class Site:
    """The surroundings of a rebuild. `reads`: a second connection, for reading while the first one writes.

    `apart`: how the fingerprints of builds begin that touch nothing which live tables share; empty for a rebuild.
    `note`: kept with each build; a command goes on only with builds of its own note. `occurred_before`: events that occurred
    later are left out.

    `room`: bytes of rows that memory may hold before they are written. `processes`: how many read and decode.
    """

    settings: Settings
    domains: Domains
    found: Declared
    db: Database
    reads: Database
    open: ExitStack
    apart: str = ""
    room: int = ROOM
    processes: int = 1
    holding: Holding = UNHELD
    """What holds the work back for live traffic."""
    note: str = ""
    occurred_before: datetime | None = None
    code: str | None = None
    """The module whose declarations `found` are, if not the configured domains'."""
    sample: Sample | None = None
    """Only events of its streams are decoded and folded."""

    @property
    def choices(self) -> list[Choice]:
        """What leaves out events that count."""
        before = self.occurred_before
        return [] if before is None else [lambda counted: occurred(counted, before)]

    def begin(self, layout: Layout, keep_away: KeepAway) -> tuple[Staging, dict[Place, int]]:
        """The model's unfinished build, or else a new one, with its positions."""
        fingerprint = self.found.fingerprints[layout.model.domain, layout.name]
        resumed = unfinished(builds.builds(self.db), layout, self.found, self.apart)
        if resumed is not None and tables.note(self.db, resumed) != self.note:
            resumed = None
        build = promote.begin(self.db, layout, self.apart + fingerprint, resumed, self.note)
        notes = self._notes(build, keep_away) if layout.evolves else None
        return Staging(self.db, layout, build, parked(self.db), notes, self.holding), group_positions(
            self.db, build.group
        )

    def begin_all(
        self, layouts: Sequence[Layout], keep_away: KeepAway, *, together: bool
    ) -> dict[Start, list[Staging]]:
        """A build of each model, by position; those that were flushed together go on together.

        `together`: all of them read the same partitions.
        """
        found: dict[Start, list[Staging]] = {}
        begun = [(layout, *self.begin(layout, keep_away)) for layout in layouts]
        for layout, staging, done in begun:
            alike = [one for one, _, at in begun if done and at == done] or [layout]
            places = places_of(self.settings, layouts if together else alike)
            found.setdefault(tuple((place, done.get(place, 0)) for place in places), []).append(staging)
        return found

    def build(
        self, flow: "Flow[Result]", staged: list[Staging], start: dict[Place, int], progress: Progress
    ) -> tuple[Builder, list[Result]]:
        """Fold the log into builds that stand together and end the flow; the builder keeps those that failed."""
        layouts = [*self.found.layouts.values(), *(staging.layout for staging in staged)]
        wanted = wanted_columns(layouts, self.domains.catalog)
        decoder = ColumnDecoder(self.domains.catalog, thin=True, wanted=wanted)
        decoding = Decoding(
            self.reads,
            self.settings.topic_prefix,
            decoder,
            types_of(layouts),
            _waiting(self.db, staged),
            self.choices,
        )
        decoding.sample = self.sample
        builder = Builder(self.db, decoding, staged, start, counts_waiting=flow.with_core, parks_alone=bool(self.apart))
        builder.room, builder.one_by_one = self.room, self.holding is not UNHELD
        builder.appends_ahead = not flow.with_core  # those that are filled with the core resume together or not at all
        load()
        holding, servers = self.holding, self.settings.kafka_servers()
        source = Source(
            servers,
            start,
            records=READ_RECORDS,
            keys=flow.with_core,
            stream_keys=self.sample is not None,
            batch_records=holding.batch_records,
        )
        with closing(source), command_guard(self.settings, GROUP) as guard:
            try:
                holding.begin(self.db, self.reads)
                return builder, flow.fold(builder, GuardedTarget(builder, guard), source, _rested(holding, progress))
            except ModelFailed:
                if builder.staged:
                    raise
                return builder, []

    def rows(self, layout: Layout, build: Build) -> int:
        """Number of rows in a build's table."""
        table = names.table(layout, build.schema)
        row = self.db.execute(sql.SQL("SELECT count(*) FROM {}").format(table)).fetchone()
        assert row is not None
        return int(row[0])

    def _notes(self, build: Build, keep_away: KeepAway) -> EvolveNotes:
        notes = self.open.enter_context(evolve_notes(self.settings, build))
        pass_over_killers(self.settings, notes, build, keep_away)
        return notes


def _rested(holding: Holding, progress: Progress) -> Progress:
    """`progress`, after which the replay rests: it is called between batches."""

    def told(done: int, whole: int) -> None:
        progress(done, whole)
        holding.rest()

    return told


def _waiting(db: Database, staged: Sequence[Staging]) -> list[Park]:
    """The streams that wait for builds apart because this code could not read an event before the kill.

    Those that wait for `evolve` alone are known to their staging.
    """
    numbers = {staging.build.number for staging in staged}
    return [park for park in parked(db) if park.build in numbers and park.code not in (EventFailed.code, CODE_KILLS)]


class Flow(Protocol[Result]):
    """A kind of rebuild, and what it gives for each model: `FillEmpty`, `RebuildBeside`, `VerifyBeside`, `PreviewBeside` or `AsOf`."""

    with_core: bool
    """Whether the core's tables are folded too: its rules compare record keys, and no live table has counted what waits."""
    compared_s: float
    """Seconds spent comparing and promoting."""

    def starts(self, layouts: Sequence[Layout]) -> dict[Start, list[Staging]]:
        """A build of each model, unfinished ones first, grouped by position."""
        ...

    def fold(self, builder: Builder, target: Target, source: Source, progress: Progress) -> list[Result]:
        """Fold the log into the builds, with a guard around it, and end them."""
        ...
