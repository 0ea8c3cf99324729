"""Snapshots of declared views: a view shows what it showed at the moment, and reads nothing that is live."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from litestar.testing import TestClient

from benchmarks.log_writer import LogWriter
from refold.api.cli import exits
from refold.api.http.resources import Resources
from refold.projections.declaring.declaration import View
from refold.projections.errors import UnknownModel
from refold.projections.tables.declared import declared
from refold.projections.tables.snapshot_views import expanded
from refold.retail import projections
from refold.streams.postgres.connection import Database
from refold.streams.settings import Settings
from tests.api.test_rebuild_command import basket, four_stores, replaying
from tests.projections.test_replay import fold_live
from tests.streams.broker import DOMAINS

HIDDEN = View(
    name="hidden_name",
    domain="retail",
    description="Stores, by a part that is called as the table that it reads.",
    columns={"store_id": ("integer", "Store.")},
    key=("store_id",),
    reads=("store_daily",),
    sql="WITH store_daily AS (SELECT DISTINCT store_id FROM retail.store_daily) SELECT store_id FROM store_daily",
)
ASKED = (
    "basket_percentiles",
    "basket_facts?order=basket_id",
    "store_trends?order=store_id,day&limit=2",
    "store_totals?select=store_id,revenue&store_id=eq.7",
)


@pytest.fixture
def db(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr(projections, "READ_MODELS", (*projections.READ_MODELS, HIDDEN))
    yield from four_stores(settings)


@pytest.mark.usefixtures("servers")
def test_a_view_is_kept_as_it_was_over_the_tables_that_it_reads(
    settings: Settings, db: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = replaying(settings, monkeypatch, capsys)
    with TestClient(Resources(settings, DOMAINS).application()) as client:
        then = {asked: client.get(f"/v1/retail/{asked}") for asked in ASKED}
        assert {answer.status_code for answer in then.values()} == {200}
        time.sleep(0.01)  # the broker's clock counts whole milliseconds
        at = datetime.now(UTC).isoformat()
        time.sleep(0.01)
        LogWriter(settings, DOMAINS, epoch=2).write(basket("later", 7) + basket("new", 11))
        fold_live(settings)
        assert client.get(f"/v1/retail/{ASKED[1]}").content != then[ASKED[1]].content

        views = ("basket_percentiles", "store_trends", "store_totals")
        code, done, words = run("as-of", *views, "--at", at, "--name", "then")
        assert code == exits.DONE, words
        kept = {one["model"]: one["rows"] for one in done["models"]}
        assert {*kept} == {*views, "basket_facts", "store_daily", "baskets", "households"}
        assert kept["basket_facts"] == len(then[ASKED[1]].json())
        for asked, answer in then.items():
            found = client.get(f"/v1/retail/{asked}{'&' if '?' in asked else '?'}snapshot=then")
            assert (found.status_code, found.content) == (200, answer.content)
            assert found.headers["Refold-Position"] == answer.headers["Refold-Position"]
            assert "immutable" in found.headers["Cache-Control"]
        row = client.get("/v1/retail/store_totals?store_id=eq.11&snapshot=then&format=csv")
        assert len(row.text.splitlines()) == 1, "the header alone: store 11 came later"
        (listed,) = [m for m in client.get("/v1/retail").json()["read_models"] if m["name"] == "store_totals"]
        assert [(one["name"], one["rows"]) for one in listed["snapshots"]] == [("then", 4)]

        code, done, words = run("as-of", "--all", "--at", at, "--name", "whole")
        assert (code, [one["model"] for one in done["failed"]]) == (exits.FAILED, ["hidden_name"]), words
        assert "give the part of its WITH another name" in done["failed"][0]["reason"]
        assert {one["model"] for one in done["models"]} == {one.name for one in projections.READ_MODELS} - {HIDDEN.name}
        with pytest.raises(psycopg.Error):
            db.execute('DELETE FROM "retail@whole".basket_facts')
        assert db.execute("SELECT count(*) FROM pg_views WHERE schemaname LIKE '%@%'").fetchone() == (0,)
        db.execute("UPDATE refold.views SET serving = false WHERE name = 'store_weekly'")
        code, done, _ = run("as-of", "store_weekly", "--at", at, "--name", "other")
        assert (code, done["failed"][0]["code"]) == (exits.FAILED, "view-invalid")
        assert run("snapshots", "drop", "then", "whole", "other", "--execute")[0] == exits.DONE
        assert db.execute("SELECT count(*) FROM pg_namespace WHERE nspname LIKE '%@%'").fetchone() == (0,)


def test_a_view_brings_along_what_it_reads_and_a_name_is_of_one_model() -> None:
    found = declared(["retail"])
    tables, views = expanded(found, ["retail.basket_percentiles", "product_sales"])
    assert sorted(tables) == ["retail.baskets", "retail.households", "retail.product_sales"]
    assert [view.name for view in views] == ["basket_facts", "basket_percentiles"]
    tables, views = expanded(found, [])
    assert (tables, views) == ([], list(found.views))
    with pytest.raises(UnknownModel):
        expanded(found, ["nothing"])
    twins: Any = replace(found, views=(*found.views, replace(found.views[0], domain="other")))
    with pytest.raises(UnknownModel):
        expanded(twins, [found.views[0].name])
