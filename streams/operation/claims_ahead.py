"""Finds partitions whose newest claim is not folded yet: the handler waits for the fold, and commands for the handler.

Until a claim is folded, only an outdated handler may append after it. So the search reads only the very end of the log.
"""

from collections.abc import Iterable

from confluent_kafka import Consumer, TopicPartition

from refold.schemas.codec import read_envelope
from refold.schemas.errors import Undecodable
from refold.schemas.meta import Claim
from refold.streams.chunk import Place
from refold.streams.kafka import clients
from refold.streams.kafka.messages import sound
from refold.streams.operation.lag import Lag

_LAST = 16
_ASK_S = 5.0


def waiting(servers: str, lags: Iterable[Lag]) -> list[Place]:
    """The partitions of events whose end holds a claim that the core has not reached."""
    behind = [lag for lag in lags if lag.group == "core" and lag.records]
    if not behind:
        return []
    client = clients.consumer(servers, **{"queued.min.messages": 1})
    try:
        return [(lag.topic, lag.part) for lag in behind if _holds_a_claim(client, lag)]
    finally:
        client.close()


def _holds_a_claim(client: Consumer, lag: Lag) -> bool:
    at = max(lag.position, lag.end - _LAST)
    client.assign([TopicPartition(lag.topic, lag.part, at)])
    while at < lag.end:
        message = client.poll(_ASK_S)
        if message is None:
            return False
        records, faults = sound([message])
        if faults:  # its readers stop there, and say so
            return False
        for record in records:
            at = (record.offset() or 0) + 1
            if _is_claim(record.value()):
                return True
    return False


def _is_claim(value: bytes | None) -> bool:
    try:
        return isinstance(read_envelope(value), Claim)
    except Undecodable:
        return False
