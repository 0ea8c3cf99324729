"""Folds the whole real log by the reference rules, makes every decision again, and compares every table.

It uses nothing of the folds under test: not the core's rules, not its columns, not the read models' declarations.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from refold.retail.schemas.basket import ItemScanned
from refold.retail.schemas.household import PointsAwarded
from refold.schemas.codec import Codec, Rejection, read_envelope
from refold.schemas.meta import Claim, Meta
from refold.streams.chunk import Chunk, Place
from refold.streams.domain import load_domains
from refold.streams.handler.decide import Incoming, decide
from refold.streams.handler.incoming import CommandReader
from refold.streams.kafka.log_reader import LogReader
from refold.streams.log.topics import commands_topic, events_topic
from refold.streams.settings import Settings
from tests.e2e.tables import query, until
from tests.simulation.reference import Domain, Reference, Violation, step

Sales = tuple[int, Decimal]
"""Lines, and what they came to."""
NOTHING: Sales = (0, Decimal(0))
DOMAINS = load_domains(["retail"])
CODEC = Codec(DOMAINS.catalog)
Pairs = dict[str, tuple[dict[Any, Any], dict[Any, Any]]]
"""Rows of tables by their keys: those that are there, and those that should be."""


@dataclass
class Truth:
    """What a log comes to. `claims` by category and partition, the rest by category and stream, or by the read model's key.

    `voids`: how many records of a place count for nothing; claims, which change no stream, are not among them.
    """

    claims: dict[tuple[str, int], tuple[int, UUID | None, int, int]] = field(default_factory=dict)
    ends: dict[Place, int] = field(default_factory=dict)
    streams: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    outcomes: dict[tuple[str, str, UUID], tuple[str | None, bytes, int, int]] = field(default_factory=dict)
    stores: dict[tuple[int, date], Sales] = field(default_factory=lambda: defaultdict(lambda: NOTHING))
    products: dict[int, Sales] = field(default_factory=lambda: defaultdict(lambda: NOTHING))
    baskets: dict[str, Sales] = field(default_factory=lambda: defaultdict(lambda: NOTHING))
    points: dict[str, tuple[int, int]] = field(default_factory=lambda: defaultdict(lambda: (0, 0)))
    refusals: dict[tuple[str, str, str, date], int] = field(default_factory=lambda: defaultdict(int))
    voids: dict[Place, int] = field(default_factory=dict)
    records: int = 0
    violations: list[str] = field(default_factory=list)

    def count(self, first: Meta, event: Any) -> None:
        """An event that took effect, of the group that begins with `first`."""
        if isinstance(event, ItemScanned):
            day = event.store_id, first.occurred_at.date()
            self.stores[day] = _added(self.stores[day], event.amount)
            self.products[event.product_id] = _added(self.products[event.product_id], event.amount)
            self.baskets[first.stream] = _added(self.baskets[first.stream], event.amount)
        if isinstance(event, PointsAwarded):
            baskets, points = self.points[first.stream]
            self.points[first.stream] = baskets + 1, points + event.points


def _added(sales: Sales, amount: Decimal) -> Sales:
    return sales[0] + 1, sales[1] + amount


def truth(settings: Settings) -> Truth:
    """Read the log to its end and fold it."""
    found = Truth()
    for category in sorted(DOMAINS.categories):
        commands = read_topic(settings, commands_topic(settings.topic_prefix, category))
        for place, chunk in read_topic(settings, events_topic(settings.topic_prefix, category)).items():
            of_it = commands[commands_topic(settings.topic_prefix, category), place[1]]
            _fold(found, category, chunk, of_it, settings.partitions)
    return found


_MOST_GROWN = 20


def assert_tables_are_the_fold_of_the_log(settings: Settings, seconds: float = 120) -> Truth:
    """Wait until core and models stand at the log's end, then compare every row with the reference; returns it.

    A log that grew meanwhile (a reactor's command, a handler's claim) is read and compared again.
    """
    until(lambda: _stand_at(settings, ends(settings)), seconds, "the folds did not reach the end of the log")
    for _ in range(_MOST_GROWN):
        want = truth(settings)
        assert want.violations == []
        until(partial(_stand_at, settings, want.ends), seconds, "the folds did not reach the end of the log")
        found = differences(settings, want)
        if not found:
            return want
        grown = {place: end for place, end in ends(settings).items() if end != want.ends.get(place, 0)}
        assert grown, found
    raise AssertionError(f"the log did not stop growing: {found}")


def differences(settings: Settings, want: Truth) -> list[str]:
    """Each table that is not what the log comes to, with a row of it as it is and as it should be."""
    models: Pairs = {
        "store_daily": (_stores(settings), want.stores),
        "product_sales": (_sales(settings, "product_sales", "product_id", "revenue"), want.products),
        "baskets": (_sales(settings, "baskets", "basket_id", "total"), want.baskets),
        "households": (_points(settings), want.points),
        "rejections": (_refusals(settings), want.refusals),
    }
    return core_differences(settings, want) + _unequal(models)


def core_differences(settings: Settings, want: Truth) -> list[str]:
    """The same of the core's tables alone, where no read models run."""
    return _unequal(
        {
            "claims": (_claims(settings), want.claims),
            "streams": (_streams(settings), want.streams),
            "outcomes": (_outcomes(settings), want.outcomes),
            "voids": (_voids(settings), want.voids),
        }
    )


