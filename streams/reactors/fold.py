"""The reactors' fold: answers events that the core has passed, sends the commands, and only then moves the positions.

Invariant: a position moves only after all commands that answer the events before it were acknowledged. So no command is
left out. A command that is sent twice, after a kill or by two processes, has the same id and takes effect once.
"""

import logging
from collections.abc import Sequence
from typing import Any

from refold.schemas.codec import Codec
from refold.streams import journal
from refold.streams import metrics as chunk_metrics
from refold.streams.chunk import Chunk, Place
from refold.streams.core.limits import Voids, core_limits
from refold.streams.domain import Domains
from refold.streams.errors import Lost
from refold.streams.failpoints import failpoint
from refold.streams.log.history import History
from refold.streams.log.topics import category_of, events_topic
from refold.streams.postgres import positions
from refold.streams.postgres.connection import connect_patiently, notify
from refold.streams.reactors import metrics, store
from refold.streams.reactors.arrived import Arrived, Readers, arrived
from refold.streams.reactors.reacting import Answers, Reacting
from refold.streams.reactors.reactor import Reactor
from refold.streams.reactors.sender import Sender
from refold.streams.sending.command_record import Addressed
from refold.streams.settings import Settings

_log = logging.getLogger(__name__)
GROUP = "reactors"


class ReactorsFold:
    """Answers chunks of the categories that have reactors. One connection, one thread."""

    group = GROUP

    def __init__(self, settings: Settings, domains: Domains, reactors: Sequence[Reactor], sender: Sender) -> None:
        self._url, self._prefix, self._sender = settings.dsn(), settings.topic_prefix, sender
        self._codec, self._addressed = Codec(domains.catalog), Addressed(settings.topic_prefix, domains.catalog)
        self._history = History(settings.kafka_servers(), settings.topic_prefix, domains)
        categories = sorted({reactor.category.name for reactor in reactors})
        self._readers = {name: Readers(domains.catalog, name, reactors) for name in categories}
        self.topics: Sequence[str] = [events_topic(self._prefix, name) for name in categories]
        self._db = connect_patiently(self._url, application_name=GROUP, by_key=True)

    def reconnect(self) -> None:
        """Connect again, once Postgres is back."""
        self._db.close()
        self._db = connect_patiently(self._url, application_name=GROUP, by_key=True)

    def stored(self, places: Sequence[Place]) -> dict[Place, int]:
        """The reactors' positions; 0 if a position is new or was lost."""
        return positions.stored(self._db, GROUP, places)

    def close(self) -> None:
        """Give the connections back."""
        self._sender.close()
        self._history.close()
        self._db.close()

    def apply(self, chunks: Sequence[Chunk]) -> dict[Place, int]:
        """Answer up to the core's positions; no transaction is open during the send. Raises Lost, KafkaUnavailable."""
        core, voids = core_limits(self._db, chunks)
        offered = [cut for cut in (chunk.upto(core.get(chunk.place, 0)) for chunk in chunks) if cut.values]
        if offered:
            with chunk_metrics.stage(GROUP, "react"):
                answers = self._answers(offered, voids)
            failpoint("reactors.before-send")
            with chunk_metrics.stage(GROUP, "send"):
                self._sender.send(answers.records)
            failpoint("reactors.after-send")
            self._commit(offered, answers)
            failpoint("reactors.after-commit")
            _count(offered, answers)
        moved = {chunk.place: chunk.end for chunk in offered}
        return {chunk.place: moved.get(chunk.place, chunk.start) for chunk in chunks}

    def _answers(self, chunks: Sequence[Chunk], voids: Voids) -> Answers:
        """The answers to chunks. States are read before positions are compared: if these moved, the commit fails."""
        events = [
            event for chunk in sorted(chunks, key=lambda chunk: chunk.place) for event in self._arrived(chunk, voids)
        ]
        keys = {(r.name, event.meta.stream) for event in events for r in event.readers if r.remembers}
        reacting = Reacting(self._addressed, store.states(self._db, keys), store.parked(self._db), self._recall)
        for event in events:
            reacting.take(event)
        return reacting.answers()

    def _arrived(self, chunk: Chunk, voids: Voids) -> list[Arrived]:
        readers = self._readers[category_of(self._prefix, chunk.topic)]
        return arrived(self._codec, readers, chunk, voids.get(chunk.place, ()))

    def _recall(self, reactor: Reactor, stream: str, version: int) -> Any:
        """Fold a state from the log, if no usable one is stored: none exists, other code wrote it, or it is newer."""
        pages = self._history.pages(self._db, reactor.category.name, stream, after=0, upto=version)
        state = reactor.initial
        for page in pages:
            state = reactor.fold([recorded.event for recorded in page], state)
        return state

    def _commit(self, offered: Sequence[Chunk], answers: Answers) -> None:
        with self._db.transaction():
            positions.advance(self._db, GROUP, offered)
            if not store.write(self._db, answers):
                raise Lost(chunk.place for chunk in offered)
            notify(self._db, GROUP, {chunk.place: chunk.end for chunk in offered})
            failpoint("reactors.before-commit")


def _count(offered: Sequence[Chunk], answers: Answers) -> None:
    chunk_metrics.RECORDS.labels(GROUP).inc(sum(len(chunk.values) for chunk in offered))
    for name, number in answers.commands.items():
        metrics.COMMANDS.labels(name).inc(number)
    for (name, _), number in answers.waiting.items():
        metrics.WAITING.labels(name).inc(number)
    for (name, stream), parked in answers.parked.items():
        metrics.PARKED.labels(name, parked.code).inc()
        at = f"{parked.part}:{parked.first_offset}"
        told = journal.about(code=parked.code, of=name)
        _log.error(
            "the reactor %s waits at %s of %s/%s: %s", name, at, parked.category, stream, parked.reason, extra=told
        )
