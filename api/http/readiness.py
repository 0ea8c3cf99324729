"""Whether this process can do its work, as checked a moment ago: a probe is answered at once, even while servers are silent."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from refold.api.http.describe.services import Check
from refold.api.http.wire.tasks import ended
from refold.schemas.errors import RefoldError
from refold.streams import journal

Asked = Callable[[], Awaitable[Check]]
ANSWER_S = 0.2
"""Seconds that a probe waits for a check under way."""
_LOOK_S = 1.0
_STALE_S = 5.0
"""Seconds after which a server without an answer counts as away, whatever it answered before."""
_log = logging.getLogger(__name__)


@dataclass
class _Known:
    """The last check of one server. Times are the loop's, in seconds."""

    began: float
    check: Check | None = None
    looking: asyncio.Task[None] | None = None


class Readiness:
    """Checks each server in the background by a task of its own: one that hangs holds up no other."""

    def __init__(self, asked: Mapping[str, Asked]) -> None:
        """`asked`: the function of each check, by its name."""
        self._asked = asked
        self._known: dict[str, _Known] = {}
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._look_on(), name="readiness")

    async def close(self) -> None:
        """Stop looking."""
        looking = [known.looking for known in self._known.values() if known.looking is not None]
        for task in (self._task, *looking):
            await ended(task)

    async def checks(self) -> list[Check]:
        """The state now, if a check ends within ANSWER_S, else the last known one. Never raises, never waits longer."""
        self._look()
        now = asyncio.get_running_loop().time()
        waited = {known.looking: now - known.began for known in self._known.values() if known.looking is not None}
        # A check that a probe has waited for as long is not waited for again by the next.
        if looking := [task for task, seconds in waited.items() if seconds < ANSWER_S]:
            await asyncio.wait(looking, timeout=ANSWER_S)
        return [self._said(name, known) for name, known in self._known.items()]

    def _said(self, name: str, known: _Known) -> Check:
        waited = asyncio.get_running_loop().time() - known.began
        hangs = known.looking is not None and not known.looking.done()
        if known.check is not None and not (hangs and waited > _STALE_S):
            return known.check
        return Check(name, ok=False, detail=f"no answer for {waited:.1f} s")

    def _look(self) -> None:
        """Begin each check that is not under way."""
        for name, asked in self._asked.items():
            known = self._known.get(name)
            if known is None:
                known = self._known[name] = _Known(0.0)
            if known.looking is None or known.looking.done():
                known.began = asyncio.get_running_loop().time()
                known.looking = asyncio.create_task(self._ask(name, asked, known), name=f"readiness-{name}")

    async def _ask(self, name: str, asked: Asked, known: _Known) -> None:
        try:
            known.check = await asked()
        except RefoldError as problem:
            known.check = Check(name, ok=False, detail=f"{problem.code}: {problem.message}")
        except Exception as problem:
            _log.exception("%s cannot be looked at", name, extra=journal.about(of=name))
            known.check = Check(name, ok=False, detail=f"{type(problem).__name__}: {problem}")

    async def _look_on(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(_LOOK_S)