def _unequal(pairs: Pairs) -> list[str]:
    found = []
    for name, (there, due) in pairs.items():
        wrong = [key for key in there.keys() | due.keys() if there.get(key) != due.get(key)]
        found += [f"{name}: {key} is {there.get(key)}, should be {due.get(key)}" for key in wrong[:1]]
    return found


def ends(settings: Settings) -> dict[Place, int]:
    """Where the log of events ends now."""
    reader = LogReader(settings.kafka_servers(), dict.fromkeys(_places(settings), 0), records=1)
    try:
        return reader.ends()
    finally:
        reader.close()


def _places(settings: Settings) -> list[Place]:
    topics = [events_topic(settings.topic_prefix, category) for category in DOMAINS.categories]
    return [(topic, part) for topic in sorted(topics) for part in range(settings.partitions)]


def read_topic(settings: Settings, topic: str) -> dict[Place, Chunk]:
    """Each partition of a topic, whole."""
    found: dict[Place, Chunk] = {}
    start = {(topic, part): 0 for part in range(settings.partitions)}
    reader = LogReader(settings.kafka_servers(), start, records=100_000, keys=True)
    try:
        end = reader.ends()
        while any(reader.next[place] < end[place] for place in start):
            for chunk in reader.poll(1.0):
                found[chunk.place] = found[chunk.place].then(chunk) if chunk.place in found else chunk
    finally:
        reader.close()
    return {place: found.get(place, Chunk(*place, 0, [], [])) for place in start}


