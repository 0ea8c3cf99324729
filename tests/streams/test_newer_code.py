"""Tests older code on newer records: Avro's resolution reads them, or they wait; never rejected, parked or guessed."""

import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from refold.projections.live.models import ModelsFold
from refold.projections.live.process import ensure_builds
from refold.schemas.avro import schema_id
from refold.schemas.codec import Codec
from refold.schemas.columns.decoder import ColumnDecoder, read_heads
from refold.schemas.errors import NewerSchema, Undecodable
from refold.schemas.identity import body_hash, command_uuid
from refold.schemas.meta import CommandMeta
from refold.streams import standing
from refold.streams.chunk import Chunk
from refold.streams.core.fold import CoreFold
from refold.streams.decider import Rejected
from refold.streams.handler.appender import KafkaLog
from refold.streams.handler.decide import UNREADABLE, decide
from refold.streams.handler.handler import Handler, Names, Surroundings
from refold.streams.handler.incoming import CommandReader
from refold.streams.handler.tables import PostgresTables
from refold.streams.kafka.partitioner import partition_of
from refold.streams.log.history import History
from refold.streams.log.topics import commands_topic, ensure_topics, events_topic
from refold.streams.log.waiting import when_kafka_answers
from refold.streams.postgres.connection import connect
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.sending.producer import Producer
from refold.streams.settings import Settings
from refold.streams.standing import goes_on
from tests.conftest import settings_for
from tests.streams.broker import fold_with, rows
from tests.streams.by_hand import HandReader, until
from tests.streams.flipped import flip, segment
from tests.streams.logs import record
from tests.streams.versions import NOTES, Release, newer, older

AT = datetime(2026, 11, 28, 9, tzinfo=UTC)


@pytest.fixture
def old() -> Release:
    """The older release, which has met the newer one's schemas in the log."""
    found = older()
    log = {w.id: w.schema for w in newer().domains.catalog.by_id.values()}
    found.domains.catalog.follow(lambda: log)
    return found


def meta(stream: str) -> CommandMeta:
    return CommandMeta(command_id=UUID(int=7), category=NOTES, stream=stream, occurred_at=AT)


@pytest.mark.parametrize("mood", [None, "merry"])
def test_a_command_with_a_field_more_is_read_as_the_one_that_is_known_and_hashed_as_it_was_sent(
    old: Release, mood: str | None
) -> None:
    new = newer()
    sent = new.make("AddLine", note="n", text="é", mood=mood)
    value = Codec(new.domains.catalog).command(meta("n"), sent)
    _, command, hashed = Codec(old.domains.catalog).read_command_under(value)
    known = old.make("AddLine", note="n", text="é")
    assert command == known
    assert hashed == body_hash(sent)
    assert (hashed == body_hash(known)) is (mood is None)  # what is left at its default is no part of a body


def test_events_with_a_field_more_are_read_alike_by_rows_and_by_columns(old: Release) -> None:
    new = newer()
    codec, known = Codec(new.domains.catalog), Codec(old.domains.catalog)
    made = [new.make("LineAdded", text=f"line {i}", mood="merry" if i % 2 else None) for i in range(100)]
    values = [codec.event(noted(i), event) for i, event in enumerate(made)]
    values += [known.event(noted(100 + i), old.make("LineAdded", text=f"line {100 + i}")) for i in range(100)]
    assert [known.read_event(value)[1].text for value in values] == [f"line {i}" for i in range(200)]  # type: ignore[union-attr]  # an event of this type
    heads = read_heads(values)
    old.domains.catalog.know(heads.present)
    found = ColumnDecoder(old.domains.catalog, thin=False).events(NOTES, "LineAdded", values, heads)
    assert sorted(found.frame["text"].to_list()) == sorted(f"line {i}" for i in range(200))
    assert "mood" not in found.frame.columns
    assert not found.bad


def noted(version: int) -> Any:
    return msgspec.structs.replace(record("A", version, f"c{version}", "n", version), category=NOTES)


