"""The registry over REST gives Confluent's answers for known schemas, and Confluent's errors for unknown ones."""

import asyncio
import json
import time
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from refold.api.http.application import application
from refold.api.http.describe.registry import RegistryError, SchemaRegistry
from refold.api.http.describe.registry_view import RegistryView
from refold.schemas.avro import Schema, schema_id
from refold.schemas.catalog import Catalog
from refold.streams.domain import Domains
from refold.streams.errors import KafkaUnavailable

Client = TestClient[Litestar]
TOPIC = "p.retail.basket.events"
SCANNED = f"{TOPIC}-retail.basket.ItemScanned"


@pytest.fixture
def catalog(domains: Domains, world: Any) -> Catalog:
    world.schemas = {number: writer.schema for number, writer in domains.catalog.by_id.items()}
    return domains.catalog


@pytest.fixture
def scanned(catalog: Catalog) -> Schema:
    return catalog.event_writers("retail.basket", "ItemScanned")[0].schema


def newer(schema: Schema) -> Schema:
    """As later code may write it: this code has no class for it."""
    return schema | {"fields": [*schema["fields"], {"name": "till", "type": "int", "default": 0, "doc": "Till."}]}


def test_a_deserializer_finds_the_schema_of_an_id(client: Client, scanned: Schema) -> None:
    answer = client.get(f"/registry/schemas/ids/{schema_id(scanned)}")
    assert answer.headers["content-type"] == "application/vnd.schemaregistry.v1+json"
    assert json.loads(answer.json()["schema"]) == scanned
    assert client.get(f"/registry/schemas/ids/{schema_id(scanned)}/versions").json() == [
        {"subject": SCANNED, "version": 1}
    ]
    assert client.get(f"/registry/schemas/ids/{schema_id(scanned)}/subjects").json() == [SCANNED]
    assert client.get("/registry/schemas/types").json() == ["AVRO"]


def test_a_subject_is_a_topic_and_a_record(client: Client, catalog: Catalog) -> None:
    found = client.get("/registry/subjects").json()
    assert {SCANNED, "p.retail.basket.commands-retail.basket.ScanItem", f"{TOPIC}-refold.Claim"} <= set(found)
    names = {(writer.category, writer.name) for writer in catalog.by_id.values()}
    others = len(catalog.categories) - 1
    assert len(found) == len(names) + 3 * others, "claims, voidings and rejections are in the events of every category"


def test_versions_of_a_subject_are_in_the_order_of_the_log(client: Client, world: Any, scanned: Schema) -> None:
    later = newer(scanned)
    world.schemas[schema_id(later)] = later
    assert client.get(f"/registry/subjects/{SCANNED}/versions").json() == [1, 2]
    for wanted in ("2", "latest", "-1"):
        found = client.get(f"/registry/subjects/{SCANNED}/versions/{wanted}").json()
        assert (found["subject"], found["version"], found["id"]) == (SCANNED, 2, schema_id(later))
        assert json.loads(found["schema"]) == later
    assert client.get(f"/registry/subjects/{SCANNED}/versions/1/schema").json() == scanned


def test_a_schema_is_looked_up_whatever_its_texts_say(client: Client, scanned: Schema) -> None:
    found = client.post(f"/registry/subjects/{SCANNED}", json={"schema": json.dumps(scanned | {"doc": "Other."})})
    assert (found.status_code, found.json()["id"], found.json()["version"]) == (200, schema_id(scanned), 1)


