"""Commands over HTTP, with fakes behind the routes."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from refold.api.errors import TooManyWaiting
from refold.api.http.commands.request import headers_by_name
from refold.schemas.identity import command_uuid
from refold.streams.errors import DeliveryFailed

PATH = "/v1/commands/retail/basket/ScanItem"
GOOD = {"basket_id": "b1", "product_id": 5, "quantity": 1, "amount": "1.10", "discount": "0.00"}
Client = TestClient[Litestar]


def headers(**more: str) -> dict[str, str]:
    return {"Idempotency-Key": str(uuid4()), **{name.replace("_", "-"): value for name, value in more.items()}}


def test_an_accepted_command_is_201_with_all_that_its_sender_needs(client: Client) -> None:
    key = str(uuid4())
    answer = client.post(PATH, json=GOOD, headers={"Idempotency-Key": key})
    assert answer.status_code == 201
    body = answer.json()
    assert (body["command_id"], body["stream"], body["events"], body["version"], body["base_version"]) == (
        key,
        "b1",
        1,
        1,
        0,
    )
    assert len(body["event_ids"]) == 1
    assert body["position"] == answer.headers["refold-position"] == "retail.basket.events/2:41"
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["location"] == "/v1/streams/retail/basket/b1?after_version=0"


def test_a_retry_answers_alike_and_appends_nothing(client: Client, world: Any) -> None:
    sent = headers()
    first, second = client.post(PATH, json=GOOD, headers=sent), client.post(PATH, json=GOOD, headers=sent)
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    assert len(world.appended) == 1


def test_an_equal_body_in_another_spelling_is_the_same_command(client: Client, world: Any) -> None:
    sent = headers()
    client.post(PATH, json=GOOD, headers=sent)
    text = '{"discount": 0, "amount": 1.1, "quantity": 1, "product_id": 5, "basket_id": "b1"}'
    answer = client.post(PATH, content=text, headers={**sent, "Content-Type": "application/json"})
    assert answer.status_code == 201
    assert len(world.appended) == 1


def test_a_key_used_with_another_body_is_refused(client: Client) -> None:
    sent = headers()
    client.post(PATH, json=GOOD, headers=sent)
    answer = client.post(PATH, json={**GOOD, "quantity": 2}, headers=sent)
    assert (answer.status_code, answer.json()["code"]) == (422, "command-id-reused")


def test_a_key_that_is_no_uuid_becomes_one(client: Client, world: Any) -> None:
    client.post(PATH, json=GOOD, headers={"Idempotency-Key": '"order 7"'})
    assert world.appended[0].command_id == command_uuid("order 7")


def test_a_domains_rejection_is_409_with_its_own_code(client: Client, world: Any) -> None:
    world.rejects = "basket-not-open"
    answer = client.post(PATH, json=GOOD, headers=headers())
    body = answer.json()
    assert (answer.status_code, body["code"], body["message"]) == (409, "basket-not-open", "because")
    assert body["type"] == "/problems/command-rejected"
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_command_that_nobody_could_read_is_422_whatever_was_in_it(client: Client, world: Any) -> None:
    world.rejects, sent = "command-unreadable", headers()
    for quantity in (1, 2):  # the record's own hash is none of a body's
        answer = client.post(PATH, json={**GOOD, "quantity": quantity}, headers=sent)
        assert (answer.status_code, answer.json()["code"]) == (422, "command-unreadable")
        assert answer.json()["type"] == "/problems/command-unreadable"


def test_a_version_conflict_is_412(client: Client, world: Any) -> None:
    world.rejects = "version-conflict"
    answer = client.post(PATH, json=GOOD, headers=headers(If_Match='"7"'))
    assert (answer.status_code, answer.json()["code"], answer.json()["version"]) == (412, "version-conflict", 7)
    assert world.appended[0].expected_version == 7


def test_if_none_match_demands_a_new_stream(client: Client, world: Any) -> None:
    client.post(PATH, json=GOOD, headers=headers(If_None_Match="*"))
    assert world.appended[0].expected_version == 0


@pytest.mark.parametrize("wait", ["wait=0", "respond-async, wait=0"])
def test_without_waiting_the_answer_is_202_and_says_where_the_outcome_will_be(
    client: Client, world: Any, wait: str
) -> None:
    world.decides = False
    key = str(uuid4())
    answer = client.post(PATH, json=GOOD, headers={"Idempotency-Key": key, "Prefer": wait})
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert answer.headers["retry-after"] == "1"
    assert client.get(answer.headers["location"]).json()["status"] == "pending"
    assert answer.headers["location"] == f"/v1/streams/retail/basket/b1/commands/{key}"


def test_a_command_that_nobody_decides_in_time_is_202(client: Client, world: Any) -> None:
    world.decides = False
    assert client.post(PATH, json=GOOD, headers=headers()).status_code == 202


def test_the_outcome_is_a_resource(client: Client) -> None:
    client.post(PATH, json=GOOD, headers={"Idempotency-Key": "k"})
    found = client.get("/v1/streams/retail/basket/b1/commands/k").json()
    assert (found["status"], found["version"], found["events"]) == ("accepted", 1, 1)


@pytest.mark.parametrize(
    "key", ["order/7", "order//7/", "/", "//", "///", "/a", "a b", "?#%2F", "'", ",", "...", "~", "plain"]
)
def test_the_outcome_is_found_under_every_key(client: Client, key: str) -> None:
    sent = client.post(PATH, json=GOOD, headers={"Idempotency-Key": key}).json()
    paths = [f"/v1/streams/retail/basket/b1/commands/{quote(key, safe='')}"]
    paths += [f"/v1/streams/retail/basket/b1/commands/{quote(key, safe='/')}"]
    paths += [f"/v1/streams/retail/basket?{urlencode({'stream': 'b1', 'command': key})}"]
    for path in paths:
        assert client.get(path).json()["command_id"] == sent["command_id"] == str(command_uuid(key)), path


@pytest.mark.parametrize("stream", [".", ".."])
def test_a_stream_that_clients_tidy_out_of_a_path_is_reached_by_its_location(
    client: Client, world: Any, stream: str
) -> None:
    body = GOOD | {"basket_id": stream}
    pending = client.post(PATH, json=body, headers=headers(Prefer="wait=0"))
    decided = client.post(PATH, json=body, headers=headers())
    assert decided.headers["location"] == f"/v1/streams/retail/basket?stream={stream}&after_version=0"
    found = client.get(pending.headers["location"]).json()
    assert (found["stream"], found["status"]) == (stream, "accepted")
    world.pages = [[]]
    absent = client.get(decided.headers["location"])
    assert (absent.status_code, absent.json()["code"]) == (404, "stream-absent")
    assert world.fetched[-1][1]["stream"] == stream


def test_a_stream_that_is_not_there_is_absent_at_a_position(client: Client, world: Any) -> None:
    world.pages = [[], [(0, 7, False), (2, 41, False)]]
    absent = client.get("/v1/streams/retail/basket/b9")
    assert (absent.status_code, absent.json()["code"]) == (404, "stream-absent")
    assert absent.headers["refold-position"] == "retail.basket.events/0:7,retail.basket.events/2:41"


def test_kafka_away_is_503_with_a_time_to_come_back(client: Client, world: Any) -> None:
    world.append_error = DeliveryFailed("no broker")
    answer = client.post(PATH, json=GOOD, headers=headers())
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1


def test_too_many_waiting_is_429(client: Client, world: Any) -> None:
    world.append_error = TooManyWaiting("full")
    answer = client.post(PATH, json=GOOD, headers=headers())
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")


def test_of_a_repeated_header_the_first_counts() -> None:
    sent = [(b"idempotency-key", b"first"), (b"prefer", b"wait=1"), (b"idempotency-key", b"second")]
    assert headers_by_name(sent) == {"idempotency-key": "first", "prefer": "wait=1"}


def test_a_body_that_is_too_large_is_refused_by_its_length_and_by_its_bytes(client: Client) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(3):
            yield b" " * (1 << 19)

    for content in (b" " * ((1 << 20) + 1), pieces()):
        answer = client.post(PATH, content=content, headers=headers(Content_Type="application/json"))
        assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


def test_the_envelope_comes_from_headers(client: Client, world: Any) -> None:
    sent = headers(Refold_Occurred_At="2026-01-31T12:00:00.5+01:00", Refold_Actor="till 7", Refold_Correlation_Id="c-1")
    assert client.post(PATH, json=GOOD, headers=sent).status_code == 201
    intent = world.appended[0]
    assert intent.occurred_at.isoformat() == "2026-01-31T11:00:00.500000+00:00"
    assert (intent.actor, intent.correlation_id) == ("till 7", "c-1")
