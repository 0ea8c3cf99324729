"""What the routes for operators need of the world."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """Whether something that this process needs is there."""

    name: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True)
class OperationServices:
    """For probes and metrics."""

    ready: Callable[[], Awaitable[list[Check]]]
    metrics: Callable[[], bytes]
