"""Tests appends that come twice, late or never, or whose acknowledgements are lost, on a real broker behind a proxy."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
from confluent_kafka import Producer

from refold.api.embedded.ports import HOST
from refold.api.embedded.servers import Servers
from refold.schemas.codec import read_envelope
from refold.schemas.meta import Claim, Meta
from refold.streams.handler.appender import KafkaLog
from refold.streams.kafka import clients
from refold.streams.log.topics import events_topic
from refold.streams.settings import Settings
from tests.conftest import settings_for
from tests.e2e.oracle import read_topic
from tests.e2e.proxy import Proxy
from tests.e2e.site import also_behind
from tests.streams.broker import append
from tests.streams.by_hand import BOUND_S, NAME, PART, Asked, ByHand, by_hand, command_id, records, until

FAILS_S, LASTS_S = 6.0, 90.0
"""When an append without an acknowledgement has failed: soon, where that is the matter, else never while a test runs."""
BEFORE = [(product, number) for product in (1, 2, 3) for number in (0, 1)]
MEANWHILE = [(1, 2), (4, 0)]
STUCK = [(4, 1), (2, 2), (5, 0), (2, 3)]
AFTER = [(6, 0), (5, 1), (1, 3)]


@dataclass(frozen=True)
class Broker:
    """Kafka with two doors: its own, and the proxy's."""

    servers: str
    proxy: Proxy

    @property
    def proxied(self) -> str:
        return f"{HOST}:{self.proxy.port}"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    data = tmp_path_factory.mktemp("appends")
    with Proxy() as proxy, also_behind(proxy), Servers(data, lambda _: None, postgres=False) as running:
        servers = running.endpoints().kafka
        assert servers
        yield Broker(servers, proxy)


@pytest.fixture
def settings(broker: Broker, database: str, tmp_path: Path) -> Settings:
    """One partition; everybody but the handler's producer comes to Kafka's own door."""
    return settings_for(broker.servers, database, tmp_path, partitions=1)


@pytest.fixture
def proxy(broker: Broker) -> Iterator[Proxy]:
    yield broker.proxy
    broker.proxy.heal()


class NotIdempotent(KafkaLog):
    """What a handler's producer would be without the broker's help: what is sent again lands again."""

    def _new_producer(self) -> Producer:
        return clients.producer(self._servers, **{"enable.idempotence": False, "linger.ms": 0.2})


class Unheeding(KafkaLog):
    """Tells of no failure: as if the broker had acknowledged what it does not hold."""

    failures = 0

    def failed(self) -> bool:
        self.failures += super().failed()
        return False


class Twice(KafkaLog):
    """Each record is followed by its bytes once more, from a producer that is not idempotent."""

    def __init__(self, servers: str, prefix: str) -> None:
        super().__init__(servers, prefix)
        self._other = clients.producer(servers, **{"enable.idempotence": False})

    def append(self, category: str, part: int, key: bytes | None, value: bytes) -> None:
        super().append(category, part, key, value)
        assert self._producer.flush(BOUND_S) == 0
        self._other.produce(events_topic(self._prefix, category), value, key, partition=part)
        assert self._other.flush(BOUND_S) == 0


@pytest.fixture
def patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refold.streams.handler.appender._APPEND_S", request.param)


def begin(hands: ByHand, asked: list[Asked]) -> UUID:
    """These commands are decided, in peace; under which claim."""
    writer = hands.own()
    hands.send(*asked)
    hands.settle()
    assert hands.logged() == 1 + records(asked)
    return writer


