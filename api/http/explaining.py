"""Explains rows for the API: one question at a time, in a thread, over connections of its own, so that nobody else waits for it."""

import asyncio

from refold.api.errors import TooManyWaiting
from refold.api.http.reads.services import WhyServices
from refold.api.http.wire.database import api_errors
from refold.projections.explaining.explainer import Asked, Explainer, Explanation
from refold.projections.tables.declared import Declared, declared
from refold.streams.domain import Domains
from refold.streams.log.history import History
from refold.streams.settings import Settings

TURN_S = 15.0
"""Most seconds that a question waits for its turn. Each takes a few seconds at most."""


class Explaining:
    """Made at once; connects at the first question."""

    def __init__(self, settings: Settings, domains: Domains) -> None:
        self._settings, self._domains = settings, domains
        self._declared: Declared = declared(domains.names)
        self._turn = asyncio.Lock()
        self._explainer: Explainer | None = None

    async def open(self) -> None:
        """Nothing yet."""

    async def close(self) -> None:
        """Give the connections back, once the last question is answered."""
        async with self._turn:
            if self._explainer is not None:
                await asyncio.to_thread(self._explainer.close)
                self._explainer = None

    def services(self) -> WhyServices:
        """For the routes."""
        return WhyServices(self._declared, self.explain, self._settings.topic_prefix)

    async def explain(self, asked: Asked) -> Explanation:
        """The explanation. Raises TooManyWaiting, and what a search raises."""
        try:
            async with asyncio.timeout(TURN_S):
                await self._turn.acquire()
        except TimeoutError:
            raise TooManyWaiting("other rows are being explained") from None
        return await asyncio.shield(asyncio.ensure_future(self._explain(asked)))

    async def _explain(self, asked: Asked) -> Explanation:
        """Shielded from a client that goes: a thread cannot be stopped, and its turn ends when it is done."""
        try:
            with api_errors():
                return await asyncio.to_thread(self._explained, asked)
        finally:
            self._turn.release()

    def _explained(self, asked: Asked) -> Explanation:
        if self._explainer is None:
            history = History(self._settings.kafka_servers(), self._settings.topic_prefix, self._domains)
            self._explainer = Explainer(self._settings, self._domains.catalog, self._declared, history)
        return self._explainer.explain(asked)
