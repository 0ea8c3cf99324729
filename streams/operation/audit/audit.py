"""Runs an audit beside live traffic: reads the log of each partition once, up to where the tables stand at the start."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from refold.streams.chunk import Chunk, Place
from refold.streams.domain import Domains
from refold.streams.kafka.log_reader import LogReader
from refold.streams.log.stretch import read_until
from refold.streams.log.topics import category_of, commands_topic, events_topic
from refold.streams.log.whole_log import places_of
from refold.streams.operation.audit import stored
from refold.streams.operation.audit.ledger import Audit, Finding
from refold.streams.operation.audit.of_commands import CommandsAudit
from refold.streams.operation.audit.of_events import EventsAudit, clipped
from refold.streams.operation.audit.stored import Standing
from refold.streams.postgres.connection import Database
from refold.streams.settings import Settings

Progress = Callable[[int, int], None]
_RECORDS = 50_000
_SILENCE_S = 30.0


def audit(settings: Settings, domains: Domains, db: Database, progress: Progress) -> Audit:
    """Audit every partition; takes the memory of the largest one's commands. Raises LogTrimmed, LogHole, LogCorrupt."""
    return _Run(settings, db, progress).whole(domains)


@dataclass
class _Run:
    settings: Settings
    db: Database
    progress: Progress
    done: int = 0
    total: int = 0

    def whole(self, domains: Domains) -> Audit:
        found, prefix = Audit(), self.settings.topic_prefix
        standings = stored.standings(self.db, prefix)
        folded = {(at.category, at.part) for at in standings}
        there = {(category_of(prefix, topic), part) for topic, part in places_of(self.settings, domains)}
        standings += [Standing(category, part, 0, 0) for category, part in sorted(there - folded)]
        groups = stored.positions(self.db)
        ends = self._ends(standings)
        self.total = sum(at.position for at in standings) + sum(
            ends[commands_topic(prefix, at.category), at.part] for at in standings
        )
        parked = stored.parked(self.db)
        for at in standings:
            self._partition(found, at, ends, parked.get((at.category, at.part), 0))
        for category in sorted({at.category for at in standings}):
            for stream, version, number in stored.uneven_streams(self.db, category):
                topic = events_topic(prefix, category)
                found.find(
                    Finding("stream-differs", topic, None, None, f"{stream}: version {version}, {number} offsets")
                )
        _positions(found, groups, ends)
        return found

    def _partition(self, found: Audit, at: Standing, ends: dict[Place, int], parked: int) -> None:
        prefix = self.settings.topic_prefix
        of_events, of_commands = events_topic(prefix, at.category), commands_topic(prefix, at.category)
        ranges = list(clipped(stored.ranges(self.db, (of_events, at.part)), at.position))
        events = EventsAudit(found, at.category, of_events, at.part, ranges)
        end = ends[of_events, at.part]
        for chunk in self._read((of_events, at.part), min(at.position, end), keys=True):
            events.add(chunk)
        outcomes = list(stored.outcomes(self.db, at))
        events.compare_outcomes(outcomes)
        events.compare_offsets(stored.offsets(self.db, at))
        events.ledger.waiting = max(0, end - at.position)
        events.ledger.parked = parked
        found.events.append(events.ledger)
        keys = {row.key for row in outcomes}
        commands = CommandsAudit(found, at.category, of_commands, at.part, at.decided, keys)
        for chunk in self._read((of_commands, at.part), ends[of_commands, at.part], keys=False):
            commands.add(chunk)
        commands.end()
        found.commands += [commands.ledgers[sender] for sender in sorted(commands.ledgers, key=lambda name: name or "")]

    def _read(self, place: Place, end: int, *, keys: bool) -> Iterator[Chunk]:
        if end == 0:
            return
        servers = self.settings.kafka_servers()
        with closing(LogReader(servers, {place: 0}, records=_RECORDS, keys=keys)) as reader:
            for chunk in read_until(reader, {place: end}, _SILENCE_S):
                yield chunk
                self.done += len(chunk.values)
                self.progress(self.done, self.total)

    def _ends(self, standings: Sequence[Standing]) -> dict[Place, int]:
        """The log's ends, asked after the positions: none of these can be beyond its end."""
        prefix = self.settings.topic_prefix
        places = [(name(prefix, at.category), at.part) for at in standings for name in (events_topic, commands_topic)]
        with closing(LogReader(self.settings.kafka_servers(), dict.fromkeys(places, 0), records=1)) as reader:
            return reader.ends()


def _positions(found: Audit, groups: dict[str, dict[Place, int]], ends: dict[Place, int]) -> None:
    """No group is beyond the core, and the core is not beyond the log."""
    core = groups.pop("core", {})
    for place, at in sorted(core.items()):
        if at > (end := ends.get(place, at)):
            found.find(Finding("position-beyond-end", *place, at, f"the core stands at {at}, the log ends at {end}"))
    for group, places in sorted(groups.items()):
        for place, at in sorted(places.items()):
            if at > (reached := core.get(place, 0)):
                what = f"{group} stands at {at}, the core at {reached}"
                found.find(Finding("position-beyond-core", *place, at, what))
