"""Where a model stands now, asked of Postgres once for all requests that came meanwhile.

Invariant: a request is told what Postgres said to a statement that was sent after the request came, never an earlier answer. So an answer
from memory is as fresh as one from the table, and no client sees a position go back.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

import psycopg

from refold.api.http.reads.freshness import Standing, http_date
from refold.api.http.reads.model_faults import faults_said
from refold.api.http.reads.services import ModelServices
from refold.api.http.reads.standing import ALONE, standing_of, standing_values
from refold.projections.tables.served import ServedModel
from refold.schemas.errors import RefoldError

Name = tuple[str, str]
State = tuple[str, str, int, str | None]
AT_MOST_S = 0.5
"""Seconds for Postgres's word. Requests then go the ordinary way, which has its own limits and errors."""
_ALONE = ALONE.encode()


class Stands(NamedTuple):
    """Where a model stands: the headers that say so as they are sent, `modified` with `Last-Modified` or empty."""

    served: ServedModel
    state: State
    headers: bytes
    modified: bytes


Told = Callable[[Stands | None], None]
"""Takes where the model stands; None if that cannot be said. It must not raise."""


class StandingNow:
    """One model's standing. `state`: the newest that this process knows, a hint."""

    def __init__(self, models: ModelServices, name: Name) -> None:
        self._models, self._name = models, name
        self._waiting: list[Told] = []
        self._task: asyncio.Task[None] | None = None
        self._said = ""
        self._stands: Stands | None = None
        self._learned_at = 0.0
        self.state: State | None = None

    def learned(self, state: State, asked_at: float) -> State | None:
        """Note a state that a statement showed which was sent at `asked_at` or later; None if a newer one is known."""
        if state == self.state:
            return self.state
        if asked_at < self._learned_at:
            return None
        self.state, self._learned_at = state, asked_at
        return state

    def ask(self, told: Told) -> None:
        """Have `told` called with where the model stands from now on."""
        self._waiting.append(told)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._tell(), name="standing-now")

    async def _tell(self) -> None:
        told: list[Told] = []
        try:
            while self._waiting:
                told, self._waiting = self._waiting, []
                stands = await self._looked()
                told.reverse()
                while told:
                    told.pop()(stands)
        finally:  # also if the task is cancelled: nobody waits in vain
            self._task = None
            told, self._waiting = [*told, *self._waiting], []
            for one in told:
                one(None)

    async def _looked(self) -> Stands | None:
        served = self._models.models.get(self._name)
        if served is None:
            return None
        asked_at = monotonic()
        values = standing_values(served, self._models.topic_prefix)
        try:
            async with asyncio.timeout(AT_MOST_S), faults_said(self._models.reads, served):
                ((text,),) = await self._models.reads.look_up(_ALONE, values)
        except (RefoldError, psycopg.Error, TimeoutError):
            return None
        if self._models.models.get(self._name) is not served:
            return None
        return self._read(text, served, asked_at)

    def _read(self, text: str, served: ServedModel, asked_at: float) -> Stands:
        """What Postgres wrote. The same text but for the two times at its end means the same, if all of it was said before."""
        said = text.rsplit(",", 2)[0]
        if self._stands is not None and said == self._said and served is self._stands.served:
            return self._stands
        standing = standing_of(text, served, self._models.topic_prefix)
        modified = self._models.reads.seen.modified(self._name, standing)
        state = self.learned(standing.state, asked_at) or standing.state
        line = b"" if modified is None else b"last-modified: %b\r\n" % http_date(modified).encode("latin-1")
        found = Stands(served, state, _lines(standing), line)
        is_whole = modified is not None and not standing.behind  # no header depends on the time any more
        self._said, self._stands = said, found if is_whole else None
        return found


def _lines(standing: Standing) -> bytes:
    return b"".join(
        b"%b: %b\r\n" % (name.lower().encode(), value.encode("latin-1")) for name, value in standing.headers().items()
    )
