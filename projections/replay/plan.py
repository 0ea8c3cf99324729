"""Plans and reports of a rebuild, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from refold.projections.declaring.declaration import handled
from refold.projections.replay.compare import Difference
from refold.projections.tables import builds
from refold.projections.tables.builds import Build
from refold.projections.tables.declared import Declared
from refold.projections.tables.layout import Layout
from refold.streams.chunk import Place
from refold.streams.core.limits import group_positions
from refold.streams.log.topics import category_of, events_topic
from refold.streams.postgres.connection import Database
from refold.streams.settings import Settings

MODELS_PER_S, WITH_CORE_PER_S = 250_000, 40_000
"""Records per second that a plan assumes, without and with the core's fold; measured by `benchmarks/rebuild.py`."""


@dataclass(frozen=True)
class ModelPlan:
    """The plan for one model. `resumes`: the unfinished build that the rebuild would resume."""

    domain: str
    model: str
    serving: int | None
    resumes: int | None
    records: int


@dataclass(frozen=True)
class ReplayPlan:
    """The plan of a rebuild. `fills`: no read model holds anything yet, so the same pass folds the core's tables."""

    models: list[ModelPlan]
    records: int
    estimated_s: float
    fills: bool


@dataclass(frozen=True)
class Rebuilt:
    """The result for one model. `compared` is None if no table of this declaration stood at the same positions."""

    domain: str
    model: str
    build: int
    retired: int | None
    rows: int
    compared: int | None
    differing: int | None
    differences: list[Difference] = field(default_factory=list)
    """Rows that differ and were accepted; at most `compare.LISTED` of them."""


@dataclass(frozen=True)
class Failed:
    """A model that could not be built, with a code and a sentence.

    Its build is dropped, and the served table goes on.
    """

    domain: str
    model: str
    code: str
    reason: str


@dataclass(frozen=True)
class Report:
    """The result of a rebuild.

    `fold_s`: from the first record to live tables; `seconds`: comparing and promoting included. `held_s`: seconds of rest for
    live traffic, of all threads.
    """

    models: list[Rebuilt]
    records: int
    events: int
    fold_s: float
    seconds: float
    records_per_s: int
    fell_back: int
    failed: list[Failed]
    held_s: float = 0.0
    led: bool = True
    """Whether this command has ended the rebuild. If it has only helped, `records` and `events` are those that it folded."""


def make_plan(
    db: Database, prefix: str, layouts: Sequence[Layout], found: Declared, ends: Mapping[Place, int], *, fills: bool
) -> ReplayPlan:
    """The plan for some models; `ends`: the positions up to which they would read."""
    there = builds.builds(db)
    models = [_model_plan(db, prefix, layout, found, there, ends) for layout in layouts]
    records = max((model.records for model in models), default=0)
    return ReplayPlan(models, records, round(records / (WITH_CORE_PER_S if fills else MODELS_PER_S), 1), fills)


def unfinished(there: Sequence[Build], layout: Layout, found: Declared, apart: str = "") -> Build | None:
    """The build that a rebuild of this declaration would resume. `apart`: as `Site.apart`."""
    name = (layout.model.domain, layout.name)
    wanted = [
        b
        for b in there
        if (b.domain, b.model, b.status, b.fingerprint) == (*name, "building", apart + found.fingerprints[name])
    ]
    return wanted[-1] if wanted else None


def places_of(settings: Settings, layouts: Sequence[Layout]) -> list[Place]:
    """The partitions that some models read."""
    topics = {
        events_topic(settings.topic_prefix, kind.category.name) for layout in layouts for kind in handled(layout.model)
    }
    return [(topic, part) for topic in sorted(topics) for part in range(settings.partitions)]


def _model_plan(
    db: Database, prefix: str, layout: Layout, found: Declared, there: Sequence[Build], ends: Mapping[Place, int]
) -> ModelPlan:
    name = (layout.model.domain, layout.name)
    serving = builds.serving(there, *name)
    resumed = unfinished(there, layout, found)
    left = records_left(db, prefix, layout, resumed, ends)
    return ModelPlan(*name, serving.number if serving else None, resumed.number if resumed else None, left)


def records_left(db: Database, prefix: str, layout: Layout, resumed: Build | None, ends: Mapping[Place, int]) -> int:
    """The records that a model's build still has to read; `ends`: the positions up to which it reads."""
    done = group_positions(db, resumed.group) if resumed else {}
    read = {kind.category.name for kind in handled(layout.model)}
    return sum(max(0, at - done.get(place, 0)) for place, at in ends.items() if category_of(prefix, place[0]) in read)
