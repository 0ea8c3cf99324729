"""Whether this process can do its work, as it was found a moment ago: a probe is answered at once, whatever the servers do."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from refold.api.http.describe.services import Check
from refold.schemas.errors import RefoldError
from refold.streams import journal

Asked = Callable[[], Awaitable[Check]]
ANSWER_S = 0.2
"""How long a probe waits for what is being looked at."""
_LOOK_S = 1.0
_STALE_S = 5.0
"""A server that keeps us waiting longer is away, whatever it said before."""
_log = logging.getLogger(__name__)


@dataclass
class _Known:
    """What is known of one server. Times are the loop's, in seconds."""

    began: float
    check: Check | None = None
    looking: asyncio.Task[None] | None = None


class Readiness:
    """Looks at each server in the background, each by itself: one that hangs holds up no other."""

    def __init__(self, asked: Mapping[str, Asked]) -> None:
        """`asked`: by the name of each check, how it is made."""
        self._asked = asked
        self._known: dict[str, _Known] = {}
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._look_for_ever(), name="readiness")

    async def close(self) -> None:
        """Stop looking."""
        looking = [known.looking for known in self._known.values() if known.looking is not None]
        for task in (self._task, *looking):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def checks(self) -> list[Check]:
        """What is so now, if that is found in ANSWER_S, else what was found last. Never raises, never waits longer."""
        self._look()
        now = asyncio.get_running_loop().time()
        waited = {known.looking: now - known.began for known in self._known.values() if known.looking is not None}
        # One that has been waited for as long is not waited for again by each probe.
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
        """Ask each that is not being asked."""
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

    async def _look_for_ever(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(_LOOK_S)
