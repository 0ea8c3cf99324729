"""Follows a command: reads it and its events, names the rows that these change, and asks the reactors for their answers, within bounds."""

import time
from collections.abc import Sequence
from uuid import UUID

from confluent_kafka import Consumer

from refold.api.tracing.finding import PendingCommand, outcomes_by_key
from refold.api.tracing.steps import (
    ACCEPTED,
    PARKED,
    PENDING,
    REJECTED,
    WAITING,
    OutcomeRow,
    Reaction,
    RowTouched,
    Trace,
    TracedCommand,
    TracedEvent,
)
from refold.projections.declaring.declaration import EventType, handled
from refold.projections.explaining.kept import Records
from refold.projections.explaining.recalling import recalled_records
from refold.projections.explaining.search import FoundValue
from refold.projections.explaining.steps import RowRecord
from refold.projections.partials.by_rows import plan
from refold.projections.partials.row_batch import row_of
from refold.projections.partials.row_values import Row
from refold.projections.tables import builds
from refold.projections.tables.declared import Declared
from refold.projections.tables.layout import Layout
from refold.projections.tables.memories import memories_of
from refold.schemas.codec import Codec, read_meta
from refold.schemas.columns.upcast import SUB
from refold.schemas.errors import BadValue, Undecodable
from refold.schemas.identity import outcome_key
from refold.schemas.meta import Meta
from refold.streams.chunk import Place
from refold.streams.core.limits import group_positions
from refold.streams.domain import Domains
from refold.streams.errors import LogRefused
from refold.streams.kafka import clients
from refold.streams.kafka.messages import value_at
from refold.streams.log.history import History
from refold.streams.log.topics import commands_topic, events_topic
from refold.streams.postgres import set_aside
from refold.streams.postgres.connection import Database
from refold.streams.reactors import store
from refold.streams.reactors.arrived import Arrived, Readers
from refold.streams.reactors.reacting import Reacting
from refold.streams.reactors.reactor import Reactor
from refold.streams.sending.command_record import Addressed, CommandRecord
from refold.streams.settings import Settings

MOST_COMMANDS, MOST_EVENTS, DEEPEST = 200, 2_000, 40
"""Most commands and events of a trace, and commands from a root to a leaf."""
LIMIT, ABOVE, NO_CODE = "the trace's limit", "it stands further above", "no configured domain has its category"
_FEW_AT_A_TIME = {"queued.min.messages": 1, "queued.max.messages.kbytes": 8192, "fetch.wait.max.ms": 5}


class Reading:
    """The code of the domains, and the log that this code decodes. One thread uses it."""

    def __init__(self, settings: Settings, domains: Domains, declared: Declared, reactors: Sequence[Reactor]) -> None:
        self.prefix, self.categories = settings.topic_prefix, domains.categories
        self.codec, self.records = Codec(domains.catalog), Records(domains.catalog)
        self.addressed = Addressed(settings.topic_prefix, domains.catalog)
        self.history = History(settings.kafka_servers(), settings.topic_prefix, domains)
        names = {reactor.category.name for reactor in reactors}
        self.readers = {name: Readers(domains.catalog, name, reactors) for name in names}
        self.layouts: dict[EventType, list[Layout]] = {}
        for layout in declared.layouts.values():
            for kind in handled(layout.model):
                self.layouts.setdefault(kind, []).append(layout)
        self._servers, self._declared = settings.kafka_servers(), declared
        self._client: Consumer | None = None

    def close(self) -> None:
        """Give the connections back."""
        self.history.close()
        if self._client is not None:
            self._client.close()

    def command(self, category: str, part: int, offset: int) -> bytes | None:
        """A command's record; None if the log has lost it. Raises KafkaUnavailable."""
        if self._client is None:
            self._client = clients.consumer(self._servers, **_FEW_AT_A_TIME)
        try:
            return value_at(self._client, (commands_topic(self.prefix, category), part), offset)
        except LogRefused:
            return None

    def rows(self, db: Database, record: RowRecord) -> list[RowTouched]:
        """The rows of read models that an event is added to; of one that carries values once it has folded the event."""
        found = {}
        for sub, event in enumerate(record.events):
            kind = EventType(record.category, type(event))
            for layout in self.layouts.get(kind, ()):
                carried = self._carried(db, layout, record)
                if carried is None:
                    continue
                key = plan(layout, kind)[0](row_of(record.meta, event, record.offset) | {SUB: sub} | carried[sub])
                if key is None:
                    continue
                found[layout.model.domain, layout.name, key] = RowTouched(layout, key)
        return list(found.values())

    def _carried(self, db: Database, layout: Layout, record: RowRecord) -> Sequence[Row] | None:
        """What is carried to each event of the record; None if the table that serves has not folded it."""
        if not memories_of(layout):
            return [{} for _ in record.events]
        name = (layout.model.domain, layout.name)
        build = builds.serving(builds.builds(db), *name)
        if build is None or build.fingerprint != self._declared.fingerprints[name]:
            return None
        place = (*name, events_topic(self.prefix, record.category.name), record.part, record.offset)
        query = "SELECT FROM refold.model_positions(%s, %s) WHERE topic = %s AND part = %s AND next_offset > %s"
        if db.execute(query, place).fetchone() is None:
            return None
        return recalled_records(db, layout, build, [record])[0].carried