def _fold(found: Truth, category: str, chunk: Chunk, commands: Chunk, partitions: int) -> None:
    decider = DOMAINS.deciders[category]
    incoming = _incoming(category, commands, partitions)
    codes: dict[tuple[str, UUID], str] = {}

    def redecide(first: Meta, state: Any, version: int) -> tuple[Any, ...] | None:
        decided = decide(decider, incoming[first.command_offset], state, version)
        for event in decided.events:
            found.count(first, event)
        if decided.rejection:
            codes[first.stream, first.command_id] = code = decided.rejection.code
            found.refusals[category, incoming[first.command_offset].name, code, first.occurred_at.date()] += 1
        return None if decided.rejection else decided.events

    now, claims = Reference(), 0
    domain = Domain(redecide, decider.evolve, decider.initial, prefixes=False)
    for value in chunk.values:
        envelope = read_envelope(value)
        body = CODEC.read_event(value)[1] if isinstance(envelope, Meta) else None
        claims += isinstance(envelope, Claim)
        try:
            now = step(now, envelope, None if isinstance(body, Rejection) else body, domain)
        except Violation as violation:
            found.violations.append(f"{category}/{chunk.part}: {violation}")
            break
    found.records += len(chunk.values)
    found.ends[chunk.place] = chunk.end
    counted = sum(max(effect.events, 1) for effect in now.outcomes.values())
    if void := len(chunk.values) - claims - counted - len(now.pending):
        found.voids[chunk.place] = void
    if chunk.values:
        found.claims[category, chunk.part] = now.epoch, now.writer, now.next_seq, now.last_command
    found.streams.update({(category, stream): row for stream, row in now.streams.items()})
    for (stream, command), effect in now.outcomes.items():
        code = codes.get((stream, command))
        found.outcomes[category, stream, command] = code, effect.body, effect.base, effect.events


def _incoming(category: str, commands: Chunk, partitions: int) -> Sequence[Incoming]:
    """The commands of a partition by their offset."""
    return CommandReader(CODEC, category, partitions).read(commands)


def _stand_at(settings: Settings, want: dict[Place, int]) -> bool:
    """Whether core and models have folded so far; a group that a kill left open is passed once the next claim is there."""
    for group in ("core", "models"):
        rows = query(settings, f"SELECT topic, part, next_offset FROM refold.positions WHERE grp = '{group}'")
        stands = {(str(topic), int(str(part))): int(str(at)) for topic, part, at in rows}
        if any(stands.get(place, 0) < end for place, end in want.items()):
            return False
    return True


def _claims(settings: Settings) -> dict[tuple[str, int], tuple[Any, ...]]:
    rows = query(settings, "SELECT category, part, epoch, writer, next_seq, last_command_offset FROM refold.claims")
    return {(str(category), int(str(part))): tuple(rest) for category, part, *rest in rows}


def _streams(settings: Settings) -> dict[tuple[str, str], tuple[Any, ...]]:
    rows: list[Any] = query(settings, "SELECT category, stream, version, state FROM refold.streams")
    return {(name, stream): (version, DOMAINS.deciders[name].load(state)) for name, stream, version, state in rows}


def _outcomes(settings: Settings) -> dict[tuple[str, str, UUID], tuple[Any, ...]]:
    rows: list[Any] = query(
        settings, "SELECT category, stream, command_id, code, body_hash, base_version, events FROM refold.outcomes"
    )
    return {(name, stream, command): tuple(rest) for name, stream, command, *rest in rows}


def _voids(settings: Settings) -> dict[Place, int]:
    rows = query(
        settings, "SELECT topic, part, sum(last_offset - first_offset + 1)::int FROM refold.voids GROUP BY 1, 2"
    )
    return {(str(topic), int(str(part))): int(str(number)) for topic, part, number in rows}


def _stores(settings: Settings) -> dict[Any, tuple[Any, ...]]:
    rows = query(settings, "SELECT store_id, day, lines, revenue FROM retail.store_daily WHERE lines > 0")
    return {(store, day): tuple(rest) for store, day, *rest in rows}


def _sales(settings: Settings, model: str, key: str, money: str) -> dict[Any, tuple[Any, ...]]:
    rows = query(settings, f"SELECT {key}, lines, {money} FROM retail.{model} WHERE lines > 0")
    return {name: tuple(rest) for name, *rest in rows}


def _points(settings: Settings) -> dict[Any, tuple[Any, ...]]:
    rows = query(settings, "SELECT household_id, baskets::int, points::int FROM retail.households WHERE baskets > 0")
    return {household: tuple(rest) for household, *rest in rows}


def _refusals(settings: Settings) -> dict[Any, int]:
    rows: list[Any] = query(settings, "SELECT category, command, code, day, commands::int FROM retail.rejections")
    return {tuple(key): number for *key, number in rows}
