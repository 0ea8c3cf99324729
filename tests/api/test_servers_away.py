"""An API without Kafka or Postgres starts, reports it, and answers 503 with a time to come back."""

import asyncio
from collections.abc import Iterator

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from pydantic import SecretStr

from refold.api.http.resources import Resources
from refold.streams.domain import Domains
from refold.streams.errors import DeliveryFailed
from refold.streams.sending.producer import Producer
from refold.streams.settings import Settings

NOWHERE = "127.0.0.1:9"
AWAY = Settings(kafka=NOWHERE, database_url=SecretStr(f"postgresql://u:hidden@{NOWHERE}/d"), command_wait_s=0.5)


@pytest.fixture
def client(domains: Domains) -> Iterator[TestClient[Litestar]]:
    found = Resources(AWAY, domains)
    with TestClient(found.application()) as client:
        yield client


def test_everything_says_503_and_nothing_hangs_or_tells_a_secret(client: TestClient[Litestar]) -> None:
    sent = client.post(
        "/v1/commands/retail/basket/OpenBasket",
        json={"basket_id": "b", "store_id": 1},
        headers={"Idempotency-Key": "k"},
    )
    rows = client.get("/v1/retail/store_daily")
    for answer in (sent, rows):
        assert (answer.status_code, answer.json()["code"]) == (503, "database-unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert "hidden" not in answer.text
    assert client.get("/livez").status_code == 200
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert {check["name"]: check["ok"] for check in ready.json()["checks"]} == {
        "postgres": False,
        "kafka": False,
        "prepared": False,
    }
    assert 'refold_up{server="postgres"} 0.0' in client.get("/metrics").text


def test_what_kafka_never_took_does_not_fail_the_end_of_the_process(
    domains: Domains, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """`refold send --file` has its tally to print; each sender over HTTP has had an answer."""
    closed = []

    def close(producer: Producer) -> None:
        closed.append(producer)
        producer.discard()
        raise DeliveryFailed("3 commands were not acknowledged: no answer in time")

    async def opened_and_closed() -> None:
        async with Resources(AWAY, domains).opened():
            pass

    monkeypatch.setattr(Producer, "close", close)
    asyncio.run(opened_and_closed())
    assert len(closed) == 3
    assert "3 commands were not acknowledged" in caplog.text