class Following:
    """Follows the commands of one trace. `seen`: category, stream and id of each command so far."""

    def __init__(self, reading: Reading, db: Database, trace: Trace, most: int, until: float | None) -> None:
        self._reading, self._db, self._trace, self._most, self._until = reading, db, trace, most, until
        self._aside = set_aside.load(db, _groups(db))
        self._answered, self._parked = group_positions(db, "reactors"), store.parked(db)
        self._events = 0
        self.seen: set[tuple[str, str, UUID]] = set()

    def pending(self, found: PendingCommand) -> TracedCommand:
        """A command that is not decided."""
        meta = found.meta
        node = TracedCommand(meta.category, meta.stream, meta.command_id, PENDING, meta=meta)
        self._say(node, found.value)
        return node

    def command(self, row: OutcomeRow, depth: int) -> TracedCommand:
        """A decided command with all that came of it."""
        status = ACCEPTED if row.code is None else REJECTED
        node = TracedCommand(row.category, row.stream, row.command_id, status, row)
        name = (row.category, row.stream, row.command_id)
        node.cut = self._cut(name, depth)
        if node.cut is not None:
            return node
        self.seen.add(name)
        meta = self._read_events(node, row)
        if meta is not None:
            node.meta = meta
            if meta.command_offset not in self._aside.get(self._commands(row), {}):
                self._say(node, self._reading.command(row.category, row.part, meta.command_offset))
        for event, reaction, found in self._answers(node):
            event.reactions.append(reaction)
            if found is not None:
                reaction.command = self.command(found, depth + 1)
        return node

    def _commands(self, row: OutcomeRow) -> Place:
        return commands_topic(self._reading.prefix, row.category), row.part

    def _cut(self, name: tuple[str, str, UUID], depth: int) -> str | None:
        if name in self.seen:
            return ABOVE
        if name[0] not in self._reading.categories:
            return NO_CODE
        is_late = self._until is not None and time.monotonic() > self._until
        if len(self.seen) >= self._most or self._events >= MOST_EVENTS or depth >= DEEPEST or is_late:
            if LIMIT not in self._trace.cut:
                self._trace.cut.append(LIMIT)
            return LIMIT
        return None

    def _read_events(self, node: TracedCommand, row: OutcomeRow) -> Meta | None:
        """Add the command's events to the node; returns the envelope of its first record."""
        if row.code is not None:
            (value,) = self._values(row.category, [(row.part, row.first_offset)])
            return read_meta(value)
        upto = row.base_version + row.events
        places = self._reading.history.offsets(self._db, row.category, row.stream, after=row.base_version, upto=upto)
        self._events += len(places)
        values = self._values(row.category, places)
        for version, ((part, offset), value) in enumerate(zip(places, values, strict=True), row.base_version + 1):
            record = self._reading.records.read(FoundValue(row.category, part, offset, value or b""))
            node.events.append(TracedEvent(part, offset, version, record, self._rows(record)))
        return read_meta(values[0]) if values else None

    def _rows(self, record: RowRecord | None) -> list[RowTouched]:
        try:
            return [] if record is None else self._reading.rows(self._db, record)
        except Undecodable:
            return []

    def _values(self, category: str, places: list[tuple[int, int]]) -> list[bytes | None]:
        """The records; of one that is set aside the bytes that nobody decodes."""
        topic = events_topic(self._reading.prefix, category)
        values = self._reading.history.values(category, places)
        return [
            value
            if value is None or offset not in self._aside.get((topic, part), {})
            else set_aside.SetAside.of(value, self._aside[topic, part][offset])
            for (part, offset), value in zip(places, values, strict=True)
        ]

    def _say(self, node: TracedCommand, value: bytes | None) -> None:
        try:
            meta, command = self._reading.codec.read_command(value)
        except (Undecodable, BadValue):
            return
        node.name, node.fields = type(command).__name__, command
        if node.meta is None:
            node.meta = meta

    def _answers(self, node: TracedCommand) -> list[tuple[TracedEvent, Reaction, OutcomeRow | None]]:
        """The reactors' answers to a command's events, with their outcomes: by the reactors' own code, which is a function of the log."""
        readers = self._reading.readers.get(node.category)
        if readers is None:
            return []
        reacting, found = Reacting(self._reading.addressed, {}, {}, self._recall), []
        for event in node.events:
            if event.record is None:
                continue
            schema = self._schema(event.record)
            reading = [] if schema is None else readers.of(schema)
            known = len(reacting.answers().records)
            record = event.record
            reacting.take(Arrived(event.part, event.offset, record.meta, record.events, reading))
            found += [(event, self._reaction(event, one)) for one in reacting.answers().records[known:]]
            found += [
                (event, Reaction(reactor.name, PARKED, code=parked.code))
                for reactor in reading
                if (parked := reacting.answers().parked.get((reactor.name, node.stream))) is not None
                and parked.first_offset == event.offset
            ]
        return self._with_outcomes(found)

    def _schema(self, record: RowRecord) -> int | None:
        writers = self._reading.codec.catalog.event_writers(record.category.name, record.stored_type)
        return writers[0].id if writers else None

    def _reaction(self, event: TracedEvent, sent: CommandRecord) -> Reaction:
        meta, command = self._reading.codec.read_command(sent.value)
        reactor = (meta.actor or "").removeprefix("reactor:").partition("/")[0]
        assert event.record is not None
        place = (events_topic(self._reading.prefix, event.record.category.name), event.part)
        parked = self._parked.get((reactor, event.record.meta.stream))
        status = PENDING if event.offset < self._answered.get(place, 0) else WAITING
        status = PARKED if parked is not None and parked <= event.offset else status
        node = TracedCommand(meta.category, meta.stream, meta.command_id, status, name=type(command).__name__)
        node.fields, node.meta = command, meta
        return Reaction(reactor, status, node)

    def _with_outcomes(
        self, found: list[tuple[TracedEvent, Reaction]]
    ) -> list[tuple[TracedEvent, Reaction, OutcomeRow | None]]:
        named = {
            outcome_key(one.command.category, one.command.stream, one.command.command_id.bytes): one
            for _, one in found
            if one.command is not None
        }
        rows = {(row.category, row.stream, row.command_id): row for row in outcomes_by_key(self._db, list(named))}
        answers = []
        for event, reaction in found:
            sent = reaction.command
            row = None if sent is None else rows.get((sent.category, sent.stream, sent.command_id))
            if row is not None:
                reaction.status = ACCEPTED if row.code is None else REJECTED
            answers.append((event, reaction, row))
        return answers

    def _recall(self, reactor: Reactor, stream: str, version: int) -> object:
        state = reactor.initial
        for page in self._reading.history.pages(self._db, reactor.category.name, stream, after=0, upto=version):
            state = reactor.fold([recorded.event for recorded in page], state)
        return state


def _groups(db: Database) -> list[str]:
    return [group for (group,) in db.execute("SELECT DISTINCT grp FROM refold.set_aside").fetchall()]
