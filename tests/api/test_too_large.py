"""A record too large for its topic: final for its sender, decided once, and without effect on others."""

import json
import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psycopg
import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from refold.api.cli import exits
from refold.api.cli.app import run
from refold.api.cli.stack import Stack
from refold.retail.schemas.product import ListProduct
from refold.streams.domain import load_domains
from refold.streams.errors import CommandTooLarge
from refold.streams.kafka import clients
from refold.streams.sending.producer import Producer

pytestmark = pytest.mark.timeout(180)
LARGE = random.Random(7).randbytes(1500).hex()


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.api_url, timeout=60, headers={"Prefer": "wait=30"}) as client:
        yield client


def takes(stack: Stack, kind: str, size: int = clients.MAX_MESSAGE_BYTES) -> None:
    """Let the topic take records of at most so many bytes."""
    entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
    topic = f"{stack.settings.topic_prefix}retail.product.{kind}"
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    client = clients.admin(stack.settings.kafka_servers())
    (done,) = client.incremental_alter_configs([resource]).values()
    done.result(60)


def product(package_size: str | None = None) -> dict[str, Any]:
    number = str(random.SystemRandom().randint(10**9, 10**12))
    said = dict.fromkeys(("department", "brand", "category", "type"), "x")
    return {"product_id": number, **said, "package_size": package_size}


def listed(api: httpx.Client, body: dict[str, Any]) -> httpx.Response:
    return api.post(
        "/v1/commands/retail/product/ListProduct", json=body, headers={"Idempotency-Key": str(uuid.uuid4())}
    )


def test_a_command_whose_event_does_not_fit_is_rejected_once_and_the_log_goes_on(
    stack: Stack, api: httpx.Client
) -> None:
    first = listed(api, product())
    assert first.status_code == 201, first.text
    takes(stack, "events", 2000)
    try:
        answer = listed(api, product(LARGE))
        assert (answer.status_code, answer.json()["code"]) == (409, "events-refused"), answer.text
        assert [listed(api, product()).status_code for _ in range(3)] == [201, 201, 201]
        again = listed(api, product(LARGE))
        assert (again.status_code, again.json()["code"]) == (409, "events-refused")
        with psycopg.connect(stack.settings.dsn()) as db:
            (epochs,) = db.execute(
                "SELECT max(epoch) FROM refold.claims WHERE category = 'retail.product'"
            ).fetchone() or (0,)
        # One for the start and one for each refused event; a busy group may assign anew. A loop has no end.
        assert epochs <= 3 + 5, "a claim was appended again and again"
    finally:
        takes(stack, "events")


def test_a_command_that_does_not_fit_is_refused_for_good_by_every_door(
    stack: Stack, api: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in stack.settings.environment().items():
        monkeypatch.setenv(name, value)
    takes(stack, "commands", 2000)
    try:
        answer = listed(api, product(LARGE))
        assert (answer.status_code, answer.json()["code"]) == (413, "command-too-large")
        assert "retry-after" not in answer.headers
        assert listed(api, product()).status_code == 201

        lines = [
            {"id": str(uuid.uuid4()), "command": "retail.product.ListProduct", "data": product(text)}
            for text in (None, LARGE, None)
        ]
        path = tmp_path / "commands.ndjson"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        sent = {"Content-Type": "application/x-ndjson"}
        for _ in range(3):  # what went to the broker together with the large one may have to be sent again
            batch = api.post("/v1/commands", content=path.read_bytes(), headers=sent)
            found = [json.loads(line)["status"] for line in batch.text.splitlines()]
            if found == [201, 413, 201]:
                break
        assert found == [201, 413, 201], batch.text
        assert run(["send", "--file", str(path)]) == exits.PRECONDITION
        assert run(["send", "retail.product.ListProduct", "--data", json.dumps(product(LARGE))]) == exits.PRECONDITION
        told = capsys.readouterr().err
        assert told.count("log-wrong-settings") == 2
        assert "Traceback" not in told

        settings = stack.settings
        with Producer(settings.kafka_servers(), settings.topic_prefix, load_domains(settings.domains)) as producer:
            producer.send(msgspec.convert(product(LARGE), ListProduct), command_id=uuid.uuid4())
            with pytest.raises(CommandTooLarge):
                producer.flush()
    finally:
        takes(stack, "commands")


def test_small_commands_are_not_refused_for_the_size_of_their_batch(stack: Stack, api: httpx.Client) -> None:
    takes(stack, "commands", 2000)
    try:
        lines = [
            {"id": str(uuid.uuid4()), "command": "retail.product.ListProduct", "data": product()} for _ in range(60)
        ]
        body = "".join(json.dumps(line) + "\n" for line in lines)
        for _ in range(30):  # an answer of 503 says that the same is to be sent again
            batch = api.post("/v1/commands", content=body, headers={"Content-Type": "application/x-ndjson"})
            found = {json.loads(line)["status"] for line in batch.text.splitlines()}
            assert found <= {201, 202, 503}, batch.text
            if found == {201}:
                return
        pytest.fail(batch.text)
    finally:
        takes(stack, "commands")
