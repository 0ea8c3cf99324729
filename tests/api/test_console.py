"""The console: pages of what the API shows, behind the same door, with every text escaped."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from refold.access.roles import Role
from refold.api.console import pages
from refold.api.console.routes import routes_of
from refold.api.console.services import ConsoleServices
from refold.api.http.application import application
from refold.api.http.commands.services import CommandServices
from refold.api.http.describe.registry import SchemaRegistry
from refold.api.http.describe.seen import Seen
from refold.api.http.describe.services import OperationServices
from refold.api.http.doors.door import Door
from refold.api.http.doors.principal import Principal
from refold.api.http.reads.services import ModelReads, ModelServices, StreamServices, WhyServices
from refold.projections.explaining.explainer import Asked, Explanation
from refold.projections.explaining.steps import Change, ColumnChange, RowRecord
from refold.projections.explaining.unfolded import Unfolded
from refold.projections.tables.declared import declared
from refold.projections.tables.serving import served_models
from refold.retail.schemas.basket import BASKET
from refold.schemas.meta import Meta
from refold.streams.domain import Domains
from refold.streams.operation.lag import Lag
from refold.streams.operation.verdict import Finding
from tests.api.test_dictionary import STORE

Client = TestClient[Litestar]
PAGES = {"overview": "/console", "data": "/console/data", "model": "/console/data/retail/store_daily"}
NOWHERE = "[[], [], [0, null], null, 0, 0]"
"""Where a model stands before any event, as Postgres writes it."""
LAG = Lag("core", "retail.basket.events", 0, 5, 12, 7, 1.5)
SEEN = Seen([Finding("parked", "<script>alert(1)</script>", "look at it")], lags=[LAG])


class ByName:
    """A check of keys that are their roles' names."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    def takes(self, _: str) -> bool:
        return True

    def known(self, text: str) -> Principal:
        return Principal("ann", frozenset({Role(text)}))

    async def admit(self, text: str) -> Principal:
        return self.known(text)


@pytest.fixture
def answers() -> dict[str, Any]:
    """What Postgres answers, by a word of the statement."""
    return {"refold.freshness": [STORE], "_Page": [("", 0, NOWHERE, None, None, None, 0, 0)]}


@pytest.fixture
def app(world: Any, domains: Domains, answers: dict[str, Any]) -> Litestar:
    async def fetch(statement: Any, parameters: Any = ()) -> list[Any]:
        del parameters
        return next((rows for word, rows in answers.items() if word in str(statement)), [])

    models = {(model.domain, model.name): model for model in served_models(["retail"])}
    reads = ModelReads(fetch, world.look_up, world.moved, lambda _: False, world.in_zone)
    why = WhyServices(declared(domains.names), world.explain)
    services, operations = ModelServices(domains, models, reads, "", why), OperationServices(world.ready, lambda: b"")
    found = application(
        CommandServices(domains, world, world.append, world.queue, 0.2),
        StreamServices(domains, fetch, world.read, "", world.offset_at),
        services,
        operations,
        SchemaRegistry(dict, ""),
    )
    found.register(routes_of(ConsoleServices(services, operations, lambda: SEEN)))
    return found


@pytest.fixture
def client(app: Litestar) -> Iterator[Client]:
    with TestClient(app) as found:
        yield found


def test_the_overview_shows_the_flow_with_its_lag_and_escapes_every_text(client: Client) -> None:
    found = client.get("/console")
    assert found.status_code == 200
    text = found.text
    places = [
        text.index(f"<strong>{name}</strong>") for name in ("Producers", "Topics", "Handler", "Core", "Models", "API")
    ]
    assert places == sorted(places)
    assert "7 records behind" in text
    assert "3 records behind" in text, "of the model"
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script" not in text
    policy = found.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "script" not in policy
    assert "//" not in text.replace("<!doctype html>", ""), "nothing comes from elsewhere"


def test_a_model_has_its_dictionary_and_a_file_of_each_format(client: Client) -> None:
    listed = client.get("/console/data").text
    assert 'href="/console/data/retail/store_daily"' in listed
    found = client.get("/console/data/retail/store_daily").text
    assert "<code>revenue</code>" in found
    for format_ in ("json", "ndjson", "csv", "arrow", "parquet", "xlsx"):
        assert f"/v1/retail/store_daily?format={format_}" in found
    missing = client.get("/console/data/retail/<script>")
    assert missing.status_code == 404
    assert missing.headers["content-type"].startswith("text/html")
    assert "model-unknown" in missing.text
    assert "<script" not in missing.text


def test_the_rows_are_those_of_the_api_and_every_text_is_escaped(client: Client, answers: dict[str, Any]) -> None:
    row = '{"store_id":7,"day":"<b>x</b>","revenue":"12.50","paid":null}'
    answers["_Page"] = [(row, 1, NOWHERE, None, None, None, 1, 0)]
    path = "/console/data/retail/store_daily"
    query = "select=store_id,day,revenue,paid&store_id=gte.5&order=revenue.desc&limit=7"
    text = client.get(f"{path}?{query}").text
    assert [
        part for part in ('<td class="number">7</td>', "&lt;b&gt;x&lt;/b&gt;", "12.50", "null") if part not in text
    ] == []
    assert "<b>" not in text
    assert f"{path}?select=store_id,day,revenue,paid&amp;order=revenue.desc" in text, "the query without its filter"
    assert 'aria-sort="descending"' in text
    assert (
        "/v1/retail/store_daily?select=store_id,day,revenue,paid&amp;store_id=gte.5&amp;order=revenue.desc&amp;format=csv"
        in text
    )
    assert "curl &#39;http://testserver.local/v1/retail/store_daily?select=" in text
    assert "REFOLD_KEY" not in text, "nobody needs a key here"
    assert "&gt;= &#39;5&#39;::integer" in text
    assert "LIMIT 7<" in text


