"""A rebuild tries again the stream that the live table lacks because `evolve` failed, and replaces the live table."""

from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime

import msgspec
import pytest

from benchmarks.log_writer import LogWriter
from benchmarks.receipts import Decided
from refold.projections.declaring.declaration import Entity, Evolve
from refold.projections.errors import RebuildDiffers
from refold.projections.replay.command import Replay
from refold.retail import projections
from refold.retail.schemas.basket import BASKET, BasketOpened
from refold.schemas.contracts import Event
from refold.streams.settings import Settings
from tests.projections.test_replay import fold_live, quiet
from tests.streams.broker import DOMAINS, prepare, rows

NOW = datetime(2026, 1, 2, tzinfo=UTC)
BROKEN = set[str]()


class Visit(msgspec.Struct, frozen=True):
    openings: int = 0


def looked_up(event: BasketOpened) -> int:
    """A helper of `evolve`, which no fingerprint covers."""
    if event.household_id in BROKEN:
        raise LookupError(event.household_id)
    return 1


def fold_visit(visit: Visit | None, event: Event) -> Visit:
    visit = visit or Visit()
    return Visit(visit.openings + looked_up(event)) if isinstance(event, BasketOpened) else visit


VISITS = Entity(
    name="visits",
    domain="retail",
    description="How often a basket was opened.",
    category=BASKET,
    key_name="basket_id",
    key_doc="Number on the receipt.",
    evolve=Evolve(Visit, fold_visit, {"openings": "How often."}),
)


@pytest.fixture(autouse=True)
def _one_more_model(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(projections, "READ_MODELS", (*projections.READ_MODELS, VISITS))
    yield
    BROKEN.clear()


def write(settings: Settings) -> None:
    prepare(settings)
    LogWriter(settings, DOMAINS).write(
        Decided(BASKET.name, stream, NOW, BasketOpened(store_id=1, household_id=name))
        for stream, name in [("b1", "fine"), ("b2", "odd"), ("b3", "fine"), ("b2", "fine")]
    )


def test_a_rebuild_whose_evolve_no_longer_fails_takes_the_place_of_the_live_table(settings: Settings) -> None:
    write(settings)
    BROKEN.add("odd")
    fold_live(settings)
    assert rows(settings, "SELECT stream, code, waiting FROM refold.parked") == [("b2", "event-failed", 2)]
    BROKEN.clear()

    with Replay(settings) as replay:
        replay.execute(["visits"], quiet)

    assert rows(settings, "SELECT * FROM retail.visits ORDER BY 1") == [("b1", 1), ("b2", 2), ("b3", 1)]


@pytest.mark.parametrize("lives", [False, True], ids=["fails only now", "fails as it did"])
def test_a_rebuild_whose_evolve_fails_does_so_only_where_the_live_table_has_no_more(
    settings: Settings, *, lives: bool
) -> None:
    write(settings)
    BROKEN.update(["odd"] if lives else [])
    fold_live(settings)
    before = rows(settings, "SELECT * FROM retail.visits ORDER BY 1")
    BROKEN.add("odd")
    with Replay(settings) as replay, nullcontext() if lives else pytest.raises(RebuildDiffers):
        replay.execute(["visits"], quiet)
    assert rows(settings, "SELECT * FROM retail.visits ORDER BY 1") == before
