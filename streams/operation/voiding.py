"""Lets an operator void a claim: it reads what the log says of the claim, and appends a voiding.

docs/log-rules.md, rules 5 and 6, says what a voiding does.
"""

import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import refold
from refold.schemas.codec import encode_voiding, read_envelope, writable
from refold.schemas.errors import Undecodable
from refold.schemas.meta import LAST_EPOCH, Claim, Meta, Voiding
from refold.streams.chunk import Place
from refold.streams.domain import Domains
from refold.streams.errors import DeliveryFailed
from refold.streams.kafka import clients
from refold.streams.kafka.log_reader import LogReader
from refold.streams.log.stretch import read_until
from refold.streams.log.topics import events_topic
from refold.streams.log.voidings_ahead import RECORDS, SILENCE_S, controls
from refold.streams.log.whole_log import places_of
from refold.streams.operation.presence import live_processes
from refold.streams.operation.voiding_errors import VoidEvent, VoidNeedless, VoidOtherVersion, VoidPassed, VoidUnknown
from refold.streams.postgres.connection import Database
from refold.streams.rules.claims_past import ClaimsPast, Way, claims_past
from refold.streams.settings import Settings

_ACKNOWLEDGED_S = 15.0


@dataclass(frozen=True)
class Signed:
    """The operator who takes a claim out, and the reason."""

    operator: str
    reason: str


