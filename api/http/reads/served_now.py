"""Read models as they are served now: a table or view of other code is served with its own columns, and the answer says so.

During a deploy the table that serves may belong to older or newer code than this process. `refold.builds` and `refold.views` keep the
columns of each; this process reads them each second, and at once when a read fails.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any, TypeVar

import msgspec
from litestar import Response

from refold.api.errors import FilterInvalid, OrderInvalid, UnknownParameter
from refold.api.http.reads.planning.pieces import Piece
from refold.api.http.reads.services import Fetch, ModelServices
from refold.api.http.wire.tasks import ended
from refold.api.reading_errors import OperatorUnfit, ResourceUnknown, SelectInvalid
from refold.api.unavailable import ModelNotBuilt, NotPrepared, ReadModelFailed
from refold.projections.tables.served import ServedModel, of_json
from refold.schemas.errors import RefoldError
from refold.streams.journal import about

Name = tuple[str, str]
Served = TypeVar("Served", bound=Response[Any])
OTHER = {"Refold-Declaration": "other"}
"""Header of an answer whose rows are of another declaration than this process has."""
_LOOK_S, _JUST_S = 1.0, 0.1
_TABLE_CHANGED = (NotPrepared, ReadModelFailed)
_NAMES_A_COLUMN = (UnknownParameter, SelectInvalid, OrderInvalid, OperatorUnfit)
_MAYBE_STALE = (*_TABLE_CHANGED, *_NAMES_A_COLUMN, FilterInvalid, ResourceUnknown)
_SERVING = """
    SELECT domain, model, fingerprint, served::text, false, 1 AS nr FROM refold.builds WHERE status = 'serving'
    UNION ALL
    SELECT v.domain, v.name, v.fingerprint, v.served::text,
           EXISTS (SELECT FROM refold.view_faults f WHERE f.domain = v.domain AND f.view = v.name AND f.fingerprint = ANY(%s)), 2
      FROM refold.views v WHERE v.serving
     ORDER BY nr
"""
_FOLDED = "SELECT EXISTS (SELECT FROM refold.positions WHERE grp = 'models' AND next_offset > 0)"
_log = logging.getLogger(__name__)


class ServedNow(Mapping[Name, ServedModel]):
    """The declared read models, each with the columns of the table or view that serves."""

    def __init__(
        self,
        declared: Sequence[ServedModel],
        fingerprints: Mapping[Name, str],
        fetch: Fetch,
        statements: MutableMapping[Hashable, Piece],
    ) -> None:
        """`statements` belong to the models served now; they are emptied when that changes."""
        self._declared = {(model.domain, model.name): model for model in declared}
        self._fingerprints, self._fetch, self._statements = fingerprints, fetch, statements
        self._now: Mapping[Name, ServedModel] = dict(self._declared)
        self._missing: frozenset[Name] = frozenset()
        self._looked = 0.0
        self._task: asyncio.Task[None] | None = None

    def __getitem__(self, name: Name) -> ServedModel:
        return self._now[name]

    def __iter__(self) -> Iterator[Name]:
        return iter(self._now)

    def __len__(self) -> int:
        return len(self._now)

    @property
    def state(self) -> object:
        """Another object as soon as something else serves."""
        return self._now

    def is_other(self, name: Name) -> bool:
        """Whether the table or view that serves is of other code."""
        return self._now.get(name) != self._declared.get(name)

    def is_missing(self, name: Name) -> bool:
        """Whether this code declares the model, other models are folded, and no table of this one serves."""
        return name in self._missing

    async def open(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._look_on(), name="served-now")

    async def close(self) -> None:
        """Stop looking."""
        await ended(self._task)

    async def look_again(self, problem: Exception) -> None:
        """Look after a failed read, but rarely, since the client may have made the mistake. Raises the database's errors."""
        if isinstance(problem, _TABLE_CHANGED) or asyncio.get_running_loop().time() - self._looked > _JUST_S:
            await self.look()

    async def look(self) -> None:
        """Read from the database what serves now. Raises the database's errors."""
        rows = await self._fetch(_SERVING, (list(self._fingerprints.values()),))
        ((folded,),) = await self._fetch(_FOLDED, ())
        self._looked = asyncio.get_running_loop().time()
        now = dict(self._declared)
        for domain, name, fingerprint, served, faulty, _ in rows:  # tables come before the views that read them
            model, ours = self._declared.get((domain, name)), self._fingerprints.get((domain, name))
            if model is None or ours == fingerprint or served is None:
                continue
            waits = any(now.get((domain, read)) != self._declared.get((domain, read)) for read in model.reads)
            if waits or not faulty:  # a view that waits for its table is no fault yet
                now[domain, name] = replace(of_json(served), links=model.links)
        there = {(domain, name) for domain, name, *_ in rows}
        self._missing = frozenset(self._declared.keys() - there) if folded else frozenset()
        if now != self._now:
            self._now = now
            self._statements.clear()

    async def _look_on(self) -> None:
        while True:
            try:
                await self.look()
            except RefoldError as problem:
                _log.debug("what serves now is not known: %s", problem.message, extra=about(problem, repeats=True))
            except (ValueError, msgspec.MsgspecError):
                _log.exception("what serves now cannot be read")
            await asyncio.sleep(_LOOK_S)


def as_served(route: Callable[..., Awaitable[Served]]) -> Callable[..., Awaitable[Served]]:
    """A route of a read model that runs again if it met a table that has just changed. Raises ModelNotBuilt."""

    @wraps(route)
    async def answered(models: ModelServices, domain: str, model: str, **more: Any) -> Served:
        now = models.models
        if not isinstance(now, ServedNow):
            return await route(models=models, domain=domain, model=model, **more)
        name, before = (domain, model), now.state
        try:
            answer = await route(models=models, domain=domain, model=model, **more)
        except _MAYBE_STALE as problem:
            await now.look_again(problem)
            if now.state is not before:
                answer = await route(models=models, domain=domain, model=model, **more)
            elif isinstance(problem, NotPrepared) and now.is_missing(name):
                raise ModelNotBuilt(f"{domain}.{model} is declared, and no table of it is built yet") from problem
            elif isinstance(problem, _NAMES_A_COLUMN) and now.is_other(name):
                raise type(problem)(f"{problem.message} ({_OTHER_CODE})", *problem.faults) from problem
            else:
                raise
        if now.is_other(name):
            answer.headers.update(OTHER)
        return answer

    return answered


def of_other_code(models: ModelServices, read: Sequence[ServedModel]) -> dict[str, str]:
    """The header of an answer if one of the models that it reads is served by other code's table."""
    now = models.models
    others = isinstance(now, ServedNow) and any(now.is_other((one.domain, one.name)) for one in read)
    return OTHER if others else {}


_OTHER_CODE = "the table that serves is of another declaration than this process has"
