"""Sends one command through Kafka and waits for its outcome, which Postgres has."""

import time
from contextlib import closing
from dataclasses import dataclass
from uuid import UUID

from refold.api.http.commands.outcomes import FIND, Outcome
from refold.schemas.contracts import Category, Command
from refold.schemas.identity import body_hash, outcome_key
from refold.streams.domain import Domains
from refold.streams.log.topics import ensure_topics
from refold.streams.postgres.connection import Database, answering, connect
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.sending.producer import Producer
from refold.streams.settings import Settings

_POLL_S = 0.05
_ACK_S = 30.0


@dataclass(frozen=True)
class Sending:
    """A command, and how it is sent. `expect`: the version that the stream must have."""

    category: Category
    body: Command
    command_id: UUID
    expect: int | None = None
    actor: str | None = None


def decided(settings: Settings, domains: Domains, sent: Sending, wait: float) -> Outcome | None:
    """The outcome, within `wait` seconds; None if there is none yet. A command that was decided before is not sent again."""
    body = sent.body
    where = outcome_key(sent.category.name, sent.category.stream_of(body), sent.command_id.bytes)
    with answering(), closing(connect(settings.dsn(), application_name="send")) as db:
        bootstrap(db)
        outcome = _find(db, where)
        if outcome is None:
            ensure_topics(settings, domains, db)
            with Producer(settings.kafka_servers(), settings.topic_prefix, domains, timeout_s=_ACK_S) as producer:
                producer.send(body, command_id=sent.command_id, expected_version=sent.expect, actor=sent.actor)
                producer.flush(_ACK_S)
            outcome = _await_outcome(db, where, wait)
    if outcome is not None:
        outcome.checked(body_hash(body))
    return outcome


def _await_outcome(db: Database, key: bytes, seconds: float) -> Outcome | None:
    until = time.monotonic() + seconds
    while (found := _find(db, key)) is None and time.monotonic() < until:
        time.sleep(_POLL_S)
    return found


def _find(db: Database, key: bytes) -> Outcome | None:
    row = db.execute(FIND, ([key],)).fetchone()
    return None if row is None else Outcome(*row)
