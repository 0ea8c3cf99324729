"""A declared SQL view over HTTP is no fresher than the tables that it reads, and reports their faults."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from benchmarks.log_writer import LogWriter
from benchmarks.receipts import Decided
from refold.api.http.resources import Resources
from refold.projections.tables import builds
from refold.retail.schemas.basket import BASKET, BasketOpened, ItemScanned
from refold.streams.postgres.connection import Database, connect
from refold.streams.settings import Settings
from tests.projections.test_replay import fold_live
from tests.streams.broker import DOMAINS, prepare

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SCANNED = ItemScanned(store_id=7, product_id=5, quantity=1, amount=Decimal("1.10"), discount=Decimal("0.00"))
PATHS = ["/v1/retail/store_totals", "/v1/retail/store_totals/7"]


@pytest.fixture
def db(settings: Settings) -> Iterator[Database]:
    prepare(settings)
    LogWriter(settings, DOMAINS).write(
        [Decided(BASKET.name, "b1", NOW, BasketOpened(store_id=7)), Decided(BASKET.name, "b1", NOW, SCANNED)]
    )
    fold_live(settings)
    with connect(settings.dsn(), application_name="test") as connection:
        yield connection


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient[Litestar]]:
    with TestClient(Resources(settings, DOMAINS).application()) as client:
        yield client


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("path", PATHS)
def test_a_view_over_a_detached_table_says_so_and_stands_where_the_table_does(
    db: Database, api: TestClient[Litestar], path: str
) -> None:
    live = api.get(path)
    assert (live.status_code, "refold-detached" in live.headers) == (200, False)
    (store_daily,) = [build for build in builds.builds(db) if build.model == "store_daily"]
    builds.detach(db, store_daily, "model-failed", "for the test")
    db.execute("UPDATE refold.positions SET next_offset = next_offset + 5 WHERE grp = 'models'")

    found = api.get(path)

    assert found.headers["refold-detached"] == "model-failed"
    assert found.headers["refold-position"] == live.headers["refold-position"], "not where the live tables stand"
    ahead = {"Refold-Min-Position": api.get("/v1/retail/baskets").headers["refold-position"], "Prefer": "wait=1"}
    refused = api.get(path, headers=ahead)
    assert (refused.status_code, refused.json()["code"]) == (412, "position-not-reached")


@pytest.mark.usefixtures("servers")
def test_a_view_counts_the_streams_that_wait_for_its_tables(db: Database, api: TestClient[Litestar]) -> None:
    (store_daily,) = [build for build in builds.builds(db) if build.model == "store_daily"]
    db.execute(
        "INSERT INTO refold.parked (build, category, stream, part, first_offset, code, reason) VALUES (%s, %s, 'b1', 0, 1, 'event-failed', '')",
        (store_daily.number, BASKET.name),
    )
    assert api.get(PATHS[0]).headers["refold-parked"] == "1"


@pytest.mark.usefixtures("servers")
def test_linked_rows_of_real_tables_and_views_are_embedded_in_both_directions(
    db: Database, api: TestClient[Litestar]
) -> None:
    baskets = api.get("/v1/retail/baskets?select=basket_id,household(points),store(lines)")
    assert baskets.json() == [{"basket_id": "b1", "household": None, "store": {"lines": 1}}]
    alone = api.get("/v1/retail/baskets").headers["refold-position"]
    assert baskets.headers["refold-position"].startswith(f"{alone},retail.household.events/")
    stores = api.get("/v1/retail/store_totals?select=revenue,receipts!inner(total)&receipts.basket_id=eq.b1")
    assert stores.json() == [{"revenue": "1.10", "receipts": [{"total": "1.10"}]}]
    assert api.get("/v1/retail/households?select=*,receipts(*)").json() == []
    by_household = api.get("/v1/retail/baskets?select=lines,household!inner(household_id)&order=household(points).desc")
    assert (by_household.status_code, by_household.json()) == (200, [])
    (store_daily,) = [build for build in builds.builds(db) if build.model == "store_daily"]
    builds.detach(db, store_daily, "model-failed", "for the test")
    assert api.get("/v1/retail/baskets?select=store(lines)").headers["refold-detached"] == "model-failed"
    assert "refold-detached" not in api.get("/v1/retail/baskets?select=household(points)").headers
