"""Events that are published as they are, over HTTP with fakes behind the route; the client is the standard's own SDK."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import pytest
from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from httpx import Response
from litestar import Litestar
from litestar.testing import TestClient
from msgspec import Meta

from refold.api.http.commands.batch_text import CHUNK_LINES
from refold.schemas.avro import schema_id, schema_of
from refold.schemas.catalog import Catalog
from refold.schemas.contracts import Category, Event, Money, publishing
from refold.streams.decider import facts_alone
from refold.streams.domain import Domains
from tests.api.conftest import World, over

Client = TestClient[Litestar]
PATH = "/v1/events/plant/sensor"
STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"


class Reading(Event):
    """A sensor's reading."""

    celsius: Annotated[Decimal, Meta(description="Temperature.", extra={"precision": 6, "scale": 2})]
    unit: Annotated[str, Meta(description="Unit of the sensor.", max_length=9)] = "C"


class Calibrated(Event):
    """A sensor was calibrated."""

    cost: Annotated[Money, Meta(description="Cost.")]


SENSOR = Category("plant.sensor", facts=(Reading, Calibrated))
READING = schema_id(schema_of(Reading, SENSOR.name))
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "r-1",
    "source": "/plants/7",
    "type": "Reading",
    "subject": "s-1",
    "time": "2026-01-02T03:04:05.678901Z",
    "datacontenttype": "application/json",
    "data": {"celsius": "21.5"},
}


@pytest.fixture(scope="module")
def both(domains: Domains) -> Domains:
    """The shop, whose categories have no facts, and a plant that has nothing else."""
    categories = (*domains.categories.values(), SENSOR)
    frozen = [writer.schema for writer in domains.catalog.by_id.values() if writer.category != "refold"]
    catalog = Catalog(categories, [*frozen, *(schema_of(cls, SENSOR.name) for cls in SENSOR.classes)])
    return replace(
        domains,
        categories=catalog.categories,
        catalog=catalog,
        deciders={**domains.deciders, SENSOR.name: facts_alone(SENSOR)},
    )


@pytest.fixture
def client(world: World, both: Domains, model: Any) -> Iterator[Client]:
    with TestClient(over(world, both, model)) as found:
        yield found


def made(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (EVENT | changes).items() if value is not ...}


def post(client: Client, event: Any, kind: str = STRUCTURED, **headers: str) -> Response:
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return client.post(PATH, content=body, headers={"Content-Type": kind} | named)


def binary(client: Client, event: dict[str, Any], **headers: str) -> Response:
    said = {f"ce-{name}": str(value) for name, value in event.items() if name not in {"data", "datacontenttype"}}
    kind = {"Content-Type": event.get("datacontenttype", "application/json")}
    return client.post(PATH, content=json.dumps(event["data"]).encode(), headers=said | kind | headers)


def batch(client: Client, *events: Any, **headers: str) -> list[dict[str, Any]]:
    answer = post(client, list(events), BATCH, **headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


def fault(answer: Response) -> tuple[int, str, str]:
    found = answer.json()
    return answer.status_code, found["code"], found["errors"][0]["field"]


def test_an_event_becomes_the_command_that_publishes_it(client: Client, world: World) -> None:
    answer = post(client, made(correlationid="shift 7"))
    assert (answer.status_code, answer.json()["stream"], answer.json()["version"]) == (201, "s-1", 1)
    (intent,) = world.appended
    assert intent.command == publishing(Reading(celsius=Decimal("21.50")), "s-1")
    assert (intent.category, intent.stream, intent.actor) == ("plant.sensor", "s-1", "/plants/7")
    assert (intent.correlation_id, intent.expected_version) == ("shift 7", None)
    assert intent.occurred_at == datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)


def sdk_event(**changes: Any) -> CloudEvent:
    said = {name: value for name, value in made(**changes).items() if name != "data"}
    return CloudEvent(said | {"time": datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)}, EVENT["data"])


@pytest.mark.parametrize("changes", [{}, {"id": 'grün % "1"', "source": "/plants/7?a=b#c"}, {"expectedversion": "0"}])
def test_the_sdk_may_send_an_event_in_any_mode_and_gets_one_answer(
    client: Client, world: World, changes: dict[str, Any]
) -> None:
    event = sdk_event(**changes)
    messages = [to_binary(event, JSONFormat()), to_structured(event, JSONFormat())]
    answers = [client.post(PATH, content=message.body, headers=message.headers) for message in messages]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    (line,) = batch(client, json.loads(JSONFormat().write(event)))
    assert line == {"line": 1, "status": 201, **answers[0].json()}
    assert len(world.appended) == 1


def test_the_key_is_source_and_id_within_the_stream(client: Client, world: World) -> None:
    for changes in (
        {},
        {"id": "r-2"},
        {"source": "/plants/8"},
        {"subject": "s-2"},
        {"source": "/plants/7r", "id": "-1"},
    ):
        assert post(client, made(**changes)).status_code == 201
    assert len({intent.outcome_key for intent in world.appended}) == len(world.appended) == 5


