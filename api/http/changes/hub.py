"""All streams of changes of this process: one watch for each model that somebody watches, none for any other."""

import asyncio
import contextlib
import logging
from collections import Counter
from dataclasses import dataclass, field

from prometheus_client.core import Metric

from refold.api.change_errors import ChangesOfView
from refold.api.http.changes import metrics
from refold.api.http.changes.cohorts import Start
from refold.api.http.changes.key_reader import KeyReader
from refold.api.http.changes.moment import Snapshot
from refold.api.http.changes.recall import Recall
from refold.api.http.changes.selection import Selection
from refold.api.http.changes.subscriber import Subscriber
from refold.api.http.changes.watch import OTHER_CODE, Watch, Watched
from refold.api.http.wire.notices import Notices
from refold.projections.tables.declared import Declared
from refold.projections.tables.serving import ServedModel
from refold.schemas.catalog import Catalog
from refold.streams.chunk import Place

MOST_SUBSCRIBERS = 2000
"""Streams at once of one process."""
TOO_MANY, STOPPING = "too-many-subscribers", "stopping"
_POLL_S = 1.0
_log = logging.getLogger(__name__)
Name = tuple[str, str]


@dataclass(frozen=True)
class ChangeSources:
    """What the streams are made from: the log's servers, the database and its snapshots, notices of commits, the declarations."""

    kafka: str
    database: str
    prefix: str
    snapshot: Snapshot
    notices: Notices
    catalog: Catalog
    declared: Declared


@dataclass
class Changes:
    """Subscribers by model. One event loop uses it."""

    sources: ChangeSources
    _watches: dict[Name, tuple[Watch, "asyncio.Task[None]"]] = field(default_factory=dict)
    _closing: set["asyncio.Task[None]"] = field(default_factory=set)
    _is_stopping: bool = False

    async def open(self) -> None:
        """Nothing to begin: the first subscriber does."""

    async def close(self) -> None:
        """End every watch."""
        self.stop()
        tasks = [task for _, task in self._watches.values()] + list(self._closing)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def stop(self) -> None:
        """End every stream with a reason, those to come too: clients connect again, to another process."""
        self._is_stopping = True
        for watch, _ in self._watches.values():
            for subscriber in watch.subscribers:
                subscriber.end(STOPPING, "this process stops; connect again")

    def subscribe(self, selection: Selection, start: Start) -> Subscriber:
        """A new stream; one that this process has no room for says so and ends. Raises ChangesOfView."""
        model = selection.model
        if model.reads:
            raise ChangesOfView(f"{model.domain}.{model.name} is a view over {', '.join(model.reads)}")
        found = Subscriber(model.name)
        metrics.STREAMS.labels(model.name).inc()
        if self._is_stopping:
            found.end(STOPPING, "this process stops; connect again")
        elif sum(len(watch.subscribers) for watch, _ in self._watches.values()) >= MOST_SUBSCRIBERS:
            found.end(TOO_MANY, f"{MOST_SUBSCRIBERS} streams are open here; connect again later")
        elif (model.domain, model.name) not in self.sources.declared.layouts:
            found.end(OTHER_CODE, "the table that serves is of other code than this process; connect again")
        else:
            self._watch(model).add(found, selection, start)
        return found

    def metrics(self) -> list[Metric]:
        """The streams that are open now, by model."""
        return metrics.open_now(Counter(one.model for watch, _ in self._watches.values() for one in watch.subscribers))

    def _watch(self, model: ServedModel) -> Watch:
        name = (model.domain, model.name)
        found = self._watches.get(name)
        if found is None or found[0].is_over:
            if found is not None:
                self._closing.add(found[1])
                found[1].add_done_callback(self._closing.discard)
            watch = Watch(self._watched(model))
            found = self._watches[name] = watch, asyncio.create_task(watch.run(), name=f"changes of {model.name}")
        return found[0]

    def _watched(self, model: ServedModel) -> Watched:
        of, name = self.sources, (model.domain, model.name)
        layout, fingerprint = of.declared.layouts[name], of.declared.fingerprints[name]
        recall = Recall(of.database, layout, fingerprint)
        return Watched(
            model,
            fingerprint,
            of.prefix,
            of.snapshot,
            lambda: KeyReader(of.kafka, of.prefix, of.catalog, layout, recall),
            self._moved,
            self._told,
        )

    async def _moved(self, commits: int) -> int:
        return await self.sources.notices.beyond(commits, "models", _POLL_S)

    def _told(self, place: Place) -> int | None:
        return self.sources.notices.told_of("models", place)