def test_a_command_that_only_newer_code_has_is_left_undecided(old: Release) -> None:
    new, stream = newer(), "n"
    codec = Codec(new.domains.catalog)
    values: list[bytes | None] = [
        codec.command(meta(stream), new.make("AddLine", note=stream, text="a")),
        codec.command(meta(stream), new.make("PinNote", note=stream, by="me")),
        codec.command(meta(stream), new.make("AddLine", note=stream, text="b")),
    ]
    part = partition_of(stream.encode(), 4)
    chunk = Chunk("t", part, 5, values, [stream.encode()] * 3)
    known, left, behind = CommandReader(Codec(old.domains.catalog), NOTES, 4).read(chunk)
    assert [known.command, behind.command] == [old.make("AddLine", note=stream, text=text) for text in "ab"]
    assert isinstance(left.command, NewerSchema)
    assert (left.command_id, left.stream) == (UUID(int=7).bytes, stream)
    decider = old.domains.deciders[NOTES]
    with pytest.raises(NewerSchema):
        decide(decider, left, decider.initial, 0)
    misplaced = Chunk("t", (part + 1) % 4, 5, values[1:2], [stream.encode()])
    (refused,) = CommandReader(Codec(old.domains.catalog), NOTES, 4).read(misplaced)
    assert isinstance(refused.command, Rejected)  # it lies where no command of the stream counts, whatever its type
    assert refused.command.code == UNREADABLE


def test_a_schema_that_the_log_does_not_explain_is_as_before_and_asked_for_once(old: Release) -> None:
    asked: list[int] = []

    def nothing() -> dict[int, Any]:
        asked.append(1)
        return {}

    old.domains.catalog.follow(nothing)
    new = newer()
    value = Codec(new.domains.catalog).command(meta("n"), new.make("PinNote", note="n", by="me"))
    for _ in range(3):
        with pytest.raises(Undecodable) as problem:
            Codec(old.domains.catalog).read_command(value)
        assert problem.value.reason == "unknown-schema"
    assert len(asked) == 1


def test_a_schema_that_breaks_the_promise_of_compatibility_is_not_guessed(old: Release) -> None:
    """It was released around the check: the same type with another type of a field."""
    new = newer()
    broken: Any = deepcopy(new.domains.catalog.latest(new.classes["LineAdded"]).schema)
    broken["fields"][1]["type"] = "long"
    number = schema_id(broken)
    old.domains.catalog.learn({number: broken, 5: broken})
    writer = old.domains.catalog.by_id[number]
    assert writer.needs_newer_code
    assert "text" in writer.unresolved
    assert 5 not in old.domains.catalog.by_id  # anyone may write into a topic: a schema stands under its own id


@contextmanager
def at_work(settings: Settings, release: Release) -> Iterator[tuple[Handler, HandReader]]:
    """A handler of one release."""
    servers, prefix, domains = settings.kafka_servers(), settings.topic_prefix, release.domains
    with connect(settings.dsn(), application_name="test") as db:
        bootstrap(db)
        when_kafka_answers(lambda: ensure_topics(settings, domains, db))
    reader, log = HandReader(servers, (commands_topic(prefix, NOTES), 0)), KafkaLog(servers, prefix)
    tables = PostgresTables(settings.dsn(), domains, History(servers, prefix, domains))
    handler = Handler(tables, log, reader, domains, Names(prefix, 1), Surroundings(rng=random.Random(1)))
    try:
        yield handler, reader
    finally:
        for held in handler._held.values():
            goes_on(held)
        handler.close()
        reader.close()
        log.discard()


class Diary:
    """One log and one database, and whoever is at work on them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.sent: list[UUID] = []
        self._commands: list[tuple[Release, Any]] = []

    def send(self, release: Release, name: str, expected_version: int | None = None, **fields: Any) -> None:
        """Send a command by one release's client."""
        self.sent.append(command_uuid(f"{len(self.sent)}"))
        self._commands.append((release, release.make(name, **fields)))
        self.send_again(-1, expected_version)

    def send_again(self, number: int, expected_version: int | None = None) -> None:
        """The same command under the same id."""
        release, command = self._commands[number]
        with Producer(self.settings.kafka_servers(), self.settings.topic_prefix, release.domains) as client:
            client.send(command, command_id=self.sent[number], expected_version=expected_version)
            client.flush()

    def outcomes(self) -> dict[UUID, str | None]:
        """The code of each rejection, None for what was accepted."""
        return dict(rows(self.settings, "SELECT command_id, code FROM refold.outcomes"))

    def fold(self, release: Release) -> None:
        """Core and read models of one release, as far as the log goes."""
        settings, domains = self.settings, release.domains
        history = History(settings.kafka_servers(), settings.topic_prefix, domains)
        with closing(CoreFold(settings.dsn(), settings.topic_prefix, domains, history)) as core:
            fold_with(settings, core)
        with connect(settings.dsn(), application_name="test") as db:
            ensure_builds(db, release.declared)
        with closing(ModelsFold(settings.dsn(), settings.topic_prefix, domains.catalog, release.declared)) as models:
            fold_with(settings, models)

    def decide(self, release: Release, folding: Release, want: int) -> None:
        """Until so many commands have their outcome, and no more; a handler that leaves some undecided says so."""
        with at_work(self.settings, release) as (handler, reader):

            def step() -> bool:
                handler.take(reader.read())
                self.fold(folding)
                is_left = any(" waits for " in why for _, why in standing._WAITS.values())
                return len(self.outcomes()) >= want and is_left is (want < len(self.sent))

            until(step, f"not {want} outcomes of {len(self.sent)}")
            step()
            assert len(self.outcomes()) == want


