"""Writes a log as a handler would have, in minutes not hours: claims, sequence numbers, groups, versions, rejections.

One thing differs: the body hash is that of the command's number, since nothing here sends a command again.
"""

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID, uuid4, uuid5

from benchmarks.receipts import Decided, decided
from refold.schemas.codec import Codec, Rejection, encode_claim, encode_rejection
from refold.schemas.contracts import Event
from refold.schemas.identity import event_uuid
from refold.schemas.meta import RULES, Claim, Meta
from refold.streams.domain import Domains, load_domains
from refold.streams.kafka import clients
from refold.streams.kafka.partitioner import partition_of
from refold.streams.log.topics import commands_topic, events_topic
from refold.streams.settings import Settings

_COMMANDS = UUID("7c0b6f6e-7a3c-4d55-8f0e-0a5a6d3c7b12")


@dataclass
class Claimed:
    """One partition under one claim."""

    writer: UUID = field(default_factory=uuid4)
    seq: int = 0


class LogWriter:
    """Appends decided commands of new streams to the topics of events. A second writer of a log claims with a greater epoch."""

    def __init__(self, settings: Settings, domains: Domains, *, epoch: int = 1) -> None:
        self._epoch = epoch
        self._prefix, self._partitions = settings.topic_prefix, settings.partitions
        self._codec = Codec(domains.catalog)
        self._client = clients.producer(
            settings.kafka_servers(),
            **{"linger.ms": 20, "queue.buffering.max.messages": 500_000, "batch.size": 1_000_000},
        )
        self._claims: dict[tuple[str, int], Claimed] = {}
        self._versions: dict[tuple[str, str], int] = {}

    def write(self, items: Iterable[Decided]) -> int:
        """Append all items; returns the number of records, claims included."""
        written = 0
        for written, item in enumerate(items, 1):
            self._append(item)
            if written % 200_000 == 0:
                print(f"  {written:,} records written", file=sys.stderr)
        left = self._client.flush(60)
        if left:
            message = f"{left} records were not acknowledged"
            raise RuntimeError(message)
        return written + len(self._claims)

    def fill_commands(self) -> None:
        """Append as many records to the topics of commands as were decided: commands that a handler gets come after them."""
        for (category, part), claimed in self._claims.items():
            for _ in range(claimed.seq):
                self._produce_to(commands_topic(self._prefix, category), part, b"", None)
        if left := self._client.flush(60):
            message = f"{left} records were not acknowledged"
            raise RuntimeError(message)

    def _append(self, item: Decided) -> None:
        part = partition_of(item.stream.encode(), self._partitions)
        claimed = self._claims.get((item.category, part)) or self._claim(item, part)
        base = self._versions.get((item.category, item.stream), 0)
        is_event = isinstance(item.outcome, Event)
        command_id = uuid5(_COMMANDS, f"{self._epoch}/{item.category}/{part}/{claimed.seq}")
        meta = Meta(
            writer=claimed.writer,
            command_id=command_id,
            body_hash=command_id.bytes,
            event_id=event_uuid(item.category, item.stream, command_id, 0),
            category=item.category,
            stream=item.stream,
            version=base + is_event,
            base_version=base,
            seq=claimed.seq,
            index=0,
            count=1,
            command_offset=claimed.seq,
            occurred_at=item.at,
            recorded_at=item.at,
        )
        if isinstance(item.outcome, Rejection):
            value = encode_rejection(meta, item.outcome)
        else:
            value = self._codec.event(meta, item.outcome)
        claimed.seq += 1
        self._versions[item.category, item.stream] = base + is_event
        self._produce(item.category, part, value, item.stream.encode())

    def _claim(self, item: Decided, part: int) -> Claimed:
        claimed = self._claims[item.category, part] = Claimed()
        value = encode_claim(
            Claim(writer=claimed.writer, epoch=self._epoch, rules=RULES, claimed_at=item.at, host="log-writer")
        )
        self._produce(item.category, part, value, None)
        return claimed

    def _produce(self, category: str, part: int, value: bytes, key: bytes | None) -> None:
        self._produce_to(events_topic(self._prefix, category), part, value, key)

    def _produce_to(self, topic: str, part: int, value: bytes, key: bytes | None) -> None:
        while True:
            try:
                self._client.produce(topic, value, key, part)
                break
            except BufferError:
                self._client.poll(0.05)


def main() -> None:
    """Write receipts into the configured Kafka: `python -m benchmarks.log_writer WEEKS`."""
    settings = Settings.load()
    began = time.perf_counter()
    records = LogWriter(settings, load_domains(["retail"])).write(decided(int(sys.argv[1])))
    print(f"{records:,} records at {records / (time.perf_counter() - began):,.0f}/s")


if __name__ == "__main__":
    main()
