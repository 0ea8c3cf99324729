"""Kafka is known to be away at once if nothing listens at any of its addresses, and else only once it does not answer."""

import socket
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaException

from refold.streams.errors import KafkaUnavailable
from refold.streams.kafka import clients
from refold.streams.refusals import of_kafka


@pytest.fixture
def refusing() -> Iterator[str]:
    """An address at which nothing listens, and nothing will."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def listening() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as there:
        yield f"127.0.0.1:{there.getsockname()[1]}"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The servers that librdkafka is asked about."""
    found: list[str] = []

    def admin(servers: str) -> SimpleNamespace:
        found.append(servers)
        return SimpleNamespace(list_topics=lambda timeout: timeout)

    monkeypatch.setattr(clients, "admin", admin)
    return found


def test_where_nothing_listens_librdkafka_does_not_try_until_the_time_is_over(refusing: str, asked: list[str]) -> None:
    for servers in (refusing, f"{refusing}, {refusing}", refusing.replace("127.0.0.1", "localhost")):
        with pytest.raises(KafkaException) as problem:
            clients.check_answers(servers, 4.0)
        found = of_kafka(problem.value.args[0], "nothing was asked")
        assert isinstance(found, KafkaUnavailable)
        assert f"nothing listens at {servers}" in found.message
    assert asked == []


def test_one_address_that_may_answer_is_asked(refusing: str, listening: str, asked: list[str]) -> None:
    servers = [
        listening,
        f"{refusing},{listening}",
        f"{refusing},PLAINTEXT://{refusing}",
        f"{refusing},no address",
        "",
    ]
    for one in servers:
        clients.check_answers(one, 4.0)
    assert asked == servers
