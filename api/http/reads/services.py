"""The outside world as the routes of reads need it, and no wider."""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from refold.api.http.downloads.downloading import Downloads
from refold.api.http.reads.freshness import Seen
from refold.api.http.reads.planning.pieces import Piece
from refold.api.http.reads.positions import Positions
from refold.api.http.wire.database import Parameters, Row, Statement
from refold.api.tracing.steps import Trace
from refold.api.tracing.tracer import AskedTrace
from refold.api.unavailable import NotPrepared
from refold.projections.explaining.explainer import Asked, Explanation
from refold.projections.tables.declared import Declared, declared_of
from refold.projections.tables.serving import ServedModel
from refold.streams.domain import Domains
from refold.streams.log.history import Recorded
from refold.streams.log.state_cache import StateCache

STATE_BYTES = 16 << 20
"""Most bytes of past states that a process keeps."""

Fetch = Callable[[Statement, Parameters], Awaitable[list[Row]]]
LookUp = Callable[[bytes, Sequence[object]], Awaitable[list[Row]]]
"""A statement that finds its rows by their key."""
ReadEvents = Callable[[str, Sequence[tuple[int, int]]], Awaitable[list[Recorded]]]
OffsetAt = Callable[[str, int, int], Awaitable[int]]
InZone = Callable[[Statement, Parameters, str], Awaitable[list[Row]]]
"""As Fetch, with times read and printed in a time zone."""
Moved = Callable[[Positions, float], Awaitable[None]]


@dataclass(frozen=True)
class StreamServices:
    """Services for the history of one stream.

    `read` returns the events of a category at (partition, offset); `offset_at` the offset of the first record of a category's partition
    that was appended at some milliseconds or later, or the log's end. `states`: past states that were folded, by version.
    """

    domains: Domains
    fetch: Fetch
    read: ReadEvents
    topic_prefix: str
    offset_at: OffsetAt
    states: StateCache = field(default_factory=lambda: StateCache(STATE_BYTES))


@dataclass(frozen=True)
class ModelReads:
    """Ways to read models: pages of rows, single rows by their key, and notices of the group's positions.

    `moved` returns once the group may have reached positions, or after some seconds; `is_behind`: notices say that it has not.
    """

    fetch: Fetch
    look_up: LookUp
    moved: Moved
    is_behind: Callable[[Positions], bool]
    in_zone: InZone
    statements: dict[Hashable, Piece] = field(default_factory=dict)
    """Statements by the shape of what they ask, each composed once; emptied when other tables serve."""
    asked: dict[Hashable, Any] = field(default_factory=dict)
    """What short queries ask, read and planned once (`asking`)."""
    seen: Seen = field(default_factory=Seen)
    """When this process first saw where each model stands."""
    downloads: Downloads | None = None


async def _explains_nothing(_: Asked) -> Explanation:
    raise NotPrepared("this process explains nothing")


async def _moves_nothing(_wanted: Positions, _seconds: float) -> None:
    pass


async def _traces_nothing(_: AskedTrace) -> Trace:
    raise NotPrepared("this process traces nothing")


@dataclass(frozen=True)
class WhyServices:
    """Services for questions why, one question of a kind at a time.

    `explain` searches the log for the events behind a row, `trace` follows what came of an id. `moved`: as of `ModelReads`. `categories`: those
    that a position may name.
    """

    declared: Declared = field(default_factory=lambda: declared_of(()))
    explain: Callable[[Asked], Awaitable[Explanation]] = _explains_nothing
    trace: Callable[[AskedTrace], Awaitable[Trace]] = _traces_nothing
    moved: Moved = _moves_nothing
    categories: tuple[str, ...] = ()
    topic_prefix: str = ""


class Keeping(NamedTuple):
    """Most bytes and seconds for which answers to reads are kept in memory; none are kept if one of them is 0."""

    most_bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class ModelServices:
    """Services for read models."""

    domains: Domains
    models: Mapping[tuple[str, str], ServedModel]
    reads: ModelReads
    topic_prefix: str
    why: WhyServices = field(default_factory=WhyServices)
    keeping: Keeping = field(default_factory=Keeping)
