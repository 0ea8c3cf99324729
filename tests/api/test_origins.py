"""CORS through the API's whole server: which pages may call it, and what they may read."""

import asyncio
from typing import Any

import httpx
import pytest
from litestar import Litestar

from refold.api.http.server import server
from refold.streams.errors import BadSettings
from refold.streams.settings import Settings

SHOP, OTHER = "https://shop.example", "https://shop.example.evil"
ASKING = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "idempotency-key,content-type"}


def ask(app: Litestar, origins: list[str], method: str, path: str, **headers: str) -> httpx.Response:
    whole: Any = server(Settings(api_origins=origins), app).config.app

    async def asked() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(whole), base_url="http://api") as client:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.request(method, path, headers=sent)

    return asyncio.run(asked())


def cors(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


def test_without_the_setting_no_page_is_allowed_anything(app: Litestar) -> None:
    for method in ("GET", "OPTIONS"):
        assert cors(ask(app, [], method, "/v1/retail/store_daily", Origin=SHOP, **ASKING)) == {}


def test_a_named_origin_reads_every_header_of_an_answer(app: Litestar) -> None:
    found = ask(app, [SHOP], "GET", "/v1/retail/nothing", Origin=SHOP)
    assert (found.status_code, found.headers["access-control-allow-origin"]) == (404, SHOP)
    found = ask(app, [SHOP], "DELETE", "/v1/retail/store_daily", Origin=SHOP)
    assert (found.status_code, found.headers["access-control-expose-headers"]) == (405, "allow")
    assert "Origin" in found.headers.get_list("vary")
    assert "access-control-allow-credentials" not in found.headers


def test_every_answer_of_one_resource_says_that_it_depends_on_the_origin(app: Litestar) -> None:
    for sent in ({}, {"Origin": OTHER}):
        found = ask(app, [SHOP], "GET", "/livez", **sent)
        assert (found.status_code, cors(found)) == (200, {})
        assert found.headers.get_list("vary") == ["Origin"]
    anywhere = ask(app, ["*"], "GET", "/livez", Origin=OTHER)
    assert anywhere.headers["access-control-allow-origin"] == "*"
    assert "vary" not in anywhere.headers


def test_what_a_page_may_send_is_told_before_it_sends(app: Litestar) -> None:
    path = "/v1/commands/retail/basket/ScanItem"
    found = ask(app, [SHOP], "OPTIONS", path, Origin=SHOP, **ASKING)
    assert (found.status_code, found.content) == (204, b"")
    assert cors(found) == {
        "access-control-allow-origin": SHOP,
        "access-control-allow-methods": "GET, HEAD, POST, OPTIONS",
        "access-control-allow-headers": "idempotency-key,content-type",
        "access-control-max-age": "600",
    }
    assert cors(ask(app, [SHOP], "OPTIONS", path, Origin=OTHER, **ASKING)) == {}


def test_a_commands_answer_is_for_the_page_too(app: Litestar) -> None:
    found = ask(app, [SHOP], "POST", "/v1/commands/retail/basket/ScanItem", Origin=SHOP)
    assert (found.status_code, found.headers["access-control-allow-origin"]) == (400, SHOP)


def test_options_without_a_browser_behind_it_names_the_methods(app: Litestar) -> None:
    found = ask(app, [SHOP], "OPTIONS", "/v1/retail/store_daily", Origin=SHOP)
    assert (found.status_code, found.headers["allow"]) == (200, "OPTIONS,GET,HEAD")


@pytest.mark.parametrize(
    "odd", ["shop.example", "https://shop.example/", "https://Shop.example", "null", "https://*.example"]
)
def test_an_origin_that_no_browser_sends_is_a_bad_setting(odd: str) -> None:
    with pytest.raises(BadSettings, match="api_origins"):
        Settings.load({"REFOLD_API_ORIGINS": odd})
    assert Settings.load({"REFOLD_API_ORIGINS": f"{SHOP}, http://[::1]:3000"}).api_origins == [
        SHOP,
        "http://[::1]:3000",
    ]


def test_a_child_process_has_the_same_origins() -> None:
    settings = Settings(api_origins=[SHOP, "*"])
    assert Settings.load(settings.environment()).api_origins == settings.api_origins
