"""The outside world as the routes for operators need it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """Whether something that this process needs is available."""

    name: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True)
class OperationServices:
    """Services for probes and metrics."""

    ready: Callable[[], Awaitable[list[Check]]]
    metrics: Callable[[], bytes]
