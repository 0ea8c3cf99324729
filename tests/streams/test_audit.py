"""Tests the audit: even ledgers for a sound log, and a finding with its offset for each row or record that is wrong."""

import json
import re
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from refold.api.cli import app as cli
from refold.api.cli import exits
from refold.retail.schemas.basket import BasketOpened, OpenBasket
from refold.schemas.identity import outcome_key, unreadable_command_uuid
from refold.schemas.meta import CommandMeta, Meta
from refold.streams.chunk import Chunk
from refold.streams.kafka import clients
from refold.streams.log.topics import commands_topic, events_topic
from refold.streams.operation.audit.audit import audit
from refold.streams.operation.audit.ledger import Audit, EventLedger
from refold.streams.operation.audit.of_commands import CommandsAudit, sender_of
from refold.streams.operation.audit.of_events import EventsAudit, OutcomeRow, clipped
from refold.streams.postgres.connection import connect
from refold.streams.settings import Settings
from tests.streams.broker import CODEC, DOMAINS, append, claimed, encoded, fold_all, prepare, refused
from tests.streams.logs import CATEGORY, NOW, claim, group, named, record

EVENTS, COMMANDS = events_topic("", CATEGORY), commands_topic("", CATEGORY)
OPENED = BasketOpened(store_id=330)
LOG = [
    claimed(claim("a", 1)),
    *(encoded(meta, OPENED) for meta in group("a", 0, "c0", "s1", 0, 2)),
    (b"nobody", b"not ours"),
    refused(record("a", 2, "c1", "s1", 2, rejected=True)),
    encoded(record("z", 9, "c9", "s1", 2), OPENED),
    encoded(record("a", 3, "c2", "s2", 0), OPENED),
]
"""A claim, a command of two events, a foreign record, a rejection, a record that does not count, and one event."""
RANGES = [(3, 3, "foreign"), (5, 5, "void")]
OFFSETS = [("s1", 1, [1, 2]), ("s2", 1, [6])]


def outcome(command: str, stream: str, first: int, end: int, events: int) -> OutcomeRow:
    command_id = named(command)
    return OutcomeRow(outcome_key(CATEGORY, stream, command_id.bytes), stream, command_id, first, end, events)


OUTCOMES = [outcome("c0", "s1", 1, 3, 2), outcome("c1", "s1", 4, 5, 0), outcome("c2", "s2", 6, 7, 1)]


def audited(
    log: Sequence[tuple[bytes | None, bytes | None]] = LOG,
    ranges: Sequence[tuple[int, int, str]] = RANGES,
    outcomes: Sequence[OutcomeRow] = OUTCOMES,
    offsets: Sequence[tuple[str, int, list[int]]] = OFFSETS,
    cut: int = 3,
) -> tuple[EventLedger, Audit]:
    found = Audit()
    events = EventsAudit(found, CATEGORY, EVENTS, 0, ranges)
    for start in range(0, len(log), cut):
        part = log[start : start + cut]
        events.add(Chunk(EVENTS, 0, start, [value for _, value in part], [key for key, _ in part]))
    events.compare_outcomes(outcomes)
    events.compare_offsets(offsets)
    return events.ledger, found


@pytest.mark.parametrize("cut", [1, 2, 100])
def test_each_record_of_a_sound_partition_is_in_one_column_of_its_ledger(cut: int) -> None:
    ledger, found = audited(cut=cut)
    assert found.findings == []
    assert ledger == EventLedger(EVENTS, 0, records=7, events=3, rejections=1, claims=1, void=1, foreign=1)
    assert [one.offset for one in found.foreign] == [3]