def test_a_schema_newer_than_the_code_is_served(
    client: Client, world: Any, scanned: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refold.api.http.describe.registry.FRESH_S", 0.0)
    later = newer(scanned)
    path = f"/registry/schemas/ids/{schema_id(later)}"
    assert client.get(path).status_code == 404
    world.schemas[schema_id(later)] = later
    assert json.loads(client.get(path).json()["schema"]) == later


def test_it_says_that_it_is_read_only(client: Client) -> None:
    assert client.get("/registry/config").json() == {"compatibilityLevel": "FULL_TRANSITIVE"}
    assert client.get(f"/registry/config/{SCANNED}").json() == {"compatibilityLevel": "FULL_TRANSITIVE"}
    assert client.get("/registry/mode").json() == {"mode": "READONLY"}


ONE = f"/registry/subjects/{SCANNED}"
ERRORS: list[tuple[str, str, Any, int, int]] = [
    ("GET", "/registry/schemas/ids/5", None, 404, 40403),
    ("GET", "/registry/schemas/ids/5/versions", None, 404, 40403),
    ("GET", "/registry/subjects/nothing/versions", None, 404, 40401),
    ("GET", "/registry/subjects/nothing/versions/1", None, 404, 40401),
    ("GET", f"{ONE}/versions/2", None, 404, 40402),
    ("GET", f"{ONE}/versions/0", None, 422, 42202),
    ("GET", f"{ONE}/versions/first", None, 422, 42202),
    ("GET", f"{ONE}/versions/{'9' * 5000}", None, 422, 42202),
    ("POST", "/registry/subjects/nothing", {"schema": "{}"}, 404, 40401),
    ("POST", ONE, {"schema": "{}"}, 404, 40403),
    ("POST", ONE, {"schema": '"string"'}, 422, 42201),
    ("POST", ONE, {"schema": "{"}, 422, 42201),
    ("POST", ONE, {"schema": 5}, 422, 42201),
    ("POST", ONE, [], 422, 42201),
    ("POST", ONE, {"schema": "[" * 100_000}, 422, 42201),
    ("POST", f"{ONE}/versions", {"schema": "{}"}, 422, 42205),
    ("DELETE", ONE, None, 422, 42205),
    ("DELETE", f"{ONE}/versions/1", None, 422, 42205),
    ("PUT", "/registry/config", {"compatibility": "NONE"}, 422, 42205),
    ("PUT", f"/registry/mode/{SCANNED}", {"mode": "READWRITE"}, 422, 42205),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"), ERRORS, ids=[f"{row[0]} {row[1][:60]} {row[4]}" for row in ERRORS]
)
@pytest.mark.usefixtures("catalog")
def test_errors_are_confluents(client: Client, method: str, path: str, body: Any, status: int, code: int) -> None:
    answer = client.request(method, path, json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code), answer.text
    assert answer.json()["message"]
    assert answer.headers["content-type"] == "application/vnd.schemaregistry.v1+json"
    assert len(answer.content) < 1000


@pytest.mark.usefixtures("catalog")
def test_a_schema_that_is_nested_hundreds_deep_is_a_clients_error(client: Client) -> None:
    """Too deep for Python 3.11; newer ones compare it, and it is none of ours."""
    answer = client.request("POST", ONE, json={"schema": '{"a":' + "[" * 600 + "]" * 600 + "}"})
    assert (answer.status_code, answer.json()["error_code"]) in {(422, 42201), (404, 40403)}, answer.text


def test_kafka_away_is_503() -> None:
    def away() -> dict[int, Schema]:
        raise KafkaUnavailable("no broker")

    nothing: Any = None
    with TestClient(application(nothing, nothing, nothing, nothing, SchemaRegistry(away, ""))) as client:
        answer = client.get("/registry/subjects")
    assert (answer.status_code, answer.json()["error_code"]) == (503, 50001)
    assert "kafka-unavailable" in answer.json()["message"]


def test_all_who_wait_for_kafka_in_vain_are_told_by_one_look() -> None:
    """One behind another they would fill the process's room for requests."""
    looks = []

    def away() -> dict[int, Schema]:
        looks.append(time.monotonic())
        time.sleep(0.3)
        raise KafkaUnavailable("no broker")

    async def asked(times: int) -> list[BaseException | RegistryView]:
        registry = SchemaRegistry(away, "")
        return await asyncio.gather(*(registry.view() for _ in range(times)), return_exceptions=True)

    answers = asyncio.run(asked(20))
    assert {(type(answer), str(answer)) for answer in answers} == {(RegistryError, "kafka-unavailable: no broker")}
    assert len(looks) == 1
