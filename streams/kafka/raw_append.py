"""Appends whole record batches to given partitions. The broker sets the first offset and changes no record."""

import asyncio
from collections.abc import Sequence

from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.produce import ProduceRequest
from confluent_kafka import KafkaError as BrokerError

from refold.streams.chunk import Place
from refold.streams.kafka.leader_client import LeaderClient
from refold.streams.refusals import of_kafka

_ALL_REPLICAS = -1
_REQUEST_MS = 30_000
_PAUSE_S = 0.2


class RawAppender:
    """Appends one batch at a time, acknowledged by all replicas. One thread uses it."""

    def __init__(self, servers: str, topics: Sequence[str]) -> None:
        """Raises KafkaUnavailable."""
        self._client = LeaderClient(servers, topics)

    def append(self, place: Place, batch: bytes) -> int | None:
        """The offset of its first record, None if unknown (it may be lost). Raises KafkaRefused, KafkaUnavailable."""
        return self._client.run(self._append(place, batch))

    def close(self) -> None:
        """End all connections."""
        self._client.close()

    async def _append(self, place: Place, batch: bytes) -> int | None:
        leader = self._client.leader(place)
        if leader is None:
            return await self._look_again()
        request = ProduceRequest(None, _ALL_REPLICAS, _REQUEST_MS, [(place[0], [(place[1], batch)])])
        try:
            response = await self._client.send(leader, request)
        except KafkaError:
            return await self._look_again()
        ((_, ((_, code, base, *_),)),) = response.topics
        if not code:
            return int(base)
        if for_code(code).retriable:
            return await self._look_again()
        raise of_kafka(BrokerError(code), f"{place[0]}/{place[1]} takes no batch")

    async def _look_again(self) -> int | None:
        """Look up the leaders again, after a short wait. The fate of the batch is unknown."""
        await self._client.look_again()
        await asyncio.sleep(_PAUSE_S)
        return None