@pytest.mark.usefixtures("servers")
def test_old_and_new_code_take_turns_and_every_command_is_decided_once(
    kafka: str, database: str, tmp_path: Path
) -> None:
    """Forth and back: handlers, cores and models of both releases on one log; each does what it can, and waits with the rest."""
    settings = settings_for(kafka, database, tmp_path, partitions=1)
    old, new, diary = older(), newer(), Diary(settings)
    for release in (old, new):
        with at_work(settings, release):
            pass  # the log has the schemas of both
    diary.send(old, "AddLine", note="a", text="one")
    diary.send(old, "StrikeLine", note="a", text="one")
    diary.send(new, "AddLine", note="a", text="two", mood="merry")
    diary.decide(old, old, 3)  # the field that old code does not know is read past
    diary.send(new, "PinNote", note="b", by="me")
    diary.send(old, "AddLine", note="c", text="one")
    diary.decide(old, new, 3)  # a command that old code does not have is left, and so is all behind it
    diary.decide(new, old, 5)  # an old core counts an event that it does not have, and leaves the state to newer code
    assert rows(settings, "SELECT state_fingerprint FROM refold.streams WHERE stream = 'b'") == [("newer",)]
    diary.send(new, "StrikeLine", note="c", text="one")
    diary.decide(new, old, 6)
    diary.send(old, "AddLine", note="c", text="odd", expected_version=7)
    diary.decide(old, old, 7)  # back again: what no state would change is decided all the same
    diary.send(old, "AddLine", note="c", text="one")
    diary.decide(old, old, 7)  # c has an event of newer code, so what follows is not decided on half a state
    diary.decide(new, new, 8)
    diary.send(old, "AddLine", note="b", text="two")
    diary.decide(new, new, 9)
    diary.send_again(3)
    diary.send(old, "AddLine", note="a", text="two")
    diary.decide(old, old, 10)  # a repeat of what was decided holds nobody up, whoever can read it
    assert diary.outcomes() == {**dict.fromkeys(diary.sent), diary.sent[6]: "version-conflict"}
    states = (
        "SELECT stream, convert_from(state, 'UTF8')::json FROM refold.streams WHERE stream IN ('b', 'c') ORDER BY 1"
    )
    assert rows(settings, states) == [
        ("b", {"lines": 1, "moods": 0, "pins": 1, "struck": 0}),
        ("c", {"lines": 2, "moods": 0, "pins": 0, "struck": 1}),
    ]
    assert rows(settings, "SELECT * FROM diary.lines ORDER BY 1") == [("one", 3), ("two", 3)]
    assert rows(settings, "SELECT * FROM refold.parked") == []


@pytest.mark.usefixtures("servers")
def test_a_command_whose_stream_has_a_corrupt_event_waits_for_a_sound_log(
    kafka: str, database: str, tmp_path: Path
) -> None:
    """Its state is to be folded anew from the log; it is neither rejected nor decided on less, and the process lives."""
    settings = settings_for(kafka, database, tmp_path, partitions=1)
    old, diary = older(), Diary(settings)
    with at_work(settings, old):
        pass  # the topics are there
    diary.send(old, "AddLine", note="a", text="one")
    diary.decide(old, old, 1)
    diary.send(old, "AddLine", note="b", text="one")
    diary.decide(old, old, 2)
    file = segment(events_topic(settings.topic_prefix, NOTES), 0)
    flip(file, 1)  # behind the claim
    with connect(settings.dsn(), application_name="test") as db:
        db.execute("UPDATE refold.streams SET state_fingerprint = 'earlier' WHERE stream = 'a'")
    diary.send(old, "AddLine", note="a", text="two")
    diary.decide(old, old, 2)
    flip(file, 1)
    diary.decide(old, old, 3)
    assert rows(
        settings, "SELECT version, convert_from(state, 'UTF8')::json ->> 'lines' FROM refold.streams WHERE stream = 'a'"
    ) == [(2, "2")]
