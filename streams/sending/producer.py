"""Sends commands to Kafka and reports truthfully what became of each. Use: `from refold.streams import Producer`."""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Self
from uuid import UUID

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import Producer as Client

from refold.schemas.contracts import Command
from refold.schemas.meta import CommandMeta
from refold.schemas.validate import in_utc
from refold.streams.domain import Domains
from refold.streams.errors import CommandTooLarge, DeliveryFailed, QueueFull
from refold.streams.kafka import clients
from refold.streams.kafka.batch_sizes import BatchSizes
from refold.streams.refusals import TOO_LARGE
from refold.streams.sending.command_record import Addressed, CommandRecord

_log = logging.getLogger(__name__)
Delivered = Callable[[DeliveryFailed | None], None]
_POLL_S = 0.05
_LET_GO_S = 60.0
_FATAL = KafkaError._FATAL  # noqa: SLF001 - public but for its name; what produce() raises has this code, and says that it is not fatal


class Producer:
    """Sends commands. Thread-safe; one producer per process is enough. `with` closes it.

    A sent command is acknowledged, failed or unknown, and never silently dropped: `flush` raises for those that failed.
    """

    def __init__(
        self,
        servers: str,
        prefix: str,
        domains: Domains,
        *,
        queue_records: int = 100_000,
        timeout_s: float = 30.0,
        linger_ms: float = 2.0,
    ) -> None:
        self._addressed = Addressed(prefix, domains.catalog)
        self._failed = Counter[str]()
        limits = {"queue.buffering.max.messages": queue_records, "queue.buffering.max.kbytes": 262_144}
        timing = {"linger.ms": linger_ms, "message.timeout.ms": int(timeout_s * 1000)}
        self._servers, self._settings = servers, limits | timing
        self._sizes = BatchSizes(servers)
        self._asking = threading.Lock()
        self._batch_bytes = clients.BATCH_BYTES
        self._too_large: CommandTooLarge | None = None
        self._client = self._new_client()
        self._ended: list[tuple[Client, float]] = []
        self._renewing = threading.Lock()
        self._closed = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="refold-producer", daemon=True)
        self._poller.start()

    def send(  # noqa: PLR0913 - named and optional but for two: a bundle would only give them a second name
        self,
        command: Command,
        *,
        command_id: UUID,
        expected_version: int | None = None,
        occurred_at: datetime | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        on_delivery: Delivered | None = None,
    ) -> None:
        """Queue one command.

        Raises BadValue for an invalid field or a time without an offset, QueueFull if the broker does not keep up,
        DeliveryFailed.
        """
        category, stream = self._addressed.target(command)
        meta = CommandMeta(
            command_id=command_id,
            category=category.name,
            stream=stream,
            occurred_at=datetime.now(UTC) if occurred_at is None else in_utc(occurred_at, "occurred_at"),
            expected_version=expected_version,
            actor=actor,
            correlation_id=correlation_id,
        )
        self.queue(self._addressed.record(meta, command), on_delivery)

    def queue(self, record: CommandRecord, on_delivery: Delivered | None = None) -> None:
        """Queue a command that is a record already. Raises QueueFull, DeliveryFailed if the client takes no records."""

        def report(error: KafkaError | None, _: Message) -> None:
            problem = self._failure(error, record, client) if error else None
            if on_delivery is not None:
                on_delivery(problem)
            elif problem is not None:
                self._failed[problem.message] += 1
                if isinstance(problem, CommandTooLarge):
                    self._too_large = problem

        client = self._client
        try:
            client.produce(record.topic, record.value, record.stream.encode(), on_delivery=report)
        except BufferError as full:
            raise QueueFull("the producer's queue is full") from full
        except KafkaException as problem:  # the topic is gone, or the client can no longer go on
            raise self._failure(problem.args[0], record, client) from problem

    def _failure(self, error: KafkaError, record: CommandRecord, client: Client) -> DeliveryFailed:
        """The reason why a record is not in the log. A record that was refused in a batch may still fit alone."""
        if error.fatal() or error.code() == _FATAL:
            self._replace(client)
        if error.code() in TOO_LARGE:
            try:
                with self._asking:
                    largest = self._sizes.of(record.topic)
            except KafkaException as unknown:
                return DeliveryFailed(f"{record.topic}: {error}; {unknown.args[0]}")
            if largest < self._batch_bytes:  # records that would fit are refused because of others in their batch
                self._batch_bytes = largest
                self._replace(client)
            if not clients.fits(largest, record.stream.encode(), record.value):
                size = clients.taken(record.stream.encode(), record.value)
                return CommandTooLarge(
                    f"{record.topic} takes {largest} bytes at once, and the command takes {size} with its envelope"
                )
        return DeliveryFailed(f"{record.topic}: {error}")

    def _replace(self, client: Client) -> None:
        """Send further records by a new client; the old one still reports on the records that it has."""
        with self._renewing:
            if self._client is client:
                _log.error("a Kafka client has failed permanently; a new one replaces it")
                self._ended.append((client, time.monotonic()))
                self._client = self._new_client()

    def _new_client(self) -> Client:
        return clients.producer(self._servers, **{**self._settings, "batch.size": self._batch_bytes})

    async def send_acked(self, command: Command, *, command_id: UUID, **envelope: object) -> None:
        """Queue one command and wait for the broker's acknowledgement. Raises DeliveryFailed, QueueFull, BadValue."""
        loop = asyncio.get_running_loop()
        acked: asyncio.Future[None] = loop.create_future()

        def settle(problem: DeliveryFailed | None) -> None:
            if acked.done():
                return
            if problem is None:
                acked.set_result(None)
            else:
                acked.set_exception(problem)

        def delivered(problem: DeliveryFailed | None) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, problem)

        self.send(command, command_id=command_id, on_delivery=delivered, **envelope)  # type: ignore[arg-type]  # the envelope's fields are those of send
        await acked

    def flush(self, seconds: float = 60.0) -> None:
        """Wait until all is acknowledged. Raises DeliveryFailed, or CommandTooLarge if that is the only failure."""
        left = sum(_left(client, seconds) for client in (*(ended for ended, _ in self._ended), self._client))
        failed, self._failed = self._failed, Counter[str]()
        too_large, self._too_large = self._too_large, None
        if too_large is not None and left + failed.total() == 1:
            raise too_large
        if left or failed:
            first = next(iter(failed), "no answer in time")
            raise DeliveryFailed(f"{left + failed.total()} commands were not acknowledged: {first}")

    def close(self) -> None:
        """Send queued commands and stop."""
        try:
            self.flush()
        finally:
            self._closed.set()
            self._poller.join(5)

    def discard(self) -> None:
        """Drop queued commands and stop; commands that were sent already may still arrive."""
        self._client.purge()
        self._closed.set()
        self._poller.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _poll(self) -> None:
        while not self._closed.is_set():
            self._let_go()
            for ended, _ in tuple(self._ended):
                _report(ended, 0)
            _report(self._client, _POLL_S)

    def _let_go(self) -> None:
        """Forget replaced clients that have no records left, once no caller can still hand them one."""
        for each in tuple(self._ended):
            client, since = each
            if time.monotonic() - since > _LET_GO_S and not len(client):
                with self._renewing:
                    self._ended.remove(each)


def _report(client: Client, seconds: float) -> None:
    """Serve a client's reports. An exception of a caller's on_delivery or of a dead client stops no other reports."""
    try:
        client.poll(seconds)
    except Exception:
        _log.exception("an on_delivery failed, or a Kafka client")


def _left(client: Client, seconds: float) -> int:
    """The number of records not acknowledged in that time. A client that has just met a fatal error raises it once."""
    try:
        return int(client.flush(seconds))
    except (KafkaException, SystemError):  # SystemError: the client calls back with its own exception set
        _log.exception("a Kafka client has failed permanently")
        return int(client.flush(seconds))
