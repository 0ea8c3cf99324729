"""Tests the members of our groups on a real broker: our processes by host and pid, others by name and address."""

import os
import time
from contextlib import closing

import pytest

from refold.streams.kafka import clients
from refold.streams.log.topics import events_topic
from refold.streams.operation.members import MemberReader, client_id, group_name
from refold.streams.settings import Settings
from tests.streams.broker import prepare


@pytest.mark.usefixtures("servers")
def test_a_foreign_member_is_named_with_what_it_holds(settings: Settings) -> None:
    prepare(settings)
    name, topic = group_name(settings, "core"), events_topic(settings.topic_prefix, "retail.basket")
    for ours, who in ((False, "somebody"), (True, client_id(name))):
        member = {"group.id": name, "client.id": who, "auto.offset.reset": "latest"}
        with closing(clients.consumer(settings.kafka_servers(), **member)) as client:
            client.subscribe([topic])
            until = time.monotonic() + 60
            while not client.assignment():
                client.poll(0.2)
                assert time.monotonic() < until
            (found,) = MemberReader(settings).read(["core"])
            assert (found.group, found.client_id, found.is_foreign) == ("core", who, not ours)
            assert found.places == tuple((topic, part) for part in range(settings.partitions))
            assert found.pid == (os.getpid() if ours else None)
