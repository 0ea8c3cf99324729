"""What the description says once: it means what it meant, is less than half as long, and a name has one meaning."""

from typing import Any

import msgspec
from litestar import Litestar
from litestar.testing import TestClient

from refold.api.http.describe.openapi import document
from refold.api.http.describe.sharing import shared
from refold.projections.tables.serving import served_models
from refold.streams.domain import Domains


def whole(part: Any, components: dict[str, Any]) -> Any:
    """A part with every reference to an answer, a header or a parameter replaced by what it leads to."""
    if isinstance(part, list):
        return [whole(one, components) for one in part]
    if not isinstance(part, dict):
        return part
    _, _, kind, name = part["$ref"].split("/") if "$ref" in part else ("", "", "schemas", "")
    if kind != "schemas":
        return whole(components[kind][name], components)
    return {key: whole(one, components) for key, one in part.items()}


def test_the_shared_description_means_what_the_whole_one_says(domains: Domains) -> None:
    said = document(domains, served_models(domains.names))
    found = shared(said)
    components = found["components"]
    assert whole(found["paths"], components) == said["paths"]
    assert components["schemas"] == said["components"]["schemas"]
    assert len(msgspec.json.encode(found)) < len(msgspec.json.encode(said)) / 2
    for kind in ("responses", "headers", "parameters"):
        meanings = [msgspec.json.encode(part, order="sorted") for part in components[kind].values()]
        assert len(meanings) == len(set(meanings)) > 0


def answer(text: str, **headers: str) -> dict[str, Any]:
    return {"description": text, "headers": {name: {"description": meaning} for name, meaning in headers.items()}}


def test_what_is_said_once_stays_where_it_is_and_a_second_meaning_has_a_number() -> None:
    limits = [{"name": "limit", "in": "query", "schema": {"maximum": most}} for most in (1, 2, 3)]
    operations = [
        {"parameters": [limits[0]], "responses": {"404": answer("gone", Age="a"), "500": answer("one", Age="b")}},
        {"parameters": [limits[1]], "responses": {"404": answer("gone", Age="a"), "500": answer("two", Age="b")}},
        {"parameters": [limits[0], limits[2]], "responses": {"404": answer("lost"), "418": answer("lost")}},
        {"parameters": [limits[1]], "responses": {"404": answer("lost")}},
    ]
    paths = {f"/{number}": {"get": one} for number, one in enumerate(operations)}
    found = shared({"openapi": "3.1.0", "paths": paths, "components": {"schemas": {}}})
    get = [found["paths"][f"/{number}"]["get"] for number in range(4)]
    assert [one["parameters"][0]["$ref"][-7:] for one in get] == ["s/limit", "/limit2", "s/limit", "/limit2"]
    assert get[2]["parameters"][1] == limits[2]
    assert [one["responses"]["404"]["$ref"][-10:] for one in get] == [
        "s/NotFound", "s/NotFound", "/NotFound2", "/NotFound2"
    ]  # fmt: skip
    assert get[2]["responses"]["418"] == get[2]["responses"]["404"], "one meaning has one name"
    assert get[0]["responses"]["500"] == {
        "description": "one",
        "headers": {"Age": {"$ref": "#/components/headers/Age2"}},
    }
    assert found["components"]["responses"]["NotFound"]["headers"] == {"Age": {"$ref": "#/components/headers/Age"}}
    assert whole(found["paths"], found["components"]) == paths


def test_the_description_is_served_shared(client: TestClient[Litestar]) -> None:
    found = client.get("/openapi.json").json()
    rows = found["paths"]["/v1/retail/store_daily"]["get"]
    assert rows["responses"]["429"] == {"$ref": "#/components/responses/TooManyRequests2"}
    assert {"$ref": "#/components/parameters/Refold-Max-Age"} in rows["parameters"]
