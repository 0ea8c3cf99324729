"""Fetches record batches as the broker sends them: over aiokafka's connections, without its record objects.

librdkafka's Python binding makes an object of each record while it holds the interpreter's lock. This costs more than
decoding and folding by columns, and a replay needs only the bytes. Errors that the broker says to retry are retried
here.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import KafkaError, OffsetOutOfRangeError, ReplicaNotAvailableError, for_code
from aiokafka.protocol.fetch import FetchRequest
from confluent_kafka import KafkaError as BrokerError

from refold.streams.chunk import Place
from refold.streams.errors import LogTrimmed
from refold.streams.kafka.leader_client import LeaderClient
from refold.streams.refusals import of_kafka

_RESPONSE_BYTES = 48 << 20
_PLACE_BYTES = 1 << 20
_PAUSE_S = 0.1
_READ_UNCOMMITTED = 0


@dataclass(frozen=True, slots=True)
class Fetched:
    """Bytes of one partition: whole record batches, from the one with `position` on. The last may be cut off."""

    place: Place
    position: int
    record_set: bytes


class Fetcher:
    """Asks the partitions' leaders for record batches. One thread uses it."""

    def __init__(self, servers: str, topics: Sequence[str], *, place_bytes: int = _PLACE_BYTES) -> None:
        """`place_bytes`: most bytes that one answer has of a partition. Raises KafkaUnavailable."""
        self._turn, self.place_bytes = 0, place_bytes
        self._client = LeaderClient(servers, topics)

    def fetch(self, positions: Mapping[Place, int], seconds: float) -> list[Fetched]:
        """The batches at the positions; waits up to `seconds` for the first record. Empty while Kafka is away.

        Raises LogTrimmed if a position is not in the log, KafkaUnavailable for errors that do not pass by themselves.
        """
        return self._client.run(self._fetch(positions, seconds))

    def fetch_all(self, asked: Sequence[Mapping[Place, int]], seconds: float) -> list[list[Fetched]]:
        """`fetch` for each of some positions, all of them asked for before an answer is read."""

        async def each() -> list[list[Fetched]]:
            return list(await asyncio.gather(*(self._fetch(positions, seconds) for positions in asked)))

        return self._client.run(each())

    def close(self) -> None:
        """End all connections."""
        self._client.close()

    async def _fetch(self, positions: Mapping[Place, int], seconds: float) -> list[Fetched]:
        asked = [self._ask(node, places, positions, seconds) for node, places in self._by_leader(positions)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        found: list[Fetched] = []
        again = not asked
        for answer in answers:
            if isinstance(answer, KafkaError):
                again = True
            elif isinstance(answer, BaseException):
                raise answer
            else:
                again |= any(_judged(place, code) for place, code, _ in answer)
                found += [Fetched(place, positions[place], data) for place, code, data in answer if not code and data]
        if again:
            await self._look_again(seconds)
        return found

    def _by_leader(self, positions: Mapping[Place, int]) -> Iterator[tuple[int, list[Place]]]:
        """The places of each leader, in rotating order: a leader serves the first one however large its batch is."""
        places = list(positions)
        self._turn = (self._turn + 1) % max(1, len(places))
        leaders: defaultdict[int, list[Place]] = defaultdict(list)
        for place in places[self._turn :] + places[: self._turn]:
            leader = self._client.leader(place)
            if leader is not None:
                leaders[leader].append(place)
        return iter(leaders.items())

    async def _ask(
        self, node: int, places: Sequence[Place], positions: Mapping[Place, int], seconds: float
    ) -> list[tuple[Place, int, bytes]]:
        """Error code and record set of each place. Raises KafkaError."""
        wanted: defaultdict[str, list[tuple[int, int, int]]] = defaultdict(list)
        each = max(1, min(self.place_bytes, _RESPONSE_BYTES // len(places)))
        for topic, part in places:
            wanted[topic].append((part, positions[topic, part], each))
        request = FetchRequest(int(seconds * 1000), 1, _RESPONSE_BYTES, _READ_UNCOMMITTED, list(wanted.items()))
        response: Any = await self._client.send(node, request)
        return [((topic, row[0]), row[1], row[-1] or b"") for topic, rows in response.topics or () for row in rows]

    async def _look_again(self, seconds: float) -> None:
        """Look up the leaders again, after a short wait."""
        answered = await self._client.look_again()
        await asyncio.sleep(_PAUSE_S if answered else max(_PAUSE_S, seconds))


def _judged(place: Place, code: int) -> bool:
    """Whether to ask a partition again after this error code. Raises LogTrimmed, KafkaUnavailable, KafkaRefused."""
    if not code:
        return False
    problem = for_code(code)
    if problem is OffsetOutOfRangeError:
        raise LogTrimmed(f"{place[0]}/{place[1]}: the position is not in the log")
    if not problem.retriable and problem is not ReplicaNotAvailableError:
        raise of_kafka(BrokerError(code), f"{place[0]}/{place[1]}")
    return True
