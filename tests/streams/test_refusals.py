"""Tests the one judgement, used by every waiting loop, whether to wait for a server."""

import random
import socket
import time
from threading import Event, Thread
from typing import Any

import psycopg
import pytest
from confluent_kafka import KafkaError, KafkaException, Message

from refold.streams import refusals
from refold.streams.chunk import Chunk, Place
from refold.streams.errors import (
    DatabaseRefused,
    DatabaseUnavailable,
    KafkaRefused,
    KafkaUnavailable,
    LogShorter,
    StatementFailed,
    TopicRecreated,
    WrongPartitions,
    WrongSettings,
)
from refold.streams.exit_codes import WORK_FAILED
from refold.streams.handler.appender import KafkaLog
from refold.streams.handler.handler import Handler, Names, Surroundings
from refold.streams.handler.ports import Away
from refold.streams.kafka import clients
from refold.streams.postgres.connection import answering
from refold.streams.refusals import is_passing, of_kafka
from refold.streams.worker.group_consumer import ReaderConfig
from refold.streams.worker.intake import Intake
from refold.streams.worker.lane import Lane
from tests.streams.broker import DOMAINS
from tests.streams.flow import Flow

PLACE: Place = ("retail.basket.events", 0)


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("TOPIC_AUTHORIZATION_FAILED", True), ("GROUP_AUTHORIZATION_FAILED", True), ("CLUSTER_AUTHORIZATION_FAILED", True),
        ("SASL_AUTHENTICATION_FAILED", True), ("TOPIC_EXCEPTION", True), ("POLICY_VIOLATION", True), ("MSG_SIZE_TOO_LARGE", True),
        ("INVALID_CONFIG", True), ("_TRANSPORT", False), ("_ALL_BROKERS_DOWN", False), ("_TIMED_OUT", False), ("_MSG_TIMED_OUT", False),
        ("LEADER_NOT_AVAILABLE", False), ("NOT_ENOUGH_REPLICAS", False), ("UNKNOWN_TOPIC_OR_PART", False), ("KAFKA_STORAGE_ERROR", False),
        ("COORDINATOR_LOAD_IN_PROGRESS", False), ("INVALID_REPLICATION_FACTOR", False),
    ],
)  # fmt: skip
def test_each_of_kafkas_errors_passes_or_does_not(name: str, refused: bool) -> None:
    found = of_kafka(KafkaError(getattr(KafkaError, name)), "it cannot be done")
    assert type(found) is (KafkaRefused if refused else KafkaUnavailable)
    assert found.message.startswith("it cannot be done: ")


class Failing:
    """A fold that fails as often as it is told to, and counts how often it has connected anew."""

    group, topics = "core", ("retail.basket.events",)

    def __init__(self, *problems: Exception) -> None:
        self.problems, self.connected = list(problems), 0

    def stored(self, places: Any) -> dict[Place, int]:
        return dict.fromkeys(places, 0)

    def apply(self, chunks: Any) -> dict[Place, int]:
        if self.problems:
            raise self.problems.pop(0)
        return {chunk.place: chunk.end for chunk in chunks}

    def reconnect(self) -> None:
        self.connected += 1

    def close(self) -> None: ...


def test_a_fold_waits_for_a_server_that_is_away_or_busy() -> None:
    passing = [
        psycopg.OperationalError("the connection is lost"),
        psycopg.errors.DiskFull("53100"),
        psycopg.errors.AdminShutdown(),
    ]
    fold = Failing(*passing, psycopg.errors.IdleInTransactionSessionTimeout("25P03"))
    take(fold)
    assert (fold.problems, fold.connected) == ([], 4)


