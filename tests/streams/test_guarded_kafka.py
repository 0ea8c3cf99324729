"""Tests of Kafka with TLS and a login, through both libraries that Refold reads and writes with."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka.admin import NewTopic

from refold.streams.errors import KafkaRefused
from refold.streams.kafka import clients
from refold.streams.kafka.fetch import Fetcher
from refold.streams.kafka.messages import watermarks
from refold.streams.kafka.oauth import ClientCredentials
from refold.streams.kafka_login import addresses
from tests.streams.guarded_kafka import USERS, Certificates, GuardedKafka, certificates
from tests.streams.token_issuer import CLIENT, SECRET, Issuer

pytestmark = [pytest.mark.usefixtures("servers"), pytest.mark.timeout(180)]
READY_S = 60.0


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("guarded") / "certificates")


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer().serving() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def kafka(held: Certificates, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedKafka]:
    server = GuardedKafka(tmp_path_factory.mktemp("guarded"), held, issuer.url)
    server.prepare(lambda _: None)
    server.launch()
    try:
        until = time.monotonic() + READY_S
        while not server.ready():
            assert server.process.alive(), "the broker has ended"
            assert time.monotonic() < until, "the broker is not ready"
            time.sleep(0.1)
        server.add_scram_user("reader")
        yield server
    finally:
        server.stop()


def login(protocol: str, mechanism: str, user: str, password: str | None = None) -> dict[str, str]:
    given = {"security.protocol": protocol, "sasl.mechanism": mechanism, "sasl.username": user}
    return given | {"sasl.password": USERS[user] if password is None else password}


def token(issuer: Issuer, secret: str = SECRET) -> dict[str, str]:
    given = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER"}
    oauth = {"method": "oidc", "client.id": CLIENT, "client.secret": secret, "scope": "write"}
    named = oauth | {"token.endpoint.url": f"{issuer.url}/token"}
    return given | {f"sasl.oauthbearer.{name}": value for name, value in named.items()}


def servers_with(kafka: GuardedKafka, listener: str, options: Mapping[str, str], folder: Path) -> str:
    file = folder / "kafka.properties"
    file.write_text("".join(f"{name}={value}\n" for name, value in options.items()))
    return addresses(f"127.0.0.1:{kafka.ports[listener]}", file)


@pytest.mark.parametrize("which", ["plain", "plain and tls", "scram and tls", "certificate", "token"])
def test_both_libraries_read_what_was_written_behind_a_login(
    which: str, kafka: GuardedKafka, held: Certificates, issuer: Issuer, tmp_path: Path
) -> None:
    authority = {"ssl.ca.location": str(held.authority)}
    own = {"ssl.certificate.location": str(held.certificate), "ssl.key.location": str(held.key)}
    known: dict[str, tuple[str, dict[str, str]]] = {
        "plain": ("plain", login("SASL_PLAINTEXT", "PLAIN", "worker")),
        "plain and tls": ("login", login("SASL_SSL", "PLAIN", "worker") | authority),
        "scram and tls": ("login", login("SASL_SSL", "SCRAM-SHA-256", "reader") | authority),
        "certificate": ("certificate", {"security.protocol": "SSL"} | authority | own),
        "token": ("token", token(issuer)),
    }
    listener, options = known[which]
    servers, topic = servers_with(kafka, listener, options, tmp_path), f"of-{which.replace(' ', '-')}"
    clients.check_login(servers)
    admin = clients.admin(servers)
    (made,) = admin.create_topics([NewTopic(topic, 1, 1)]).values()
    made.result()
    producer = clients.producer(servers, **{"compression.type": "none"})
    producer.produce(topic, b"held")
    assert producer.flush(20) == 0
    with closing(clients.consumer(servers)) as consumer:
        assert watermarks(consumer, (topic, 0)) == (0, 1)
    with closing(Fetcher(servers, [topic])) as fetcher:
        (batch,) = fetcher.fetch({(topic, 0): 0}, 10.0)
    assert b"held" in batch.record_set


@pytest.mark.parametrize("which", ["wrong password", "unknown user", "unknown authority", "no certificate", "no token"])
def test_a_refused_login_is_told_soon_and_not_taken_for_a_broker_that_is_away(
    which: str, kafka: GuardedKafka, held: Certificates, issuer: Issuer, tmp_path: Path
) -> None:
    authority = {"ssl.ca.location": str(held.authority)}
    known: dict[str, tuple[str, dict[str, str], str]] = {
        "wrong password": ("login", login("SASL_SSL", "PLAIN", "worker", "wr0ng") | authority, "Invalid username or p"),
        "unknown user": ("login", login("SASL_SSL", "SCRAM-SHA-256", "nobody", "x") | authority, "invalid credentials"),
        "unknown authority": ("login", login("SASL_SSL", "PLAIN", "worker"), "certificate verify failed"),
        "no certificate": ("certificate", {"security.protocol": "SSL"} | authority, "certificate required"),
        "no token": ("token", token(issuer, "wr0ng"), "invalid_client"),
    }
    listener, options, says = known[which]
    servers = servers_with(kafka, listener, options, tmp_path)
    with pytest.raises(KafkaRefused, match=says) as caught:
        clients.check_login(servers)
    assert "kafka_config" in caught.value.remedy
    assert "wr0ng" not in str(caught.value)


def test_a_changed_password_counts_for_the_next_client(kafka: GuardedKafka, held: Certificates, tmp_path: Path) -> None:
    given = login("SASL_SSL", "PLAIN", "worker", "old") | {"ssl.ca.location": str(held.authority)}
    with pytest.raises(KafkaRefused):
        clients.check_login(servers_with(kafka, "login", given, tmp_path))
    right = given | {"sasl.password": USERS["worker"]}
    clients.check_login(servers_with(kafka, "login", right, tmp_path))


def test_a_token_is_asked_for_anew_before_it_ends(issuer: Issuer) -> None:
    provider, before = ClientCredentials(token(issuer)), issuer.given
    tokens = [asyncio.run(provider.token()) for _ in range(3)]
    assert (issuer.given - before, len(set(tokens))) == (1, 1)
    provider = ClientCredentials(token(issuer))
    issuer.seconds, held = 0, issuer.seconds
    try:
        for _ in range(3):
            asyncio.run(provider.token())
    finally:
        issuer.seconds = held
    assert issuer.given - before == 4
