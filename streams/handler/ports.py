"""What a handler needs of the world: tables to read, a log to append to. The simulation has its own of both."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from refold.streams.chunk import Place
from refold.streams.rules.effects import StoredStream
from refold.streams.rules.judge import ClaimState


class Away(Exception):
    """A server does not answer; the same call is made again later."""


@dataclass(frozen=True)
class Snapshot:
    """A partition's row, and of the asked outcomes and streams those that exist; all of the same moment."""

    row: ClaimState | None
    outcomes: set[bytes]
    streams: dict[str, StoredStream]


class HandlerTables(Protocol):
    """The core's tables as a handler reads them. Every method may raise Away."""

    def claims(self, places: Iterable[Place]) -> Mapping[Place, ClaimState]:
        """Rows by (category, partition)."""

    def snapshot(self, category: str, part: int, keys: Sequence[bytes], streams: Iterable[str]) -> Snapshot:
        """Everything for a batch of decisions, of ONE moment."""

    def refold(self, category: str, stream: str, version: int) -> Any:
        """A stream's state from the log, where the stored one was folded by other code. Raises Undecodable (NewerSchema among them)."""

    def close(self) -> None:
        """The process ends."""


class EventLog(Protocol):
    """Appends in order, per partition."""

    def append(self, category: str, part: int, key: bytes | None, value: bytes) -> None:
        """Queue one record."""

    def fits(self, category: str, key: bytes, value: bytes) -> bool:
        """Whether the log may take a record of this size; what it refused once for its size it always refuses."""

    def failed(self) -> bool:
        """Whether an append failed since this was last asked: what was appended behind it may be void."""

    def discard(self) -> None:
        """Drop what is queued; what is under way may still arrive."""
