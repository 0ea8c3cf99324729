"""Preconditions of an append: tables, topics, and this code's schemas in the log."""

import asyncio
import contextlib
import logging

from refold.api.http.wire.tasks import ended
from refold.api.unavailable import NotPrepared
from refold.schemas.errors import RefoldError
from refold.streams import journal
from refold.streams.domain import Domains
from refold.streams.errors import DatabaseNewer, DatabaseOlder, LogRefused
from refold.streams.log.continuity import check_continuity, check_ends
from refold.streams.log.topics import check_topics, ensure_topics
from refold.streams.operation.lag import LagReader
from refold.streams.postgres.connection import answering, connect
from refold.streams.postgres.control_tables import bootstrap, keep_up
from refold.streams.settings import Settings

_RETRY_S, _LOOK_S = 1.0, 10.0
_log = logging.getLogger(__name__)


class Preparation:
    """Tries until it succeeds, and checks again from time to time; meanwhile the API serves everything else."""

    def __init__(self, settings: Settings, domains: Domains) -> None:
        self._settings, self._domains, self._ends = settings, domains, LagReader(settings, domains).ends
        self._task: asyncio.Task[None] | None = None
        self._done = asyncio.Event()
        self.problem: RefoldError | None = NotPrepared("the API has just started")

    async def open(self) -> None:
        """Begin to try."""
        self._task = asyncio.create_task(self._try_for_ever(), name="preparation")

    async def close(self) -> None:
        """Stop trying."""
        await ended(self._task)

    def check(self) -> None:
        """Raise the obstacle, if there is one."""
        if self.problem is not None:
            raise self.problem

    async def ready(self, seconds: float) -> None:
        """Wait until there is no obstacle. Raises the obstacle if it is still there after `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._done.wait()
        self.check()

    async def _try_for_ever(self) -> None:
        while not self._done.is_set():
            try:
                await asyncio.to_thread(self._prepare)
            except RefoldError as problem:
                self._tell(problem)
                await asyncio.sleep(_LOOK_S if isinstance(problem, LogRefused) else _RETRY_S)
            except Exception as problem:
                _log.exception("the API could not be prepared")
                self.problem = NotPrepared(f"the API could not be prepared: {type(problem).__name__}: {problem}")
                await asyncio.sleep(10 * _RETRY_S)
            else:
                self.problem = None
                self._done.set()
        await self._look_again()

    async def _look_again(self) -> None:
        """Refuse commands while the log may lose records or does not belong to the tables: an acknowledged command could be lost."""
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                await asyncio.to_thread(self._look)
            except (LogRefused, DatabaseNewer, DatabaseOlder) as problem:
                self._tell(problem)
            except RefoldError as problem:  # code that needs the server reports that it is away
                _log.debug(
                    "the topics are looked at again later: %s",
                    problem.message,
                    extra=journal.about(problem, repeats=True),
                )
            except Exception:
                _log.exception("the topics cannot be looked at")
            else:
                self._put_right()

    def _prepare(self) -> None:
        with answering(), contextlib.closing(connect(self._settings.dsn(), application_name="api-prepare")) as db:
            bootstrap(db)
            ensure_topics(self._settings, self._domains, db)
            check_continuity(self._settings, self._domains, db)

    def _look(self) -> None:
        with answering(), contextlib.closing(connect(self._settings.dsn(), application_name="api-prepare")) as db:
            keep_up(db)
            check_topics(self._settings, self._domains, db)
            check_ends(self._ends, db)

    def _put_right(self) -> None:
        if self.problem is not None:
            _log.info("ready for commands again")
            self.problem = None

    def _tell(self, problem: RefoldError) -> None:
        if self.problem is None or problem.code != self.problem.code:
            _log.warning(
                "not ready for commands: %s: %s %s",
                problem.code,
                problem.message,
                problem.remedy,
                extra=journal.about(problem),
            )
        self.problem = problem
