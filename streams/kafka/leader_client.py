"""aiokafka's connections to the leaders of partitions, driven by one thread on an event loop of its own."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from refold.streams.chunk import Place
from refold.streams.errors import KafkaUnavailable
from refold.streams.kafka.aiokafka_login import of_aiokafka

_REQUEST_MS = 5_000
Result = TypeVar("Result")


class LeaderClient:
    """Sends requests to the leaders of some topics' partitions. One thread uses it."""

    def __init__(self, servers: str, topics: Sequence[str]) -> None:
        """Raises KafkaUnavailable."""
        # Not asyncio.Runner: it sets a signal handler at each run, which formats each result, megabytes of it, as a
        # text.
        self._loop = asyncio.new_event_loop()
        try:
            self._client = self.run(_connected(servers, topics))
        except KafkaError as problem:
            self._loop.close()
            raise KafkaUnavailable(f"Kafka does not answer: {problem}") from problem

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of work that uses `leader`, `send` and `look_again`."""
        return self._loop.run_until_complete(work)

    def close(self) -> None:
        """End all connections."""
        try:
            self.run(self._client.close())
        finally:
            self._loop.close()

    def leader(self, place: Place) -> int | None:
        """The node that leads a partition, None while none does."""
        leader = self._client.cluster.leader_for_partition(TopicPartition(*place))
        return leader if leader is not None and leader >= 0 else None

    async def send(self, node: int, request: Any) -> Any:
        """The answer to a request of aiokafka's. Raises aiokafka's KafkaError."""
        return await self._client.send(node, request)

    async def look_again(self) -> bool:
        """Look up the leaders again. Whether a broker answered."""
        return bool(await self._client.force_metadata_update())


async def _connected(servers: str, topics: Sequence[str]) -> AIOKafkaClient:
    """A client that knows the leaders of the topics' partitions. Raises aiokafka's KafkaError."""
    client = AIOKafkaClient(
        bootstrap_servers=servers, client_id="refold", request_timeout_ms=_REQUEST_MS, **of_aiokafka(servers)
    )
    try:
        await client.bootstrap()
        await client.set_topics(topics)
    except BaseException:
        await client.close()
        raise
    return client