def test_a_row_leads_to_its_events(client: Client, world: Any, answers: dict[str, Any]) -> None:
    layout = declared(["retail"]).layouts["retail", "store_daily"]
    whole = json.dumps({part.name: None for part in layout.shown} | {"store_id": 7, "day": "2026-01-02"})
    answers["_Page"] = [(whole, 1, NOWHERE, None, None, None, 1, 0)]
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    meta = Meta(
        writer=UUID(int=1), command_id=UUID(int=2), body_hash=b"", event_id=UUID(int=3), category="retail.basket",
        stream="<i>b1</i>", version=4, base_version=3, seq=1, index=0, count=1, command_offset=1, occurred_at=at,
        recorded_at=at, actor="<u>ann</u>",
    )  # fmt: skip
    record = RowRecord(BASKET, 0, 5, meta, "retail.basket.ItemScanned", ())
    change = Change(
        "changed", {"lines": ColumnChange(1, 2, 1), "revenue": ColumnChange(Decimal("0.00"), Decimal("2.50"))}
    )
    row = {part.name: None for part in layout.shown_columns} | {"lines": 2}

    async def explain(_: Asked) -> Explanation:
        return Explanation(
            layout=layout, key=(7, at.date()), positions={("retail.basket.events", 0): 9}, row=row, folded=row,
            complete=True, by_stream=False, read=4, of=9, events=2, summed=0, totals={}, changes=[(record, change)],
            following=None, unfolded=Unfolded([], []), is_first_page=True,
        )  # fmt: skip

    world.explain_now = explain
    path = "/console/row/retail/store_daily/7,2026-01-02"
    assert f'href="{path}"' in client.get("/console/data/retail/store_daily").text
    text = client.get(path).text
    shown = [
        "They add up to it",
        "2026-01-02 03:04:05 UTC",
        "<code>revenue</code>: 0.00 → 2.50",
        "version 4",
        "&lt;i&gt;b1&lt;/i&gt;",
        "&lt;u&gt;ann",
    ]
    assert [part for part in shown if part not in text] == []


def test_a_form_leads_to_the_query_string_that_the_api_reads(client: Client) -> None:
    path = "/console/data/retail/store_daily"
    for form, meant in (
        (".column=store_id&.is=gte&.value=5", "store_id=gte.5"),
        ("day=eq.2017-01-01&cursor=x&.column=limit&.is=in&.value=a,b", "day=eq.2017-01-01&%22limit%22=in.(a,b)"),
        (".column=paid&.is=not.is.null&.value=", "paid=not.is.null"),
        (".column=paid&.is=eq&.value=a%26b%3D%0D%0Ac", "paid=eq.a%26b%3D%0D%0Ac"),
    ):
        found = client.get(f"{path}?{form}", follow_redirects=False)
        assert (found.status_code, found.headers["location"]) == (303, f"{path}?{meant}")
    split = client.get("/console/data/a%0D%0AX-Evil:1/b?.column=c", follow_redirects=False)
    assert split.headers["location"] == "/console/data/a%0D%0AX-Evil:1/b?c=eq."
    refused = client.get(f"{path}?store_id=near.5")
    assert refused.status_code == 400
    assert "operator-unknown" in refused.text


def test_a_page_needs_what_the_request_behind_it_needs(app: Litestar) -> None:
    with TestClient(Door([ByName()]).guarded(app)) as client:
        for path in ("/console", "/console/data", "/console/data/retail/store_daily", "/console/console.css"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers={"Authorization": "Bearer producer"}).status_code == 403
            assert client.get(path, headers={"Authorization": "Bearer analyst"}).status_code == 200
        analyst = client.get("/console", headers={"Authorization": "Bearer analyst"}).text
        assert "7 records behind" not in analyst, "who may not read /metrics sees no lag of topics"
        assert "alert(1)" not in analyst
        assert "7 records behind" in client.get("/console", headers={"Authorization": "Bearer operator"}).text


def test_without_its_extra_the_console_says_what_to_install(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "find_spec", lambda _: None)
    pages._environment.cache_clear()
    found = client.get("/console")
    assert found.status_code == 501
    assert found.text.count("\n") <= 1
    assert "pip install 'refold[console]'" in found.text


def test_a_phone_shows_every_page_without_scrolling_sideways(client: Client, tmp_path: Path) -> None:
    """The pages in frames as wide as a phone, since a browser's window is wider than one; each tells how wide it is itself."""
    browser = shutil.which("chromium") or pytest.skip("there is no chromium here")
    (tmp_path / "console.css").write_bytes(client.get("/console/console.css").content)
    outer = "<script>onmessage = ({data}) => document.body.append(`[${data}]`)</script>"
    for name, path in PAGES.items():
        text = client.get(path).text.replace("/console/console.css", "console.css")
        told = f"parent.postMessage('{name} ' + document.documentElement.scrollWidth, '*')"
        (tmp_path / f"{name}.html").write_text(
            text.replace("</body>", f"<script>onload = () => {told}</script></body>")
        )
        outer += f'<iframe src="{name}.html" width="360" height="900" style="border: 0"></iframe>'
    (tmp_path / "outer.html").write_text(outer)
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={tmp_path / 'chrome'}",
    ]
    command = [browser, *options, "--virtual-time-budget=5000", "--dump-dom", (tmp_path / "outer.html").as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert [name for name in PAGES if f"[{name} 360]" not in shown] == [], shown