def decide(hands: ByHand, asked: list[Asked]) -> None:
    """The handler decides these commands, and hands their records to its producer."""
    hands.send(*asked)
    before = hands.holder.next_seq
    hands.decide()
    assert hands.holder.next_seq == before + records(asked)


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("patience", [LASTS_S], indirect=True)
@pytest.mark.parametrize("log", [KafkaLog, NotIdempotent])
def test_acknowledgements_that_are_lost_for_a_while(
    settings: Settings, broker: Broker, proxy: Proxy, log: type[KafkaLog]
) -> None:
    """All lands at once, is folded, and is sent again: nothing of it counts twice, and an idempotent producer's lands once."""
    appends = log(broker.proxied, settings.topic_prefix)
    with by_hand(settings, appends) as hands:
        writer, landed = begin(hands, BEFORE), 1 + records(BEFORE)
        proxy.deafen()
        for asked in (MEANWHILE, STUCK):
            decide(hands, asked)
            hands.until_logged(landed := landed + records(asked))
            hands.settle()
        assert len(appends._producer) == records([*MEANWHILE, *STUCK]), "somebody was told of what has landed"
        assert proxy.cut(random.Random(1), 1.0) > 0
        proxy.heal()
        until(lambda: not appends.failed() and len(appends._producer) == 0, "what was sent is not acknowledged")
        assert (hands.logged() == landed) == (log is KafkaLog), "only a producer that is not idempotent appends twice"
        decide(hands, AFTER)
        hands.settle()
        hands.assert_sound()
        assert hands.holder.writer == writer, "the claim did not last"
        assert hands.voids() == hands.logged() - landed - records(AFTER)


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("patience", [FAILS_S], indirect=True)
def test_an_append_that_failed_and_landed_in_part(settings: Settings, broker: Broker, proxy: Proxy) -> None:
    """Of what has failed some is in the log, unacknowledged, and some arrives when the next claim has decided it again: it is void."""
    with by_hand(settings, KafkaLog(broker.proxied, settings.topic_prefix)) as hands:
        writer, landed = begin(hands, BEFORE), 1 + records([*BEFORE, *MEANWHILE])
        proxy.deafen()
        decide(hands, MEANWHILE)
        hands.until_logged(landed)
        proxy.strand()
        decide(hands, STUCK)
        until(proxy.holds_requests, "nothing is under way")
        until(lambda: is_lost(hands, writer), "the append does not fail")
        other = hands.own()
        assert all(envelope is None for envelope in heads(settings)[landed:]), "there is more than claims"
        hands.settle()
        late(hands, proxy, writer)
        hands.send(*AFTER)
        hands.settle()
        hands.assert_sound()
        assert commands_under(settings, other) == ids([*STUCK, *AFTER]), "the new claim decided again what counted"
        assert commands_under(settings, writer) > ids([*BEFORE, *MEANWHILE]), "nothing came late"
        assert hands.voids() > 0


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("patience", [FAILS_S], indirect=True)
def test_a_success_behind_a_failure_that_nobody_was_told_of(settings: Settings, broker: Broker, proxy: Proxy) -> None:
    """H5: the records behind the gap are void, the claim ends with it, and the next one decides all of them anew."""
    appends = Unheeding(broker.proxied, settings.topic_prefix)
    with by_hand(settings, appends) as hands:
        writer, counted = begin(hands, [*BEFORE, *MEANWHILE]), records([*BEFORE, *MEANWHILE])
        proxy.strand()
        decide(hands, STUCK)
        until(proxy.holds_requests, "nothing is under way")
        until(lambda: has_given_up(appends), "the append does not fail")
        landed = hands.logged()
        decide(hands, AFTER)
        hands.until_logged(landed + records(AFTER))
        seqs = [head.seq for head in heads(settings) if head is not None]
        assert seqs[:counted] == list(range(counted))
        assert seqs[counted] > counted, "there is no gap"
        hands.fold()
        claim = hands.claim
        assert claim is not None
        assert (claim.writer, claim.epoch, hands.voids()) == (None, 1, len(seqs) - counted)
        assert hands.own() != writer
        hands.settle()
        proxy.heal()
        hands.assert_sound()
        assert hands.voids() >= records(AFTER)


def test_appends_that_the_broker_takes_twice(settings: Settings, broker: Broker) -> None:
    """Claims, events within a group, groups: the second is void where it follows at once, and where it comes after everything."""
    with by_hand(settings, Twice(broker.servers, settings.topic_prefix)) as hands:
        writer = hands.own()
        for asked in (BEFORE, MEANWHILE, STUCK):
            decide(hands, asked)
            hands.settle()
        once = records(hands.sent)
        assert (hands.logged(), hands.voids()) == (2 * (1 + once), once)
        append(settings, NAME, PART, logged(settings))
        hands.fold()
        assert (hands.logged(), hands.voids()) == (4 * (1 + once), 3 * once)
        decide(hands, AFTER)
        hands.settle()
        hands.assert_sound()
        assert hands.holder.writer == writer, "the claim did not last"
        assert hands.voids() == 3 * once + records(AFTER)


def late(hands: ByHand, proxy: Proxy, writer: UUID) -> None:
    """What was under way arrives behind the claim that has taken over."""
    before = hands.logged()
    proxy.heal()
    hands.until_logged(before + 1)
    head = heads(hands.settings)[before]
    assert head is not None
    assert head.writer == writer


def is_lost(hands: ByHand, writer: UUID) -> bool:
    """Whether the handler, which looks once more, has given up its claim."""
    hands.decide()
    return hands.holder.writer != writer


def has_given_up(appends: Unheeding) -> bool:
    """Whether the producer has failed with all that it had, and reported that."""
    appends.failed()
    return appends.failures > 0 and len(appends._producer) == 0


def logged(settings: Settings) -> list[tuple[bytes | None, bytes | None]]:
    """Key and value of each record of events."""
    topic = events_topic(settings.topic_prefix, NAME)
    chunk = read_topic(settings, topic)[topic, PART]
    return list(zip(chunk.keys or (), chunk.values, strict=True))


def heads(settings: Settings) -> list[Meta | None]:
    """The envelope of each record of events; none of a claim."""
    found = [read_envelope(value) for _, value in logged(settings)]
    assert all(isinstance(envelope, Meta | Claim) for envelope in found)
    return [envelope if isinstance(envelope, Meta) else None for envelope in found]


def commands_under(settings: Settings, writer: UUID) -> set[UUID]:
    """The commands of which a record by this writer lies in the log."""
    return {head.command_id for head in heads(settings) if head is not None and head.writer == writer}


def ids(asked: list[Asked]) -> set[UUID]:
    return {command_id(each) for each in asked}