@pytest.mark.parametrize(
    "problem", [psycopg.errors.InsufficientPrivilege("no"), psycopg.errors.InvalidCatalogName("no")]
)
def test_a_fold_does_not_wait_for_what_is_refused(problem: psycopg.Error) -> None:
    with pytest.raises(DatabaseRefused):
        take(Failing(problem))


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervised role that ran before."""
    admission = refusals.Admission()
    admission.begin(ran_before=True)
    monkeypatch.setattr(refusals, "ADMISSION", admission)


@pytest.mark.usefixtures("steady")
def test_a_fold_that_ran_before_waits_for_rights_that_a_hand_took_away_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    problem = psycopg.errors.InsufficientPrivilege("permission denied for table positions")
    fold = Failing(problem, problem, problem)
    take(fold)
    assert (fold.problems, fold.connected) == ([], 3)
    assert caplog.messages == ["core: waiting for a server: permission denied for table positions"]


@pytest.mark.usefixtures("steady")
def test_a_role_that_ran_before_is_started_again_after_what_a_hand_may_put_right() -> None:
    for passes in (DatabaseRefused("no"), KafkaRefused("no"), WrongSettings("compacted")):
        assert is_passing(passes)
    for stays in (TopicRecreated("another"), LogShorter("cut off"), ValueError("ours")):
        assert not is_passing(stays)
    with pytest.raises(DatabaseUnavailable, match="refuses now: permission denied"), answering():
        raise psycopg.errors.InsufficientPrivilege("permission denied")


def test_a_role_that_starts_is_told_at_once_and_waits_only_when_it_is_steady(monkeypatch: pytest.MonkeyPatch) -> None:
    admission = refusals.Admission()
    monkeypatch.setattr(refusals, "ADMISSION", admission)
    assert not is_passing(DatabaseRefused("no")), "a command that is run by hand"
    admission.begin(ran_before=False)
    assert not is_passing(DatabaseRefused("no"))
    admission.steady_from -= refusals.STEADY_S
    assert is_passing(DatabaseRefused("no"))


def test_a_fold_does_not_take_a_statement_that_fails_for_a_server_that_is_away() -> None:
    with pytest.raises(psycopg.errors.ProgramLimitExceeded):
        take(Failing(psycopg.errors.ProgramLimitExceeded("index row size 5016 exceeds the maximum")))


@pytest.mark.parametrize(
    ("problem", "says"),
    [
        (psycopg.errors.RaiseException("a trigger of another's"), "statement-failed: Postgres says: "),
        (SystemExit("the database was emptied"), "the worker of group core ends: the database was emptied"),
    ],
    ids=["a statement that Postgres fails", "a deliberate end"],
)
def test_a_fold_that_ends_by_what_is_no_fault_of_code_says_one_sentence_and_no_traceback(
    problem: BaseException, says: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StatementFailed, match=r"Postgres says: a trigger of another's \(SQLSTATE P0001\)"), answering():
        raise psycopg.errors.RaiseException("a trigger of another's")
    ended: list[int] = []
    monkeypatch.setattr("refold.streams.worker.lane.journal.leave", ended.append)

    class Worker:
        def wake(self) -> None:
            raise problem

    worker: Any = Worker()
    Lane(ReaderConfig("", "core", ["t"], 10, keys=False), worker, Event())._guarded(Worker.wake, worker)
    assert ended == [WORK_FAILED], "to be started again"
    (record,) = caplog.records
    assert (record.exc_info, record.getMessage().startswith(says)) == (None, True)


def take(fold: Failing) -> None:
    Intake(fold, Flow(PLACE), 100, Event()).take([Chunk(*PLACE, 0, [b"a"])])


def test_an_append_that_is_refused_for_good_ends_the_handler() -> None:
    log = KafkaLog("127.0.0.1:9", "")
    log._reported(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), Message(topic="retail.basket.events"))
    with pytest.raises(KafkaRefused, match="an event cannot be appended"):
        log.failed()


def test_a_topic_that_refuses_what_it_says_that_it_takes_is_not_tried_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "largest_batch", lambda *_: 5000)
    log = KafkaLog("127.0.0.1:9", "")
    too_large = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), Message(topic="retail.basket.events")
    log._reported(*too_large)
    assert log.failed()
    log.discard()
    assert not log.fits("retail.basket", b"7", bytes(5000))
    assert log.fits("retail.basket", b"7", bytes(4000))
    assert log.fits("retail.product", b"7", bytes(5000))
    log._reported(*too_large)
    with pytest.raises(KafkaRefused, match=r"max\.message\.bytes=5000"):
        log.discard()


def test_a_topic_that_takes_more_again_is_believed_before_a_command_is_rejected_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    takes = [3000]
    monkeypatch.setattr(clients, "largest_batch", lambda *_: takes[0])
    log = KafkaLog("127.0.0.1:9", "")
    log._reported(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), Message(topic="retail.basket.events"))
    log.discard()
    takes[0] = 5000
    assert log.fits("retail.basket", b"7", bytes(4000))

    def away(*_: object) -> int:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    monkeypatch.setattr(clients, "largest_batch", away)
    log._asked.clear()
    with pytest.raises(Away, match=r"does not report its max\.message\.bytes"):
        log.fits("retail.basket", b"7", bytes(9000))


def test_a_handler_that_is_given_a_partition_that_was_added_by_hand_says_so_and_claims_nothing() -> None:
    """Keys move with the number of partitions: what is sent now would be rejected for ever as unreadable."""
    unasked: Any = None
    log = KafkaLog("127.0.0.1:9", "")
    handler = Handler(
        unasked, log, Flow(("retail.basket.commands", 4)), DOMAINS, Names("", 4), Surroundings(rng=random.Random(1))
    )
    with pytest.raises(WrongPartitions, match=r"retail\.basket\.commands has got partitions beyond its 4"):
        handler.wake()


def test_a_silent_server_stops_no_other_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes connections and says nothing, as a stopped Postgres does."""
    monkeypatch.setattr(refusals, "_PATIENCE_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/d?connect_timeout=5"
        problem, found = psycopg.OperationalError("timeout"), list[object]()
        asking = Thread(target=lambda: found.append(refusals.of_connecting(url, {}, problem)))
        asking.start()
        turns = 0
        while asking.is_alive():
            time.sleep(0.01)
            turns += 1
        assert found == [problem], "it is away, and refuses nothing"
        assert turns > 10
