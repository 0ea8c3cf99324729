"""Batches, `refold send --file` and foreign readers, through the real Kafka, workers and Postgres."""

import json
import os
import subprocess
import sys
import time
import uuid
import warnings
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from confluent_kafka import TopicPartition

from refold.api.cli.stack import Stack
from refold.streams.kafka import clients
from refold.streams.log.topics import events_topic

pytestmark = pytest.mark.timeout(240)
SCANS = 4


def command(name: str, basket: str, **data: Any) -> dict[str, Any]:
    return {"command": f"retail.basket.{name}", "data": {"basket_id": basket} | data}


def baskets(count: int) -> list[dict[str, Any]]:
    """Each opened and scanned, one after the other: decided in another order, some would be rejected."""
    run, made = uuid.uuid4().hex[:8], []
    for number in range(count):
        basket = f"{run}-{number}"
        made.append(command("OpenBasket", basket, store_id=7))
        scan = {"product_id": 5, "quantity": 1, "amount": "1.10", "discount": "0.00"}
        made += [command("ScanItem", basket, **scan) for _ in range(SCANS)]
    return made


def ndjson(lines: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def test_a_batch_is_decided_in_order_and_a_retry_answers_alike(stack: Stack) -> None:
    lines = [line | {"id": str(uuid.uuid4())} for line in baskets(200)]
    lines[500] |= {"data": {}}
    headers = {"Content-Type": "application/x-ndjson", "Prefer": "wait=30"}
    with httpx.Client(base_url=stack.api_url, timeout=120) as api:
        first, again = (api.post("/v1/commands", content=ndjson(lines), headers=headers) for _ in range(2))
    answers = [json.loads(text) for text in first.text.splitlines()]
    assert [found["line"] for found in answers] == list(range(1, 1001))
    assert [found["line"] for found in answers if found["status"] != 201] == [501, 502, 503, 504, 505]
    assert (answers[500]["code"], answers[501]["code"]) == ("bad-value", "basket-not-open")
    assert first.text == again.text


def test_a_file_is_sent_killed_and_sent_again_without_double_or_gap(stack: Stack, tmp_path: Path) -> None:
    source, results = tmp_path / "commands.ndjson", tmp_path / "answers.ndjson"
    arguments = [
        sys.executable,
        "-m",
        "refold.api.cli.app",
        "send",
        "--file",
        str(source),
        "--results",
        str(results),
        "--json",
    ]
    environment = os.environ | stack.settings.environment()
    for _ in range(20):  # on a busy machine it may be done before the kill; then the next one is killed
        lines = baskets(600)
        source.write_bytes(ndjson(lines))
        results.unlink(missing_ok=True)
        killed = subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        until = time.monotonic() + 60
        while not (results.exists() and results.stat().st_size) and time.monotonic() < until:
            time.sleep(0.01)
        killed.kill()
        killed.communicate()
        if 0 < (written := results.read_bytes().count(b"\n")) < len(lines):
            break
    assert 0 < written < len(lines)
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["lines"], [(row["status"], row["lines"]) for row in told["results"]]) == (3000, [(201, 3000)])
    answers = [json.loads(text) for text in results.read_text().splitlines()]
    assert [found["version"] for found in answers] == [1 + n % (SCANS + 1) for n in range(len(lines))]
    with psycopg.connect(stack.settings.dsn()) as db:
        names = [line["data"]["basket_id"] for line in lines]
        row = db.execute(
            "SELECT count(*), sum(events) FROM refold.outcomes WHERE stream = ANY(%s)", (names,)
        ).fetchone()
    assert row == (3000, 3000)


def test_the_stock_deserializer_reads_our_events(stack: Stack) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # authlib prefers a successor of httpx
        from confluent_kafka.schema_registry import SchemaRegistryClient
        from confluent_kafka.schema_registry.avro import AvroDeserializer
    from confluent_kafka.serialization import MessageField, SerializationContext

    sent(stack)
    topic = events_topic(stack.settings.topic_prefix, "retail.basket")
    reader = clients.consumer(stack.settings.kafka_servers())
    reader.assign([TopicPartition(topic, part, 0) for part in range(stack.settings.partitions)])
    found = [message for _ in range(40) for message in reader.consume(500, 0.1)]
    reader.close()
    with SchemaRegistryClient({"url": f"{stack.api_url}/registry"}) as registry:
        read = AvroDeserializer(registry)
        events = [read(m.value(), SerializationContext(topic, MessageField.VALUE)) for m in found]
        latest = registry.get_latest_version(f"{topic}-retail.basket.ItemScanned")
        assert registry.lookup_schema(latest.subject, latest.schema).schema_id == latest.schema_id
        assert latest.subject in registry.get_subjects()
    scanned = [event for event in events if event is not None and "quantity" in event]
    assert scanned
    assert {str(event["amount"]) for event in scanned} == {"1.10"}


def sent(stack: Stack) -> None:
    """Some events."""
    lines = [line | {"id": str(uuid.uuid4())} for line in baskets(3)]
    headers = {"Content-Type": "application/x-ndjson", "Prefer": "wait=30"}
    answer = httpx.post(f"{stack.api_url}/v1/commands", content=ndjson(lines), headers=headers, timeout=60)
    assert answer.text.count('"status":201') == len(lines)
