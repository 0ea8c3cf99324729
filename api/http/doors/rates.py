"""How often somebody may ask: a key or a subject by its name, whoever shows neither by the address of the connection.

A sliding window in the memory of this process, so two API processes allow twice as much.
"""

import math
import time
from typing import TYPE_CHECKING

from litestar.types import Scope

from refold.api.access_errors import AccessExtraMissing, RateExceeded

if TYPE_CHECKING:  # the package is an extra
    from limits import RateLimitItem

Headers = list[tuple[bytes, bytes]]


class Rates:
    """One bound for everybody."""

    def __init__(self, rate: str) -> None:
        """`rate`: as 600/minute. Raises AccessExtraMissing."""
        try:
            from limits import parse
            from limits.storage import MemoryStorage
            from limits.strategies import SlidingWindowCounterRateLimiter
        except ModuleNotFoundError:
            raise AccessExtraMissing("The setting `api_rate` needs the package limits.") from None
        self._bound: RateLimitItem = parse(rate)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def hit(self, who: str) -> Headers:
        """Count a request; the headers that say how many are left. Raises RateExceeded."""
        allowed = self._limiter.hit(self._bound, who)
        until, left = self._limiter.get_window_stats(self._bound, who)
        seconds = max(1, math.ceil(until - time.time()))
        told = {"RateLimit-Limit": self._bound.amount, "RateLimit-Remaining": left, "RateLimit-Reset": seconds}
        if not allowed:
            error = RateExceeded(f"more than {self._bound} were asked for by one who asks")
            error.headers = {name: str(number) for name, number in told.items()} | {"Retry-After": str(seconds)}
            raise error
        return [(name.lower().encode(), str(number).encode()) for name, number in told.items()]


def address_of(scope: Scope) -> str:
    """The other end of the connection; of a proxy, if one stands in front."""
    client = scope["client"]
    return "nobody" if client is None else client[0]
