"""The data dictionary: what each column means and comes from, how fresh it is, and a page of the same for people."""

from datetime import UTC, datetime
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from refold.api.http.application import application
from refold.api.http.commands.services import CommandServices
from refold.api.http.describe.registry import SchemaRegistry
from refold.api.http.describe.services import OperationServices
from refold.api.http.reads.services import ModelReads, ModelServices, StreamServices
from refold.projections.tables.serving import served_models
from refold.streams.domain import Domains
from refold.streams.errors import DatabaseUnavailable

Client = TestClient[Litestar]
STORE = ("store_daily", "retail.basket.events/0:7", 3, datetime(2026, 1, 2, tzinfo=UTC), None, 1200)


@pytest.fixture
def app(world: Any, domains: Domains) -> Litestar:
    models = {(model.domain, model.name): model for model in served_models(["retail"])}
    reads = ModelReads(world.fetch, world.look_up, world.moved, lambda _: False, world.in_zone)
    return application(
        CommandServices(domains, world, world.append, world.queue, 0.2),
        StreamServices(domains, world.fetch, world.read, "", world.offset_at),
        ModelServices(domains, models, reads, ""),
        OperationServices(world.ready, lambda: b""),
        SchemaRegistry(lambda: world.schemas, ""),
    )


def entry(found: dict[str, Any], name: str) -> dict[str, Any]:
    (model,) = [model for model in found["read_models"] if model["name"] == name]
    return dict(model)


def test_a_column_says_its_type_unit_meaning_and_origin(client: Client, world: Any) -> None:
    world.pages = [[], [], [STORE]]
    found = client.get("/v1/retail").json()
    store = entry(found, "store_daily")
    assert store["key"] == ["store_id", "day"]
    (revenue,) = [column for column in store["columns"] if column["name"] == "revenue"]
    assert revenue == {
        "name": "revenue", "type": revenue["type"], "json": "string", "nullable": False, "unit": "USD",
        "description": revenue["description"],
        "from": {"gather": "sum", "events": ["retail.basket.ItemScanned"], "value": "amount", "condition": None},
    }  # fmt: skip
    assert revenue["type"].startswith("numeric")
    assert store["freshness"] == {
        "position": "retail.basket.events/0:7", "lag": 3, "as_of": "2026-01-02T00:00:00Z", "detached": None,
    }  # fmt: skip
    assert store["row_estimate"] == 1200
    path = "/v1/retail/store_daily"
    assert store["links"] == {
        "rows": path,
        "row": f"{path}/{{store_id,day}}",
        "downloads": {name: f"{path}?format={name}" for name in ("json", "ndjson", "csv", "arrow", "parquet", "xlsx")},
        "changes": f"{path}/changes",
        "explain": f"{path}/{{store_id,day}}/explain",
    }


def test_a_model_says_which_rows_of_others_it_is_linked_to(client: Client, world: Any) -> None:
    world.pages = [[], [], [STORE], [], [], [STORE]]
    found = client.get("/v1/retail").json()
    household, *_ = entry(found, "baskets")["linked"]
    assert household == {
        "name": "household", "to": "/v1/retail/households", "rows": "one", "columns": {"household_id": "household_id"},
        "description": household["description"], "example": "/v1/retail/baskets?select=*,household(*)&limit=10",
    }  # fmt: skip
    (receipts,) = entry(found, "households")["linked"]
    assert (receipts["name"], receipts["to"], receipts["rows"]) == ("receipts", "/v1/retail/baskets", "many")
    assert entry(found, "store_daily")["linked"] == []
    page = client.get("/v1/retail", headers={"Accept": "text/html"}).text
    assert 'many: <a href="#baskets">baskets</a>, by <code>household_id = household_id</code>' in page


def test_a_view_is_as_fresh_as_what_it_reads_and_shows_its_query(client: Client, world: Any) -> None:
    world.pages = [[], [], [STORE]]
    view = entry(client.get("/v1/retail").json(), "store_totals")
    assert (view["freshness"]["lag"], view["row_estimate"], view["reads"]) == (3, None, ["/v1/retail/store_daily"])
    assert "GROUP BY store_id" in view["query"]
    assert set(view["links"]) == {"rows", "row", "downloads"}


def test_without_postgres_all_is_there_but_what_only_postgres_knows(client: Client, world: Any) -> None:
    world.fetch_error = DatabaseUnavailable("away")
    store = entry(client.get("/v1/retail").json(), "store_daily")
    assert (store["freshness"], store["row_estimate"], len(store["columns"])) == (None, None, 10)


@pytest.mark.parametrize("path", ["/v1", "/v1/retail"])
def test_a_browser_gets_a_page_and_everybody_else_json(client: Client, path: str) -> None:
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    page = client.get(path, headers={"Accept": browser})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<script" not in page.text
    assert "https://" not in page.text
    for accept in ("*/*", "application/json", "application/json, text/html"):
        answer = client.get(path, headers={"Accept": accept})
        assert answer.headers["content-type"] == "application/json"
        assert "Accept" in answer.headers["vary"].split(", ")


def test_the_page_tells_origin_unit_and_freshness(client: Client, world: Any) -> None:
    world.pages = [[], [], [STORE]]
    page = client.get("/v1/retail", headers={"Accept": "text/html"}).text
    assert "sum of <code>amount</code> in <code>retail.basket.ItemScanned</code>" in page
    assert "<td>USD</td>" in page
    assert "3 records behind · last event at 2026-01-02T00:00:00Z · about 1,200 rows" in page
    assert "GROUP BY store_id" in page
    assert "POST /v1/commands/retail/basket/ScanItem" in page
    assert '<a href="/v1/retail/store_daily?format=parquet" download>parquet</a>' in page
    assert '<a href="/v1/retail/store_daily/changes">' in page
    assert "/v1/retail/store_totals/changes" not in page


def test_a_domain_that_is_not_there_is_a_problem_for_a_browser_too(client: Client) -> None:
    answer = client.get("/v1/nope", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.json()["code"]) == (404, "domain-unknown")