WRONG: dict[str, tuple[dict[str, Any], list[tuple[str, int | None]]]] = {
    "an outcome is missing": ({"outcomes": OUTCOMES[1:]}, [("outcome-missing", 1)]),
    "an outcome has no records": (
        {"outcomes": [*OUTCOMES, outcome("c7", "s7", 9, 10, 1)]},
        [("outcome-without-records", 9)],
    ),
    "an outcome lies elsewhere": (
        {"outcomes": [OUTCOMES[0], replace(OUTCOMES[1], first_offset=5), OUTCOMES[2]]},
        [("outcome-differs", 4)],
    ),
    "an outcome has other events": (
        {"outcomes": [*OUTCOMES[:2], replace(OUTCOMES[2], events=2)]},
        [("outcome-differs", 6)],
    ),
    "offsets are missing": ({"offsets": OFFSETS[:1]}, [("offsets-missing", 6)]),
    "an offset is another one": ({"offsets": [("s1", 1, [1, 4]), OFFSETS[1]]}, [("offsets-differ", 1)]),
    "offsets skip a version": (
        {"offsets": [("s1", 2, [2]), OFFSETS[1]]},
        [("offsets-differ", 2), ("offsets-missing", 2)],
    ),
    "a zombie's record counts": (
        {"ranges": RANGES[:1]},
        [("outcome-missing", 5), ("offsets-missing", 5)],
    ),
    "a foreign record counts": ({"ranges": RANGES[1:]}, [("counted-foreign", 3)]),
    "an event is left out": (
        {"ranges": [(2, 2, "void"), *RANGES]},
        [("outcome-differs", 1), ("offsets-differ", 1)],
    ),
    "a record comes twice": (
        {"log": [*LOG, LOG[6]]},
        [("command-double", 7), ("version-double", 7), ("outcome-differs", 6), ("offsets-missing", 7)],
    ),
    "a record is gone": (
        {"log": [*LOG[:1], (b"s1", b"x"), *LOG[2:]], "ranges": [(1, 1, "foreign"), *RANGES]},
        [("command-double", 2), ("version-hole", 2), ("outcome-differs", 2), ("offsets-differ", 1)],
    ),
    "a record has another key": (
        {"log": [*LOG[:6], (b"s3", LOG[6][1])]},
        [("counted-foreign", 6), ("outcome-without-records", 6), ("offsets-differ", 6)],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_wrong_row_or_record_is_found_at_its_offset(name: str) -> None:
    changes, due = WRONG[name]
    _, found = audited(**changes)
    assert [(one.kind, one.offset) for one in found.findings] == due


def test_a_range_that_has_grown_since_ends_before_the_position() -> None:
    assert list(clipped([(1, 2, "void"), (4, 9, "void"), (12, 12, "foreign")], 7)) == [(1, 2, "void"), (4, 6, "void")]


def sent(command: str, stream: str, actor: str | None = None) -> tuple[bytes, bytes]:
    meta = CommandMeta(command_id=named(command), category=CATEGORY, stream=stream, occurred_at=NOW, actor=actor)
    return stream.encode(), CODEC.command(meta, OpenBasket(basket_id=stream, store_id=330))


def test_commands_are_decided_repeated_waiting_or_lost() -> None:
    unreadable = outcome_key(CATEGORY, "~unreadable.0", unreadable_command_uuid(COMMANDS, 0, 3).bytes)
    keys = {OUTCOMES[0].key, OUTCOMES[2].key, unreadable, b"of no command"}
    found = Audit()
    commands = CommandsAudit(found, CATEGORY, COMMANDS, 0, 5, keys)
    log = [sent("c0", "s1", "till"), sent("c0", "s1", "till"), sent("c2", "s2"), (b"?", b"junk"), sent("lost", "s3")]
    log += [sent("c2", "s2"), sent("new", "s4", "till")]
    commands.add(Chunk(COMMANDS, 0, 0, [value for _, value in log]))
    commands.end()
    ledgers = {
        sender: (one.commands, one.decided, one.repeats, one.waiting) for sender, one in commands.ledgers.items()
    }
    assert ledgers == {"till": (3, 1, 1, 1), None: (4, 2, 1, 0)}
    assert [(one.kind, one.offset) for one in found.findings] == [
        ("command-lost", 4),
        ("outcome-without-command", None),
    ]


@pytest.mark.parametrize(
    ("actor", "sender"), [(None, None), ("till 3/b", "till 3/b"), ("reactor:points/6f0d", "reactor:points")]
)
def test_a_reactor_is_one_sender_whatever_it_answers(actor: str | None, sender: str | None) -> None:
    assert sender_of(actor) == sender


def produce(settings: Settings, records: Sequence[tuple[bytes, bytes]]) -> None:
    producer = clients.producer(settings.kafka_servers())
    for key, value in records:
        producer.produce(commands_topic(settings.topic_prefix, CATEGORY), value, key, partition=1)
    assert producer.flush(30) == 0


def at_offset(meta: Meta, offset: int) -> Meta:
    return Meta(**{name: getattr(meta, name) for name in meta.__struct_fields__} | {"command_offset": offset})


@pytest.fixture
def log(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A folded log of three commands, of which the last waits, and the command line pointed at it."""
    prepare(settings)
    produce(settings, [sent("c0", "s1", "till"), sent("c1", "s1"), sent("c2", "s2")])
    first = [at_offset(meta, 0) for meta in group("a", 0, "c0", "s1", 0, 2)]
    last = record("a", 2, "c1", "s1", 2, rejected=True, command_offset=1)
    append(settings, CATEGORY, 1, [claimed(claim("a", 1)), *(encoded(meta, OPENED) for meta in first), refused(last)])
    fold_all(settings)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    return settings


def found_in(settings: Settings) -> Audit:
    with closing(connect(settings.dsn(), application_name="test")) as db:
        return audit(settings, DOMAINS, db, lambda *_: None)


@pytest.mark.usefixtures("servers")
def test_the_command_prints_the_ledger_and_ends_with_3_once_a_row_is_wrong(
    log: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["replay", "audit", "--json"]) == exits.DONE
    document = json.loads(capsys.readouterr().out)
    (events,) = [one for one in document["events"] if one["records"]]
    assert (events["part"], events["records"], events["events"], events["rejections"], events["claims"]) == (
        1,
        4,
        2,
        1,
        1,
    )
    assert [(one["sender"], one["decided"], one["waiting"]) for one in document["commands"]] == [
        (None, 1, 1),
        ("till", 1, 0),
    ]
    with psycopg.connect(log.dsn()) as db:
        db.execute("DELETE FROM refold.outcomes WHERE code IS NULL")
    assert cli.run(["replay", "audit"]) == exits.DIFFERENT
    out, err = capsys.readouterr()
    assert "command-lost" in out
    assert "1 command-lost, 1 outcome-missing" in err


BY_HAND: dict[str, tuple[str, set[str]]] = {
    "a version": ("UPDATE refold.streams SET version = 7", {"stream-differs"}),
    "offsets": ("DELETE FROM refold.stream_offsets", {"stream-differs", "offsets-missing"}),
    "an outcome's place": ("UPDATE refold.outcomes SET next_offset = 9", {"outcome-differs"}),
    "the core's position": (
        "UPDATE refold.positions SET next_offset = next_offset + 5 WHERE grp = 'core' AND part = 1 AND topic LIKE '%basket.events'",
        {"position-beyond-end"},
    ),
    "a model's position": (
        "INSERT INTO refold.positions SELECT 'models', topic, part, next_offset + 1 FROM refold.positions WHERE grp = 'core'",
        {"position-beyond-core"},
    ),
    "the last decided command": ("UPDATE refold.claims SET last_command_offset = 2 WHERE part = 1", {"command-lost"}),
}


@pytest.mark.usefixtures("servers")
def test_what_somebody_changed_by_hand_is_found(log: Settings) -> None:
    for name, (change, due) in BY_HAND.items():
        with psycopg.connect(log.dsn()) as db:
            before = _copies(db)
            db.execute(change.encode())
        assert set(found_in(log).kinds) == due, name
        with psycopg.connect(log.dsn()) as db:
            for restore in before:
                restore(db)
        assert found_in(log).kinds == {}, name


def _copies(db: psycopg.Connection[Any]) -> list[Callable[[psycopg.Connection[Any]], None]]:
    """For each table of the core, a step that brings its rows back."""

    def of(table: str, rows: list[tuple[Any, ...]]) -> Callable[[psycopg.Connection[Any]], None]:
        def restore(db: psycopg.Connection[Any]) -> None:
            db.execute(f"TRUNCATE refold.{table}".encode())
            marks = ", ".join(["%s"] * len(rows[0]))
            db.cursor().executemany(f"INSERT INTO refold.{table} VALUES ({marks})".encode(), rows)

        return restore

    tables = ("streams", "stream_offsets", "outcomes", "positions", "claims")
    return [of(table, db.execute(f"SELECT * FROM refold.{table}".encode()).fetchall()) for table in tables]


def test_the_page_lists_each_kind_of_finding() -> None:
    page = (Path(__file__).parents[2] / "docs/replay.md").read_text()
    code = "".join(path.read_text() for path in (Path(__file__).parents[2] / "streams/operation/audit").glob("*.py"))
    kinds = set(re.findall(r"\"((?:command|outcome|version|counted|offsets|stream|position)-[a-z-]+)\"", code))
    assert len(kinds) == 14
    for kind in kinds:
        assert f"`{kind}`" in page, kind
