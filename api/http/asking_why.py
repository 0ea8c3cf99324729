"""Answers why for the API: one explanation and one trace at a time, in threads, over connections of their own; nobody else waits for them."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from refold.api.errors import TooManyWaiting
from refold.api.http.reads.services import Moved, WhyServices
from refold.api.http.wire.database import api_errors
from refold.api.tracing.steps import Trace
from refold.api.tracing.tracer import AskedTrace, Tracer
from refold.projections.explaining.explainer import Asked, Explainer, Explanation
from refold.projections.tables.declared import declared
from refold.streams.domain import Domains
from refold.streams.log.history import History
from refold.streams.reactors.declared import declared_reactors
from refold.streams.settings import Settings

TURN_S = 15.0
"""Most seconds that a question waits for its turn. Each takes a few seconds at most."""
Told = TypeVar("Told")


class AskingWhy:
    """Made at once; connects at the first question."""

    def __init__(self, settings: Settings, domains: Domains) -> None:
        self._settings, self._domains, self._declared = settings, domains, declared(domains.names)
        self._explaining, self._tracing = asyncio.Lock(), asyncio.Lock()
        self._explainer: Explainer | None = None
        self._tracer: Tracer | None = None

    async def open(self) -> None:
        """Nothing yet."""

    async def close(self) -> None:
        """Give the connections back, once the last question is answered."""
        async with self._explaining, self._tracing:
            for opened in (self._explainer, self._tracer):
                if opened is not None:
                    await asyncio.to_thread(opened.close)
            self._explainer = self._tracer = None

    def services(self, moved: Moved) -> WhyServices:
        """For the routes. `moved` waits for the models' positions."""
        categories = tuple(self._domains.categories)
        return WhyServices(self._declared, self.explain, self.trace, moved, categories, self._settings.topic_prefix)

    async def explain(self, asked: Asked) -> Explanation:
        """Why a row is as it is. Raises TooManyWaiting, and what a search raises."""
        return await _in_turn(self._explaining, lambda: self._explained(asked))

    async def trace(self, asked: AskedTrace) -> Trace:
        """What came of an id. Raises as `explain`."""
        return await _in_turn(self._tracing, lambda: self._traced(asked))

    def _explained(self, asked: Asked) -> Explanation:
        if self._explainer is None:
            history = History(self._settings.kafka_servers(), self._settings.topic_prefix, self._domains)
            self._explainer = Explainer(self._settings, self._domains.catalog, self._declared, history)
        return self._explainer.explain(asked)

    def _traced(self, asked: AskedTrace) -> Trace:
        if self._tracer is None:
            reactors = declared_reactors(self._domains)
            self._tracer = Tracer(self._settings, self._domains, self._declared, reactors)
        return self._tracer.trace(asked)


async def _in_turn(turn: asyncio.Lock, answered: Callable[[], Told]) -> Told:
    try:
        async with asyncio.timeout(TURN_S):
            await turn.acquire()
    except TimeoutError:
        raise TooManyWaiting("other questions why are being answered") from None
    return await asyncio.shield(asyncio.ensure_future(_in_thread(turn, answered)))


async def _in_thread(turn: asyncio.Lock, answered: Callable[[], Told]) -> Told:
    """Shielded from a client that goes: a thread cannot be stopped, and its turn ends when it is done."""
    try:
        with api_errors():
            return await asyncio.to_thread(answered)
    finally:
        turn.release()