class Voidings:
    """The claims and voidings of one partition of events. Each look reads only records that are new since the last."""

    def __init__(self, settings: Settings, domains: Domains, db: Database, place: Place) -> None:
        """Raises VoidUnknown, KafkaUnavailable, LogRefused."""
        topics = [events_topic(settings.topic_prefix, name) for name in sorted(domains.categories)]
        if place[0] not in topics or place not in places_of(settings, domains):
            raise VoidUnknown(f"{place[0]}/{place[1]} is not a partition of events; topics are {', '.join(topics)}")
        self._servers, self._db, self.place = settings.kafka_servers(), db, place
        self._controls: list[tuple[int, Claim | Voiding]] = []
        self._end = 0
        self._read_on()

    def past(self) -> ClaimsPast:
        """The result of all claims and voidings by the rules."""
        return claims_past(self._controls)

    def position(self) -> int:
        """The core's position."""
        return self._position("")

    def taken_out(self, offset: int) -> int | None:
        """The offset of the voiding that took out the claim at `offset`, or None."""
        return self.past().taken_out.get(offset)

    def way(self, offset: int) -> Way:
        """The way to take out the claim at `offset`. Raises VoidUnknown, VoidNeedless, VoidEvent, VoidPassed."""
        found = next((way for way in self.past().ways() if way.counted.offset == offset), None)
        if found is None:
            raise self._why_not(offset)
        self._check_passed(found, self.position())
        return found

    def check_versions(self) -> None:
        """Raises VoidOtherVersion while a core or handler of another version runs."""
        for process in live_processes(self._db):
            if process.role in {"core", "handler"} and process.version != refold.__version__:
                told = f"the {process.role} {process.pid}@{process.host} is of version {process.version}"
                raise VoidOtherVersion(f"{told}, this command of {refold.__version__}")

    def void(self, offset: int, signed: Signed) -> int:
        """Append a voiding of the claim at `offset`, unless there is one already; give the voiding's offset.

        The core's position is locked meanwhile: no core passes the claim before its voiding is in the log, and the
        second of two operators finds the first one's voiding. Raises as `way` does, and VoidOtherVersion,
        DeliveryFailed.
        """
        self.check_versions()
        with self._db.transaction():
            position = self._position(" FOR UPDATE")
            self._read_on()
            if (done := self.taken_out(offset)) is not None:
                return done
            way = self.way(offset)
            self._check_passed(way, position)
            return self._append(way, signed)

    def _position(self, lock: str) -> int:
        row = self._db.execute(
            f"SELECT next_offset FROM refold.positions WHERE grp = 'core' AND topic = %s AND part = %s{lock}".encode(),
            self.place,
        ).fetchone()
        return int(row[0]) if row else 0

    def _check_passed(self, way: Way, position: int) -> None:
        if way.epoch is None and position > way.counted.offset:
            topic, part = self.place
            raise VoidPassed(
                f"the core stands at {position} of {topic}/{part}, behind the claim at {way.counted.offset}"
            )

    def _read_on(self) -> None:
        with closing(LogReader(self._servers, {self.place: self._end}, records=RECORDS)) as reader:
            for chunk in read_until(reader, reader.ends(), SILENCE_S):
                self._controls += controls(chunk)
                self._end = chunk.end

    def _why_not(self, offset: int) -> VoidUnknown | VoidNeedless | VoidEvent:
        where = f"{self.place[0]}/{self.place[1]}@{offset}"
        if not 0 <= offset < self._end:
            return VoidUnknown(f"{where}: the partition ends at {self._end}")
        record = self._record(offset)
        if isinstance(record, Claim):
            return VoidNeedless(f"{where}: {self._of_claim(offset, record)}")
        if isinstance(record, Meta) and not self._is_void(offset):
            kind = "an event" if record.is_event else "a rejection"
            return VoidEvent(f"{where} is {kind} of the stream {record.stream}")
        what = (
            "is of nobody"
            if record is None
            else "is a voiding"
            if isinstance(record, Voiding)
            else "is void by the rules"
        )
        return VoidNeedless(f"{where} {what}: it does not count")

    def _of_claim(self, offset: int, claim: Claim) -> str:
        past = self.past()
        if past.far is not None and claim.epoch > past.far.claim.epoch:
            return (
                f"the claim follows the one at {past.far.offset}, which put the epoch out of reach: take that one out"
            )
        if past.in_force is not None and past.in_force.offset == offset:
            return f"the claim is in force with epoch {claim.epoch}, which is within reach: the next claim ends it"
        return "the claim does not count, or another claim follows it"

    def _record(self, offset: int) -> Claim | Meta | Voiding | None:
        with closing(LogReader(self._servers, {self.place: offset}, records=1)) as reader:
            for chunk in read_until(reader, {self.place: offset + 1}, SILENCE_S):
                try:
                    return read_envelope(chunk.values[0])
                except Undecodable:
                    return None
        return None

    def _is_void(self, offset: int) -> bool:
        return (
            self._db.execute(
                "SELECT 1 FROM refold.voids WHERE topic = %s AND part = %s AND %s BETWEEN first_offset AND last_offset",
                (*self.place, offset),
            ).fetchone()
            is not None
        )

    def _append(self, way: Way, signed: Signed) -> int:
        value = encode_voiding(
            Voiding(
                voiding_id=uuid4(),
                writer=way.counted.claim.writer,
                offset=way.counted.offset,
                epoch=way.epoch,
                voided_at=datetime.now(UTC),
                operator=writable(signed.operator),
                host=socket.gethostname(),
                reason=writable(signed.reason),
            )
        )
        told: list[tuple[object, int]] = []
        client = clients.producer(self._servers, **{"message.timeout.ms": int(_ACKNOWLEDGED_S * 1000)})
        client.produce(
            self.place[0],
            value,
            partition=self.place[1],
            on_delivery=lambda error, message: told.append((error, message.offset() or 0)),
        )
        client.flush(_ACKNOWLEDGED_S + 1)
        if not told or told[0][0] is not None:
            why = told[0][0] if told else f"no answer within {_ACKNOWLEDGED_S:.0f} s"
            raise DeliveryFailed(
                f"the voiding was not acknowledged: {why}",
                "Run the same command again: a second voiding changes nothing.",
            )
        return told[0][1]


def epochs_left(state_epoch: int) -> int:
    """The number of times that a partition at this epoch can still be claimed."""
    return LAST_EPOCH - state_epoch


def voidings_of(settings: Settings, db: Database, most: int) -> Iterator[tuple[Place, int, Voiding]]:
    """The newest voidings that the core has folded, at most `most`, by place and offset."""
    ranges = db.execute(
        "SELECT topic, part, first_offset, last_offset FROM (SELECT *, sum(last_offset - first_offset + 1) OVER (ORDER BY last_offset DESC,"
        " topic, part) AS so_far FROM refold.voids WHERE reason = 'control') AS v WHERE so_far <= %s ORDER BY 1, 2, 3",
        (most,),
    ).fetchall()
    for topic, part, first, last in ranges:
        with closing(LogReader(settings.kafka_servers(), {(topic, part): first}, records=RECORDS)) as reader:
            for chunk in read_until(reader, {(topic, part): last + 1}, SILENCE_S):
                yield from ((chunk.place, at, one) for at, one in controls(chunk) if isinstance(one, Voiding))