def test_the_same_event_with_other_content_is_refused(client: Client, world: World) -> None:
    first = post(client, made())
    for other in (
        made(data={"celsius": 22}),
        made(data={"celsius": "21.5", "unit": "F"}),
        made(type="Calibrated", data={"cost": 1}),
    ):
        for answer in (post(client, other), binary(client, other)):
            assert (answer.status_code, answer.json()["code"]) == (422, "command-id-reused")
    again = post(client, made(time="2027-01-01T00:00:00Z", data={"celsius": 21.50, "unit": "C"}))
    assert (again.status_code, again.json()) == (201, first.json())
    assert len(world.appended) == 1


@pytest.mark.parametrize("type_", ["Reading", "plant.sensor.Reading"])
def test_a_type_is_the_events_name_with_or_without_its_category(client: Client, type_: str) -> None:
    assert post(client, made(type=type_)).status_code == 201


def test_the_partition_key_names_the_stream_where_no_subject_does(client: Client) -> None:
    assert post(client, made(subject=..., partitionkey="s-9")).json()["stream"] == "s-9"
    assert post(client, made(partitionkey="s-9")).json()["stream"] == "s-1"


@pytest.mark.parametrize(
    ("headers", "said", "wanted"),
    [
        ({"If_Match": '"7"'}, {}, 7),
        ({"If_None_Match": "*"}, {}, 0),
        ({}, {"expectedversion": 7}, 7),
        ({}, {"expectedversion": "7"}, 7),
    ],
)
def test_a_version_may_be_expected(
    client: Client, world: World, headers: dict[str, str], said: dict[str, Any], wanted: int
) -> None:
    assert post(client, made(**said), **headers).status_code == 201
    assert world.appended[0].expected_version == wanted


def test_a_time_is_cut_to_the_microsecond_and_may_be_left_out(client: Client, world: World) -> None:
    post(client, made(time="2026-01-02T03:04:05.678901999+01:00"))
    post(client, made(id="r-2", time=...))
    assert world.appended[0].occurred_at == datetime(2026, 1, 2, 2, 4, 5, 678901, UTC)
    assert abs((world.appended[1].occurred_at - datetime.now(UTC)).total_seconds()) < 600


def test_data_may_be_base64_of_json(client: Client) -> None:
    coded = base64.b64encode(b'{"celsius": 21.5}').decode()
    assert post(client, made(data=..., data_base64=coded)).json() == post(client, made()).json()


def test_a_released_schema_may_be_named(client: Client) -> None:
    for name in (f"/registry/schemas/ids/{READING}", f"https://x.example/registry/schemas/ids/{READING}"):
        assert post(client, made(dataschema=name)).status_code == 201


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"specversion": "0.3"}, "specversion"),
    ({"specversion": ...}, "specversion"),
    ({"id": ...}, "id"),
    ({"id": ""}, "id"),
    ({"id": "x" * 1001}, "id"),
    ({"source": ...}, "source"),
    ({"type": "reading"}, "type"),
    ({"type": "PublishReading"}, "type"),
    ({"type": ...}, "type"),
    ({"subject": ...}, "subject"),
    ({"subject": "s 1"}, "subject"),
    ({"subject": ""}, "subject"),
    ({"time": "yesterday"}, "time"),
    ({"time": "2026-01-02T03:04:05"}, "time"),
    ({"time": "0001-01-01T00:00:00+02:00"}, "time"),
    ({"expectedversion": -1}, "expectedversion"),
    ({"expectedversion": "1.5"}, "expectedversion"),
    ({"correlationid": "x" * 201}, "correlationid"),
    ({"dataschema": "/registry/schemas/ids/7"}, "dataschema"),
    ({"dataschema": "https://x.example/reading.json"}, "dataschema"),
]


@pytest.mark.parametrize(("changes", "name"), WRONG, ids=[f"{name}-{n}" for n, (_, name) in enumerate(WRONG)])
def test_a_wrong_attribute_is_named_in_every_mode(
    client: Client, world: World, changes: dict[str, Any], name: str
) -> None:
    event = made(**changes)
    assert fault(post(client, event)) == (422, "bad-value", f"$.{name}")
    assert fault(binary(client, event)) == (400, "header-invalid", f"ce-{name}")
    (line,) = batch(client, event)
    assert (line["status"], line["code"], line["errors"][0]["field"]) == (422, "bad-value", f"$.{name}")
    assert world.appended == []


