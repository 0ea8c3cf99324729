"""A stranger can find out the API: the OpenAPI document, the docs page, the lists, the probes, the codes."""

import re
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from refold.api import error_page
from refold.api.http.describe.services import Check

Client = TestClient[Litestar]
ROOT = Path(__file__).parent.parent.parent


def test_openapi_has_every_command_and_read_model_as_a_path(client: Client) -> None:
    found = client.get("/openapi.json").json()
    assert found["openapi"].startswith("3.1")
    assert "/v1/commands/retail/basket/ScanItem" in found["paths"]
    assert "/v1/streams/retail/product/{stream}" in found["paths"]
    assert "/v1/retail/store_daily/{key}" in found["paths"]
    assert "application/x-ndjson" in found["paths"]["/v1/commands"]["post"]["requestBody"]["content"]


def test_every_route_that_reads_or_sends_is_in_the_document(client: Client, app: Litestar) -> None:
    """But those that watch the process, lists, pages, and the registry's refusals to write."""
    found = client.get("/openapi.json").json()["paths"]
    shapes = {(re.sub(r"{[a-z_]+}", "{}", path), verb) for path, verbs in found.items() for verb in verbs}
    missing = set()
    for route in app.routes:
        path = re.sub(r"{[a-z_]+:?[a-z]*}", "{}", route.path_format)
        missing |= {(path, verb.lower()) for verb in getattr(route, "methods", ())} - {(path, "options")}
    of_domains = {
        "/v1/commands/{}/{}/{}",
        "/v1/streams/{}/{}",
        "/v1/streams/{}/{}/{}",
        "/v1/streams/{}/{}/{}/commands/{}",
        "/v1/streams/{}/{}/{}/commands",  # where the key is slashes alone
        "/v1/{}/{}",
        "/v1/{}/{}/{}",
        "/v1/explain/{}/{}",
    }
    besides = {
        "/",
        "/docs",
        "/openapi.json",
        "/asyncapi.json",
        "/livez",
        "/readyz",
        "/metrics",
        "/v1",
        "/v1/{}",
        "/problems/{}",
        "/v1/events/{}/{}",  # no category of this domain takes events as they are; test_facts has one that does
    }
    missing = {(path, verb) for path, verb in missing if path not in of_domains | besides} - shapes
    assert {verb for _, verb in missing} <= {"put", "delete", "post"}
    assert {path for path, verb in missing if verb == "post"} <= {"/registry/subjects/{}/versions"}


def test_every_reference_of_the_document_leads_somewhere(client: Client) -> None:
    found = client.get("/openapi.json").json()

    def references(part: Any) -> list[str]:
        if isinstance(part, dict):
            here = [part["$ref"]] if "$ref" in part else []
            return here + [ref for value in part.values() for ref in references(value)]
        return [ref for value in part for ref in references(value)] if isinstance(part, list) else []

    names = {ref.removeprefix("#/components/") for ref in references(found)}
    assert names <= {f"{kind}/{name}" for kind, parts in found["components"].items() for name in parts}
    assert {"schemas/retail.basket.ScanItem", "headers/Refold-Lag", "responses/TooManyRequests"} <= names


def test_an_enum_stands_where_it_is_used(client: Client) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    cause = schemas["retail.basket.VoidBasket"]["properties"]["cause"]
    assert (cause["type"], cause["description"], cause["default"]) == ("string", "Why, as reports count it.", "other")
    assert set(cause["enum"]) == {"customer_left", "mistake", "other", "payment_failed"}
    assert "one of customer_left mistake" in client.get("/docs").text


def test_an_operation_id_names_one_operation(client: Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    ids = [operation["operationId"] for verbs in paths.values() for operation in verbs.values()]
    assert len(ids) == len(set(ids))


def test_money_is_a_string_in_schema_and_answer(client: Client) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["retail.basket.ScanItem"]["properties"]["amount"]["type"] == "string"
    assert schemas["retail.store_daily"]["properties"]["revenue"]["type"] == "string"


def test_the_docs_page_needs_nothing_from_elsewhere(client: Client) -> None:
    answer = client.get("/", follow_redirects=True)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "/v1/commands/retail/basket/ScanItem" in answer.text
    assert "http://" not in answer.text.replace("http://www.w3.org", "")
    assert "https://" not in answer.text
    assert "<script" not in answer.text


def test_domains_list_their_read_models_and_commands(client: Client) -> None:
    assert client.get("/v1").json() == {"domains": [{"name": "retail", "path": "/v1/retail"}]}
    found = client.get("/v1/retail").json()
    assert found["read_models"][0]["key"] == ["store_id", "day"]
    commands = {command["name"] for category in found["categories"] for command in category["commands"]}
    assert {"ScanItem", "ListProduct"} <= commands


def test_probes(client: Client, world: Any) -> None:
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").json()["ok"] is True
    world.checks = [Check("kafka", ok=False, detail="kafka-unavailable: away"), Check("postgres", ok=True)]
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"][0]["name"]) == (503, "kafka")


def test_metrics_are_text(client: Client) -> None:
    assert "refold_up 1" in client.get("/metrics").text


@pytest.mark.parametrize("code", sorted(error_page.catalogue()))
def test_every_code_has_a_page(client: Client, code: str) -> None:
    found = client.get(f"/problems/{code}").json()
    assert (found["code"], bool(found["meaning"])) == (code, True)


def test_the_page_of_errors_lists_every_code_and_no_other() -> None:
    page = (ROOT / "docs/errors.md").read_text()
    listed = {line.split("`")[1] for line in page.split("\n## ")[0].splitlines() if line.startswith("| `")}
    assert listed == set(error_page.catalogue()), "run `python -m refold.api.error_page > docs/errors.md`"
    assert page == error_page.page(), "run `python -m refold.api.error_page > docs/errors.md`"


def test_a_code_belongs_to_one_class_and_says_what_it_means() -> None:
    for code, error in error_page.catalogue().items():
        assert error.code == code
        assert error_page.meaning(error), code
