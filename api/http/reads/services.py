"""What the routes of reads need of the world, as narrow as they need it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from refold.api.http.reads.positions import Positions
from refold.api.http.wire.database import Parameters, Row, Statement
from refold.projections.tables.serving import ServedModel
from refold.streams.domain import Domains
from refold.streams.log.history import Recorded

Fetch = Callable[[Statement, Parameters], Awaitable[list[Row]]]
LookUp = Callable[[bytes, Sequence[object]], Awaitable[list[Row]]]
"""A statement that finds its rows by their key."""
ReadEvents = Callable[[str, Sequence[tuple[int, int]]], Awaitable[list[Recorded]]]
Moved = Callable[[Positions, float], Awaitable[None]]


@dataclass(frozen=True)
class StreamServices:
    """For the history of one stream: `read` gives the events at (partition, offset) of a category."""

    domains: Domains
    fetch: Fetch
    read: ReadEvents
    topic_prefix: str


@dataclass(frozen=True)
class ModelReads:
    """How read models are read: pages of rows, single rows by their key, and what is known of the group's positions.

    `moved` returns once they may have reached positions, or after so many seconds; `is_behind`: it has told that they have not.
    """

    fetch: Fetch
    look_up: LookUp
    moved: Moved
    is_behind: Callable[[Positions], bool]
    by_key: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """The statements of single rows, each composed once."""


@dataclass(frozen=True)
class ModelServices:
    """For read models."""

    domains: Domains
    models: Mapping[tuple[str, str], ServedModel]
    reads: ModelReads
    topic_prefix: str
