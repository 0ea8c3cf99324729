"""The interfaces that a handler uses: tables to read and a log to append to. The simulation has its own of both."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from refold.streams.chunk import Place
from refold.streams.rules.effects import StoredStream
from refold.streams.rules.judge import ClaimState


class Away(Exception):
    """A server does not answer; the caller repeats the call later."""


@dataclass(frozen=True)
class Wanted:
    """The rows that a batch of one partition needs: the partition's own, and those of some outcomes and streams."""

    category: str
    part: int
    keys: Sequence[bytes]
    streams: Collection[str]


@dataclass(frozen=True)
class Snapshot:
    """A partition's row, and at least those of the wanted outcomes and streams that exist; all of the same moment."""

    row: ClaimState | None
    outcomes: Collection[bytes]
    streams: Mapping[str, StoredStream]


class HandlerTables(Protocol):
    """The core's tables as a handler reads them. Every method may raise Away."""

    def claims(self, places: Iterable[Place]) -> Mapping[Place, ClaimState]:
        """Rows by (category, partition)."""

    def snapshots(self, wanted: Sequence[Wanted]) -> Sequence[Snapshot]:
        """All rows that a batch of each partition needs. Those of one partition are of ONE moment."""

    def refold(self, category: str, stream: str, version: int) -> Any:
        """A stream's state from the log, if other code folded the stored one. Raises Undecodable or its NewerSchema."""

    def close(self) -> None:
        """Release everything: the process ends."""


class EventLog(Protocol):
    """A log that keeps the order of appends in each partition."""

    def append(self, category: str, part: int, key: bytes | None, value: bytes) -> None:
        """Queue one record."""

    def fits(self, category: str, key: bytes, value: bytes) -> bool:
        """Whether the log may take a record of this size. It refuses again every size that it has refused before."""

    def failed(self) -> bool:
        """Whether an append failed since the last call: records appended after it may be void."""

    def discard(self) -> None:
        """Drop queued records; those that were sent already may still arrive."""
