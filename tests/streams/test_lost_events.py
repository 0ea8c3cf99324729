"""Tests a broker that loses the end of the events, as after a crash before the writes reached the disk."""

import struct
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from pydantic import SecretStr

from refold.api.embedded.removal import remove_data
from refold.api.embedded.servers import Servers
from refold.streams.chunk import Chunk
from refold.streams.exit_codes import PRECONDITION
from refold.streams.handler.appender import KafkaLog
from refold.streams.kafka import clients
from refold.streams.log.topics import events_topic, new_topics
from refold.streams.settings import Settings
from refold.streams.worker.group_consumer import ReaderConfig
from refold.streams.worker.group_reader import GroupReader
from tests.conftest import PREFIX
from tests.streams.flipped import segment
from tests.streams.test_core import BASKET
from tests.streams.test_reader import until

_BATCH = struct.Struct(">qi")
_SENT = 10


def lose_tail(file: Path, offset: int) -> None:
    """The batches from the offset on are gone, and so is what the broker knew of their producers."""
    data, at = file.read_bytes(), 0
    while at < len(data):
        base, length = _BATCH.unpack_from(data, at)
        if base >= offset:
            break
        at += _BATCH.size + length
    file.write_bytes(data[:at])
    for beside in [*file.parent.glob("*.snapshot"), *file.parent.glob("*index")]:
        beside.unlink()


@pytest.fixture
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    found = tmp_path_factory.mktemp(f"{PREFIX}tail")
    found.chmod(0o755)
    yield found
    remove_data(found)


@pytest.mark.e2e
def test_an_appender_whose_broker_lost_its_tail_begins_anew_and_a_reader_names_what_is_gone(
    data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(kafka="127.0.0.1:9", database_url=SecretStr(""), partitions=1)
    events = events_topic("", BASKET)
    with Servers(data, lambda _: None, postgres=False) as servers:
        address = servers.endpoints().kafka
        assert address
        admin = clients.admin(address)
        for made in admin.create_topics(new_topics([events], settings, 1)).values():
            made.result()
        log = KafkaLog(address, "")
        for number in range(_SENT):
            log.append(BASKET, 0, b"k", b"%d" % number)
            until(lambda: not log.failed() and len(log._producer) == 0, "an append has no report")
    lose_tail(segment(events, 0, data), _SENT // 2)
    ended, read = list[int](), list[Chunk]()

    def put(chunks: list[Chunk]) -> "Future[None]":
        read.extend(chunks)
        taken: Future[None] = Future()
        taken.set_result(None)
        return taken

    monkeypatch.setattr("refold.streams.worker.group_reader.journal.leave", ended.append)
    with Servers(data, lambda _: None, postgres=False) as servers:
        assert servers.endpoints().kafka == address
        log.append(BASKET, 0, b"k", b"lost")
        until(log.failed, "the append is not said to have failed")
        log.append(BASKET, 0, b"k", b"taken by no producer that is over")
        assert log.failed()
        log.discard()
        log.append(BASKET, 0, b"k", b"new")
        until(lambda: not log.failed() and len(log._producer) == 0, "a new producer does not append")
        config = ReaderConfig(address, "g", [events], 100, keys=True)
        group = GroupReader(config, lambda places: dict.fromkeys(places, 9), put)
        thread = threading.Thread(target=group.run, daemon=True)
        thread.start()
        until(lambda: bool(ended), "a reader behind the end waits for ever")
        group.stop()
        thread.join(60)
    assert ended == [PRECONDITION]
    assert "log-shorter" in caplog.text
    assert not read
