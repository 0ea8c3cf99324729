"""Tests a broker that lost its log's end, as after an old disk image: the producer ends, and another replaces it."""

import shutil
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka.admin import NewTopic

from refold.api.embedded.servers import Servers
from refold.retail.schemas.basket import OpenBasket
from refold.streams.errors import DeliveryFailed
from refold.streams.kafka import clients
from refold.streams.sending.producer import Producer
from tests.streams.broker import DOMAINS

TOPIC, KEPT, TRIES = "retail.basket.commands", 3, 40

pytestmark = pytest.mark.e2e


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Servers that run as another user reach into it."""
    folder = Path(tempfile.mkdtemp(prefix="refold-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def acknowledged(producer: Producer) -> bool:
    """Send one command alone, and wait for what becomes of it."""
    try:
        producer.send(OpenBasket(basket_id="b", store_id=1), command_id=uuid4())
        producer.flush(20)
    except DeliveryFailed:
        return False
    return True


def cut(data: Path) -> None:
    """Leave the first batches, and nothing that remembers those after them."""
    (segment,) = data.rglob(f"{TOPIC}-0/*.log")
    raw, at = segment.read_bytes(), 0
    for _ in range(KEPT):
        at += 12 + int(struct.unpack_from(">i", raw, at + 8)[0])
    assert at < len(raw)
    segment.write_bytes(raw[:at])
    for kept in (*segment.parent.glob("*.snapshot"), *segment.parent.glob("*index")):
        kept.unlink()


def test_a_producer_goes_on_after_its_broker_lost_the_end_of_the_log(
    open_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It answered with failures for ever."""
    with Servers(open_folder, lambda _: None) as servers:
        address = str(servers.endpoints().kafka)
        admin = clients.admin(address)
        (made,) = admin.create_topics([NewTopic(TOPIC, 1, 1)]).values()
        made.result()
        producer = Producer(address, "", DOMAINS, timeout_s=8, linger_ms=0)
        assert all(acknowledged(producer) for _ in range(10))
    cut(open_folder)
    with Servers(open_folder, lambda _: None) as servers:
        assert servers.endpoints().kafka == address
        tried: list[bool] = []
        while len(tried) < TRIES and tried[-2:] != [True, True]:
            tried.append(acknowledged(producer))
            time.sleep(0.1)
        assert tried[-2:] == [True, True], tried
        assert "a new one replaces it" in caplog.text, "the loss was met, and survived"
        producer.close()
