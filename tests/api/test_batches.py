"""Batches over HTTP, with fakes behind the route: each line gets its own answer, in order, whatever the others are."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from refold.api.http.application import application
from refold.api.http.commands.batch import WINDOW_CHUNKS, LineBatch
from refold.api.http.commands.batch_line import MAX_LINE_BYTES
from refold.api.http.commands.batch_text import CHUNK_LINES, LineSplitter
from refold.api.http.commands.services import CommandServices
from refold.streams.domain import Domains
from refold.streams.errors import DatabaseUnavailable, DeliveryFailed, QueueFull

Client = TestClient[Litestar]
KIND = {"Content-Type": "application/x-ndjson"}
DATA = {"basket_id": "b1", "product_id": 5, "quantity": 1, "amount": "1.10", "discount": "0.00"}


def line(**changes: Any) -> dict[str, Any]:
    made = {"command": "retail.basket.ScanItem", "id": str(uuid4()), "data": DATA} | changes
    return {name: value for name, value in made.items() if value is not ...}


def text(*lines: dict[str, Any] | bytes) -> bytes:
    return b"".join((found if isinstance(found, bytes) else json.dumps(found).encode()) + b"\n" for found in lines)


def post(client: Client, content: bytes | Iterator[bytes], **headers: str) -> list[dict[str, Any]]:
    answer = client.post("/v1/commands", content=content, headers=KIND | headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(found) for found in answer.text.splitlines()]


def test_each_line_is_answered_in_order_as_a_post_of_its_own_would_be(client: Client) -> None:
    sent = [line(data=DATA | {"basket_id": f"b{n}"}) for n in range(1000)]
    answers = post(client, text(*sent))
    assert [found["line"] for found in answers] == list(range(1, 1001))
    single = client.post(
        "/v1/commands/retail/basket/ScanItem", json=sent[7]["data"], headers={"Idempotency-Key": sent[7]["id"]}
    )
    assert answers[7] == {"line": 8, "status": 201, **single.json()}


def test_a_retry_answers_alike_and_appends_nothing(client: Client, world: Any) -> None:
    body = text(*(line() for _ in range(300)))
    first = post(client, body)
    assert post(client, body) == first
    assert len(world.appended) == 300


def test_outcomes_are_looked_up_by_the_chunk_and_lines_appended_in_order(client: Client, world: Any) -> None:
    sent = [line() for _ in range(10 * CHUNK_LINES)]
    post(client, text(*sent))
    assert [str(intent.command_id) for intent in world.appended] == [found["id"] for found in sent]
    assert len(world.found_all) <= 30


def test_pieces_of_a_body_may_end_anywhere(client: Client) -> None:
    body = text(*(line() for _ in range(20))).rstrip(b"\n")
    answers = post(client, (body[at : at + 7] for at in range(0, len(body), 7)))
    assert [found["status"] for found in answers] == [201] * 20


def test_a_rejection_and_a_conflict_are_answers_of_their_own_lines(client: Client, world: Any) -> None:
    world.rejects = "basket-not-open"
    (found,) = post(client, text(line()))
    assert (found["status"], found["code"], found["type"]) == (409, "basket-not-open", "/problems/command-rejected")
    world.rejects = "version-conflict"
    (found,) = post(client, text(line(expected_version=7)))
    assert (found["status"], found["code"], found["version"]) == (412, "version-conflict", 7)


def test_an_id_used_with_another_body_is_refused(client: Client) -> None:
    first = line()
    answers = post(client, text(first, first, line(id=first["id"], data=DATA | {"quantity": 2})))
    assert [(found["status"], found.get("code")) for found in answers] == [
        (201, None), (201, None), (422, "command-id-reused"),
    ]  # fmt: skip


def test_the_envelope_comes_from_fields(client: Client, world: Any) -> None:
    sent = {"occurred_at": "2026-01-31T12:00:00.5+01:00", "actor": "till 7", "correlation_id": "c-1"}
    post(client, text(line(**sent, expected_version=3)))
    (intent,) = world.appended
    assert intent.occurred_at.isoformat() == "2026-01-31T11:00:00.500000+00:00"
    assert (intent.actor, intent.correlation_id, intent.expected_version) == ("till 7", "c-1", 3)


def test_without_waiting_each_line_is_pending_and_says_where_its_outcome_will_be(client: Client, world: Any) -> None:
    world.decides = False
    (found,) = post(client, text(line()), Prefer="wait=0")
    assert (found["status"], found["stream"], found["retry_after"]) == (202, "b1", 1)
    assert client.get(found["outcome"]).json()["status"] == "pending"


def test_what_nobody_decides_in_time_is_pending(client: Client, world: Any) -> None:
    world.decides = False
    assert [found["status"] for found in post(client, text(line(), line()))] == [202, 202]


def test_a_full_queue_is_waited_for(client: Client, world: Any) -> None:
    world.append_error = QueueFull("full")
    assert [found["status"] for found in post(client, text(line(), line()))] == [201, 201]


@pytest.mark.parametrize("field", ["append_error", "fetch_error"])
def test_once_a_server_is_away_nothing_later_overtakes(client: Client, world: Any, field: str) -> None:
    setattr(world, field, DeliveryFailed("away") if field == "append_error" else DatabaseUnavailable("away"))
    answers = post(client, text(*(line() for _ in range(3 * CHUNK_LINES))))
    assert {(found["status"], "retry_after" in found) for found in answers} == {(503, True)}
    assert not world.appended


def test_no_more_batches_than_a_process_takes(domains: Domains, world: Any) -> None:
    taken = CommandServices(domains, world, world.append, world.queue, 0.2, asyncio.Semaphore(0))
    nothing: Any = None
    with TestClient(application(taken, nothing, nothing, nothing, nothing)) as client:
        answer = client.post("/v1/commands", content=text(line()), headers=KIND)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (429, "too-many-waiting", "1")


def test_the_body_is_read_no_further_than_the_window(domains: Domains, world: Any) -> None:
    """Nothing is decided, so nothing is answered: a body without end must not be read without end."""
    world.decides = False
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield text(*(line() for _ in range(CHUNK_LINES)))

    async def main() -> None:
        batch = LineBatch(CommandServices(domains, world, world.append, world.queue, 30), 30)
        answers = batch.answers(endless())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(answers), 2)
        await answers.aclose()

    asyncio.run(main())
    assert 2 < read <= WINDOW_CHUNKS + 3


def test_half_a_line_of_a_sender_who_hung_up_is_no_command(domains: Domains, world: Any) -> None:
    class HungUp(Exception):
        pass

    async def cut() -> AsyncIterator[bytes]:
        yield text(line()) + b'{"command": "retail.basket.ScanItem"'
        raise HungUp

    async def main() -> list[Any]:
        batch = LineBatch(CommandServices(domains, world, world.append, world.queue, 5), 5)
        found: list[Any] = []
        with pytest.raises(HungUp):  # noqa: PT012 - what came before the hang-up is the point
            async for answers in batch.answers(cut()):
                found += answers
        return found

    assert [found["status"] for found in asyncio.run(main())] == [201]


def test_a_line_without_end_takes_no_memory() -> None:
    splitter = LineSplitter()
    for _ in range(64):
        assert list(splitter.feed(b"x" * 65_536)) == []
        assert len(splitter._rest) <= MAX_LINE_BYTES + 1
    ((number, cut),) = next(splitter.feed(b"\n"))
    assert (number, len(cut)) == (1, MAX_LINE_BYTES + 1)


GOOD = line()
BAD: list[tuple[str, bytes, int, str, str | None]] = [
    ("no JSON", b"{", 400, "malformed-json", None),
    ("no object", b"[]", 422, "bad-value", "$"),
    ("a byte order mark", b"\xef\xbb\xbf" + text(GOOD).rstrip(), 400, "malformed-json", "line 1 column 1"),
    ("not UTF-8", b'{"command": "\xff"}', 400, "malformed-json", "byte 13"),
    ("two objects", text(GOOD).rstrip() * 2, 400, "malformed-json", None),
    ("a key twice", b'{"id": "1", "id": "2"}', 400, "malformed-json", "$.id"),
    ("a key of data twice", text(GOOD).rstrip().replace(b'"quantity"', b'"amount"'), 400, "malformed-json", "$.amount"),
    ("NaN", text(GOOD).rstrip().replace(b'"1.10"', b"NaN"), 400, "malformed-json", "NaN"),
    ("deep nesting", b"[" * 100_000, 400, "malformed-json", "byte 32"),
    ("too long", b'{"id": "' + b"x" * MAX_LINE_BYTES + b'"}', 413, "body-too-large", None),
    ("no command", text(line(command=...)).rstrip(), 422, "bad-value", "$.command"),
    ("a command that is no text", text(line(command=5)).rstrip(), 422, "bad-value", "$.command"),
    ("no such domain", text(line(command="nothing.basket.ScanItem")).rstrip(), 404, "domain-unknown", None),
    ("no such category", text(line(command="retail.nothing.ScanItem")).rstrip(), 404, "category-unknown", None),
    ("no such command", text(line(command="retail.basket.Nothing")).rstrip(), 404, "command-unknown", None),
    ("a command without category", text(line(command="ScanItem")).rstrip(), 404, "domain-unknown", None),
    ("no id", text(line(id=...)).rstrip(), 400, "idempotency-key-missing", None),
    ("an empty id", text(line(id="")).rstrip(), 400, "idempotency-key-invalid", None),
    ("an id too long", text(line(id="k" * 201)).rstrip(), 400, "idempotency-key-invalid", None),
    ("an id that is no text", text(line(id=7)).rstrip(), 422, "bad-value", "$.id"),
    ("no data", text(line(data=...)).rstrip(), 422, "bad-value", "$.data"),
    ("data that is no object", text(line(data=[])).rstrip(), 422, "bad-value", "$.data"),
    ("a missing field", text(line(data={"basket_id": "b"})).rstrip(), 422, "bad-value", "$.data.product_id"),
    (
        "a field of the wrong type",
        text(line(data=DATA | {"quantity": "1"})).rstrip(),
        422,
        "bad-value",
        "$.data.quantity",
    ),
    ("a field out of range", text(line(data=DATA | {"amount": "1.101"})).rstrip(), 422, "bad-value", "$.data.amount"),
    ("an extra field", text(line(data=DATA | {"colour": "red"})).rstrip(), 422, "bad-value", "$.data.colour"),
    ("a bad stream id", text(line(data=DATA | {"basket_id": "../x"})).rstrip(), 422, "bad-value", "$.data.basket_id"),
    ("an extra member", text(line(colour="red")).rstrip(), 422, "bad-value", "$.colour"),
    ("a negative version", text(line(expected_version=-1)).rstrip(), 422, "bad-value", "$.expected_version"),
    ("a version that is no number", text(line(expected_version="1")).rstrip(), 422, "bad-value", "$.expected_version"),
    ("a huge version", text(line(expected_version=10**18)).rstrip(), 422, "bad-value", "$.expected_version"),
    ("no time", text(line(occurred_at="yesterday")).rstrip(), 422, "bad-value", "$.occurred_at"),
    (
        "a time without offset",
        text(line(occurred_at="2026-01-31T12:00:00")).rstrip(),
        422,
        "bad-value",
        "$.occurred_at",
    ),
    (
        "a seventh digit",
        text(line(occurred_at="2026-12-31T23:59:59.9999999Z")).rstrip(),
        422,
        "bad-value",
        "$.occurred_at",
    ),
    ("a leap second", text(line(occurred_at="2026-12-31T23:59:60Z")).rstrip(), 422, "bad-value", "$.occurred_at"),
    ("year 10000", text(line(occurred_at="9999-12-31T23:59:59-00:01")).rstrip(), 422, "bad-value", "$.occurred_at"),
    ("a number as time", text(line(occurred_at=5)).rstrip(), 422, "bad-value", "$.occurred_at"),
    ("an actor too long", text(line(actor="a" * 201)).rstrip(), 422, "bad-value", "$.actor"),
    ("an actor that cannot be printed", text(line(actor="a\n")).rstrip(), 422, "bad-value", "$.actor"),
]


@pytest.mark.parametrize(("bad", "status", "code", "field"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_line_is_answered_and_stops_no_other(
    client: Client, world: Any, bad: bytes, status: int, code: str, field: str | None
) -> None:
    before, found, after = post(client, text(line(), b"", bad, line()))
    assert (before["status"], after["status"], after["line"]) == (201, 201, 4)
    assert (found["line"], found["status"], found["code"], found["type"]) == (3, status, code, f"/problems/{code}")
    if field is not None:
        assert found["errors"][0]["field"] == field
    assert len(json.dumps(found)) < 4000, "an error does not echo what it was sent"
    assert len(world.appended) == 2


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Content-Type": "application/json"}, 415, "media-type-unsupported"),
        ({"Content-Type": ""}, 415, "media-type-unsupported"),
        ({"Content-Encoding": "gzip"}, 415, "media-type-unsupported"),
        ({"Prefer": "wait=31"}, 400, "header-invalid"),
    ],
)
def test_a_bad_request_is_answered_as_one(client: Client, headers: dict[str, str], status: int, code: str) -> None:
    answer = client.post("/v1/commands", content=text(line()), headers=KIND | headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n  \n"])
def test_nothing_is_answered_with_nothing(client: Client, content: bytes) -> None:
    assert post(client, content) == []