@pytest.mark.parametrize(
    ("data", "field", "kind"),
    [
        ({}, ".celsius", "missing"),
        ({"celsius": []}, ".celsius", "wrong-type"),
        ({"celsius": "1.234"}, ".celsius", "out-of-range"),
        ({"celsius": 12345}, ".celsius", "out-of-range"),
        ({"celsius": 1, "unit": "0123456789"}, ".unit", "out-of-range"),
        ({"celsius": 1, "fact_stream": "s-2"}, ".fact_stream", "unknown-field"),
        ([], "", "wrong-type"),
        (None, "", "wrong-type"),
    ],
)
def test_wrong_data_is_refused_as_a_commands_body_is(
    client: Client, world: World, data: Any, field: str, kind: str
) -> None:
    found = post(client, made(data=data))
    assert fault(found) == (422, "bad-value", f"$.data{field}")
    assert found.json()["errors"][0]["code"] == kind
    assert fault(binary(client, made(data=data))) == (422, "bad-value", f"${field}")
    assert world.appended == []


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"{", "line 1 column 2"),
        (b'{"id": "a", "id": "b"}', "$"),
        (b"\xff", "byte 0"),
        (b'{"specversion":"1.0","id":"\\u0000"}', "$.id"),
    ],
)
def test_what_is_no_strict_json_is_refused_with_its_place(client: Client, body: bytes, place: str) -> None:
    found = post(client, body)
    assert (found.status_code, found.json()["code"]) == (400, "malformed-json")
    assert place in json.dumps(found.json()["errors"])


def test_data_is_there_once(client: Client) -> None:
    assert fault(post(client, made(data=...))) == (422, "bad-value", "$.data")
    assert fault(post(client, made(data_base64="e30="))) == (422, "bad-value", "$.data_base64")
    for wrong in ("%", base64.b64encode(b"{").decode(), base64.b64encode(b"{}").decode()):
        status, code, field = fault(post(client, made(data=..., data_base64=wrong)))
        assert (status, code) == (422, "bad-value")
        assert field.startswith("$.data_base64")


def test_other_media_types_are_refused(client: Client) -> None:
    assert fault(post(client, made(datacontenttype="text/plain"))) == (422, "bad-value", "$.datacontenttype")
    for kind in ("text/plain", "application/cloudevents+avro", "application/json; charset=latin-1", "application/xml"):
        assert post(client, made(), kind).json()["code"] == "media-type-unsupported"
    assert post(client, made(), Content_Encoding="gzip").json()["code"] == "media-type-unsupported"


def test_headers_that_an_event_says_itself_are_refused(client: Client) -> None:
    assert fault(post(client, made(), Refold_Actor="me")) == (400, "header-invalid", "Refold-Actor")
    both = post(client, made(expectedversion=1), If_Match='"1"')
    assert fault(both) == (400, "header-invalid", "If-Match")
    assert fault(post(client, [made()], BATCH, If_Match='"1"')) == (400, "header-invalid", "If-Match")


def test_each_event_of_a_batch_has_its_own_answer_in_order(client: Client, world: World) -> None:
    events: list[Any] = [made(id=f"r-{n}", subject=f"s-{n % 7}") for n in range(3 * CHUNK_LINES)]
    events[5] = made(id="r-5", data={"celsius": "x"})
    events[9] = "no event"
    answers = batch(client, *events)
    assert [answer["line"] for answer in answers] == list(range(1, len(events) + 1))
    assert [answer["line"] for answer in answers if answer["status"] != 201] == [6, 10]
    assert answers[5]["errors"][0]["field"] == "$.data.celsius"
    assert len(world.appended) == len(events) - 2
    assert batch(client, *events) == answers
    assert len(world.appended) == len(events) - 2


def test_a_batch_may_be_empty_and_is_bounded(client: Client, world: World) -> None:
    assert batch(client) == []
    large = post(client, b"[" + b" " * (8 << 20) + b"]", BATCH)
    assert (large.status_code, large.json()["code"]) == (413, "body-too-large")
    (one, other) = batch(client, made(data={"celsius": 1, "unit": "x" * (1 << 20)}), made())
    assert (one["status"], one["code"], other["status"]) == (413, "record-too-large", 201)
    assert post(client, b'[{"id": 1}', BATCH).json()["code"] == "malformed-json"
    assert post(client, b'{"id": 1}', BATCH).json()["code"] == "malformed-json"
    assert len(world.appended) == 1


def test_a_category_without_facts_takes_no_events(client: Client) -> None:
    answer = client.post("/v1/events/retail/basket", json=made(), headers={"Content-Type": STRUCTURED})
    assert (answer.status_code, answer.json()["code"]) == (404, "facts-absent")
    assert client.post("/v1/events/retail/nothing", json=made()).json()["code"] == "category-unknown"


def test_a_facts_command_cannot_be_sent_as_a_command(client: Client, world: World) -> None:
    body = {"fact_stream": "s-1", "celsius": "1"}
    single = client.post("/v1/commands/plant/sensor/PublishReading", json=body, headers={"Idempotency-Key": "k"})
    assert (single.status_code, single.json()["code"]) == (404, "command-unknown")
    assert single.json()["detail"].endswith("its facts are published at /v1/events/plant/sensor")
    line = json.dumps({"command": "plant.sensor.PublishReading", "id": "k", "data": body})
    lines = client.post("/v1/commands", content=line, headers={"Content-Type": "application/x-ndjson"})
    assert lines.json()["code"] == "command-unknown"
    assert world.appended == []
