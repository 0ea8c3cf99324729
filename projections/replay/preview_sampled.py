"""What a preview of a sample compares.

An entity's build is compared with the served rows of the sampled streams. A served row of a rollup holds events of streams
outside of the sample. So a rollup's build is compared with a second build, of the served declaration.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from refold.projections.errors import CannotJoin
from refold.projections.live.limits import parked
from refold.projections.live.showing import retried_within
from refold.projections.replay.build_list import size
from refold.projections.replay.building import Site, Start
from refold.projections.replay.compare import Compared
from refold.projections.replay.plan import places_of
from refold.projections.replay.preview_rows import row_counts
from refold.projections.replay.sampling import Estimate, Sample, estimated
from refold.projections.replay.staging import Staging
from refold.projections.tables import builds, tables
from refold.projections.tables.builds import PREVIEWED, Build
from refold.projections.tables.declared import Declared
from refold.projections.tables.layout import Layout


@dataclass(frozen=True)
class Sampled:
    """Which rows a preview compared. `percent`: of the streams. `compared`: rows of both sides. `whole`: served rows in all.

    `both_folded`: both declarations were folded over the sample, and no served row was compared. `estimate`: for all rows;
    None for such a model, whose rows each gather from many streams.
    """

    percent: str
    compared: int
    whole: int
    both_folded: bool
    estimate: Estimate | None = None


class ServedSide:
    """The rows beside which a sample's build is compared. `served`: the declarations that the configured domains have."""

    def __init__(self, site: Site, sample: Sample, served: Declared) -> None:
        self._site, self._sample, self._declared = site, sample, served
        self._folded: dict[tuple[str, str], Staging] = {}

    def begin(self, starts: dict[Start, list[Staging]]) -> dict[Start, list[Staging]]:
        """Fold the served declaration of each rollup beside the new one, as far as this code has it, in one pass over the log."""
        staged = [staging for of_it in starts.values() for staging in of_it]
        for staging in staged:
            name = (staging.build.domain, staging.build.model)
            if not staging.layout.by_stream and self._has(builds.serving(builds.builds(self._site.db), *name)):
                self._folded[name] = self._begun(self._declared.layouts[name])
        if not self._folded:
            return starts
        both = [*staged, *self._folded.values()]
        places = places_of(self._site.settings, [staging.layout for staging in both])
        return {tuple((place, 0) for place in places): both}

    def is_ours(self, build: Build) -> bool:
        """Whether a build is of this side."""
        return any(staging.build == build for staging in self._folded.values())

    def why_not(self, layout: Layout, live: Build | None, folded: Sequence[Build]) -> str | None:
        """The reason why the sample cannot be compared. `folded`: the builds whose fold did not fail."""
        if layout.by_stream or live is None:
            return None
        if not self._has(live):
            return (
                f"its rows gather from streams outside of the sample, and this code lacks the served declaration"
                f" {builds.declaration_of(live)}: run the served code with --code, or leave out --sample"
            )
        there = self._folded.get((live.domain, live.model))
        return None if there is not None and there.build in folded else "its served declaration fails on the sample"

    def rows(self, layout: Layout, build: Build) -> sql.Composable:
        """The rows of this side, as the part of a query after FROM."""
        if layout.by_stream:
            chosen = self._sample.condition(sql.Identifier(layout.key_names[0]))
            return sql.SQL("{} WHERE {}").format(sql.Identifier(build.domain, build.model), chosen)
        other = self._folded[build.domain, build.model]
        return tables.shown_rows(other.layout, other.build)

    def sampled(self, layout: Layout, build: Build, found: Compared) -> Sampled:
        """What was compared, and what it says about the whole table."""
        compared = found.served + found.missing
        _, whole = row_counts(self._site.reads, layout, build)
        about = round(whole * compared / found.served) if found.served else round(compared / self._sample.share)
        guess = estimated(found.differing, compared, about, self._sample) if layout.by_stream else None
        return Sampled(f"{self._sample.percent}%", compared, whole, not layout.by_stream, guess)

    def bytes_of(self, build: Build, live: Build | None) -> int:
        """About the bytes of a rebuilt table: rows of entities grow with the sample, those of rollups as the served ones do."""
        db, taken = self._site.reads, size(self._site.reads, build)
        other = self._folded.get((build.domain, build.model))
        if other is not None and live is not None and (beside := size(db, other.build)):
            return round(size(db, live) * taken / beside)
        return round(taken / self._sample.share)

    def _has(self, live: Build | None) -> bool:
        name = (live.domain, live.model) if live is not None else None
        return live is not None and self._declared.fingerprints.get(name or ("", "")) == builds.declaration_of(live)

    def _begun(self, layout: Layout) -> Staging:
        """A second build of the same model. It is dropped with the first, as every build of a preview is."""
        site, name = self._site, (layout.model.domain, layout.name)

        def step() -> Build:
            builds.lock_exclusive(site.db)
            made = builds.create(site.db, layout, PREVIEWED + self._declared.fingerprints[name], "building")
            tables.create(site.db, layout, made, with_key=layout.evolves)
            return made

        build = retried_within(site.db, "1s", step, CannotJoin("the live tables were busy all the time"))
        return Staging(site.db, layout, build, parked(site.db), None, site.holding)
