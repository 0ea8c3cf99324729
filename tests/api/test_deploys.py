"""An API whose code differs from the table's serves the table that serves, with its columns, and reports it."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from psycopg import sql

from refold.api.http.resources import Resources
from refold.projections.declaring.gathering import Column
from refold.projections.replay import promote
from refold.projections.tables import builds, tables
from refold.projections.tables.declared import Declared, declared_of
from refold.retail.projections import BASKETS, HOUSEHOLDS, PRODUCT_SALES, STORE_DAILY
from refold.retail.views import STORE_TOTALS
from refold.streams.postgres.connection import Database
from refold.streams.settings import Settings
from tests.api.test_views import db as db  # noqa: PLC0414 - a fixture
from tests.streams.broker import DOMAINS

PAGE, ROW = "/v1/retail/store_daily?limit=1", "/v1/retail/store_daily/7,2026-01-02"
AGAIN_S = 0.2
"""Longer than an API leaves between two looks for what serves, once a question fails for want of a column."""
DAY = {"store_id": 7, "day": "2026-01-02"}


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient[Litestar]]:
    with TestClient(Resources(settings, DOMAINS).application()) as client:
        yield client


def otherwise(columns: dict[str, Column]) -> Declared:
    """Retail as other code declares it."""
    model = replace(STORE_DAILY, columns=columns, units={})
    view = replace(
        STORE_TOTALS,
        columns={"store_id": STORE_TOTALS.columns["store_id"], "seen": ("bigint", "Days.")},
        sql="SELECT store_id, count(*) AS seen FROM retail.store_daily GROUP BY store_id",
        units={},
    )
    return declared_of((BASKETS, model, PRODUCT_SALES, HOUSEHOLDS, view))


def promoted(db: Database, found: Declared, values: dict[str, Any]) -> None:
    layout = found.named("store_daily")
    build = builds.create(db, layout, found.fingerprints["retail", "store_daily"], "shadow")
    tables.create(db, layout, build)
    promote.promote(db, found, layout, build)
    row = {part.name: values.get(part.name, 0) for part in layout.stored if part.required or part.name in values}
    names, places = sql.SQL(", ").join(map(sql.Identifier, row)), sql.SQL(", ").join(sql.Placeholder() for _ in row)
    table = sql.Identifier(build.schema, "store_daily")
    db.execute(sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(table, names, places), list(row.values()))


def rows(api: TestClient[Litestar], path: str) -> tuple[list[dict[str, Any]], str | None]:
    found = api.get(path)
    assert found.status_code == 200, found.text
    body = found.json()
    return body if isinstance(body, list) else [body], found.headers.get("refold-declaration")


@pytest.mark.usefixtures("servers")
def test_columns_removed_retyped_and_inserted_are_served_as_the_table_has_them_there_and_back(
    db: Database, api: TestClient[Litestar]
) -> None:
    before = {path: rows(api, path) for path in (PAGE, ROW) for _ in range(8)}
    assert {said for _, said in before.values()} == {None}
    lines = STORE_DAILY.columns["lines"]
    columns = {"scans": lines, "revenue": lines, "lines": STORE_DAILY.columns["revenue"]}
    promoted(db, otherwise(columns), DAY | {"scans": 5, "revenue": 3, "lines": "4.50"})
    time.sleep(AGAIN_S)
    chosen = ([{"scans": 5, "lines": "4.50"}], "other")
    assert rows(api, "/v1/retail/store_daily?select=scans,lines") == chosen, "at the first question"
    wanted = [DAY | {"scans": 5, "revenue": 3, "lines": "4.50"}]
    assert rows(api, ROW) == (wanted, "other")
    assert rows(api, PAGE) == (wanted, "other")
    assert rows(api, "/v1/retail/store_daily?lines=eq.4.50&order=scans.desc") == (wanted, "other")
    assert rows(api, "/v1/retail/store_totals/7") == ([{"store_id": 7, "seen": 1}], "other")
    for asked, code in (
        ("baskets_paid=eq.1", "parameter-unknown"),
        ("select=baskets_paid", "select-invalid"),
        ("order=baskets_paid", "order-invalid"),
    ):
        gone = api.get(f"/v1/retail/store_daily?{asked}")
        assert (gone.status_code, gone.json()["code"]) == (400, code)
        assert "another declaration than this process has" in gone.json()["detail"]

    promoted(db, declared_of((BASKETS, STORE_DAILY, PRODUCT_SALES, HOUSEHOLDS, STORE_TOTALS)), DAY | {"lines": 9})
    time.sleep(AGAIN_S)
    assert rows(api, "/v1/retail/store_daily?select=lines,baskets_paid.max()")[1] is None, "at the first question"
    ((row,), said) = rows(api, ROW)
    assert (row["lines"], row.keys(), said) == (9, before[ROW][0][0].keys(), None)
    assert rows(api, PAGE) == ([row], None)
    assert rows(api, "/v1/retail/store_totals/7")[1] is None


@pytest.mark.usefixtures("servers")
def test_a_model_that_only_this_code_declares_says_what_builds_it(db: Database, api: TestClient[Litestar]) -> None:
    db.execute("DROP VIEW retail.baskets CASCADE")
    db.execute("UPDATE refold.builds SET status = 'dropped' WHERE model = 'baskets'")
    db.execute("UPDATE refold.positions SET next_offset = 1 WHERE grp = 'models'")
    for path in ("/v1/retail/baskets", "/v1/retail/baskets/b1"):
        refused = api.get(path)
        assert (refused.status_code, refused.json()["code"]) == (503, "model-not-built")
        assert "refold replay rebuild" in str(refused.json())


@pytest.mark.usefixtures("servers")
def test_a_position_is_waited_for_where_other_code_keeps_the_table_fresh(
    db: Database, api: TestClient[Litestar]
) -> None:
    (store_daily,) = [build for build in builds.builds(db) if build.model == "store_daily"]
    builds.detach(db, store_daily, builds.OTHER_CODE, "for the test")
    position = api.get(PAGE).headers["refold-position"]
    assert api.get(PAGE, headers={"Refold-Min-Position": position}).headers["refold-detached"] == "fingerprint"
