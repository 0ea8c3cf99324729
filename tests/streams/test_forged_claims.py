"""Tests forged claims: their own partition may stop, but no other partition does, and no process ends."""

import random
from contextlib import closing
from typing import Any

import pytest

from refold.schemas.meta import LAST_EPOCH, RULES
from refold.streams import standing
from refold.streams.chunk import Chunk
from refold.streams.core.fold import CoreFold
from refold.streams.errors import NewerRules
from refold.streams.handler.handler import Handler, Names, Surroundings
from refold.streams.kafka.log_reader import LogReader
from refold.streams.log.history import History
from refold.streams.log.topics import events_topic
from refold.streams.rules.judge import ClaimState
from refold.streams.settings import Settings
from tests.streams.broker import DOMAINS, append, claimed, fold_all, prepare, rows
from tests.streams.flow import Flow
from tests.streams.logs import claim
from tests.streams.test_core import BASKET, basket

PLACE = ("retail.basket.commands", 0)


@pytest.mark.usefixtures("servers")
def test_a_partition_under_newer_rules_stands_alone_and_all_others_are_folded(settings: Settings) -> None:
    prepare(settings)
    topic = events_topic(settings.topic_prefix, BASKET)
    newer = claimed(claim("F", 2, RULES + 1))
    append(settings, BASKET, 0, [claimed(claim("A", 1)), *basket("A", 0, "s"), newer, *basket("F", 0, "t")])
    append(settings, BASKET, 1, [claimed(claim("B", 1)), *basket("B", 0, "u")])
    history = History(settings.kafka_servers(), settings.topic_prefix, DOMAINS)
    with closing(CoreFold(settings.dsn(), settings.topic_prefix, DOMAINS, history, stands=True)) as core:
        places = [(topic, part) for part in range(2)]
        reader = LogReader(settings.kafka_servers(), core.stored(places), records=100, keys=True)
        kept: dict[Any, Chunk] = {}
        while sum(len(chunk.values) for chunk in kept.values()) < 15:
            for chunk in reader.poll(1.0):
                kept[chunk.place] = kept[chunk.place].then(chunk) if chunk.place in kept else chunk
        reader.close()
        assert core.apply([kept[place] for place in places]) == {places[0]: 5, places[1]: 5}
        waits = standing.waits_longest()
        assert waits is not None
        assert waits[1].startswith(f"newer-rules: {topic}/0@5: a claim of epoch 2 says rules {RULES + 1}")
        core.apply([kept[places[0]].since(5)])
        core._stopped.forget(places)
    assert [stream for (stream,) in rows(settings, "SELECT stream FROM refold.streams ORDER BY 1")] == ["s", "u"]
    with pytest.raises(NewerRules):
        fold_all(settings)  # a rebuild has an end, and says why it does not come


@pytest.mark.usefixtures("servers")
def test_the_greatest_epoch_is_void_under_todays_rules(settings: Settings) -> None:
    prepare(settings)
    forged = [claimed(claim("F", LAST_EPOCH, rules)) for rules in (1, RULES, RULES + 1)]
    append(settings, BASKET, 0, [claimed(claim("A", 1, RULES)), *forged, *basket("A", 0, "s")])
    append(settings, BASKET, 0, [claimed(claim("B", 2, 1)), *forged, *basket("B", 0, "t")])
    fold_all(settings)
    assert rows(settings, "SELECT stream FROM refold.streams ORDER BY 1") == [("s",), ("t",)]
    assert rows(settings, "SELECT epoch, rules FROM refold.claims") == [(2, RULES)]


def test_a_partition_whose_epochs_are_used_up_is_said_and_ends_no_handler() -> None:
    """Under rules 1 a forged claim counted, for ever: the tables are a function of the log."""

    class Tables:
        def claims(self, places: Any) -> dict[Any, ClaimState]:
            return {place: ClaimState(epoch=LAST_EPOCH) for place in places}

    class Log:
        def failed(self) -> bool:
            return False

        def append(self, *_: object) -> None:
            pytest.fail("nobody can claim it")

    tables: Any = Tables()
    log: Any = Log()
    handler = Handler(tables, log, Flow(PLACE), DOMAINS, Names("", 4), Surroundings(rng=random.Random(1)))
    handler.wake()
    waits = standing.waits_longest()
    assert waits is not None
    assert "retail.basket/0 can no longer be claimed: its epochs are used up" in waits[1]
    assert "refold log void retail.basket.events 0" in waits[1]
    for held in handler._held.values():
        standing.goes_on(held)
