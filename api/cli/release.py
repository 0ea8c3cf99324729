"""The command `refold replay release`: lets parked streams go on once installed code can read their events."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from refold.api.cli import exits
from refold.api.cli.output import print_json, print_table, say
from refold.api.embedded.servers import connected
from refold.projections.errors import NotParked
from refold.projections.live.models import ModelsFold
from refold.projections.live.parking import all_parked
from refold.projections.live.process import models_fold
from refold.projections.live.release import Released
from refold.projections.live.release import release as release_models
from refold.schemas.errors import RefoldError
from refold.streams.domain import load_domains
from refold.streams.log.history import History
from refold.streams.log.topics import events_topic
from refold.streams.postgres import set_aside
from refold.streams.postgres.connection import Database, answering, connect
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.reactors import store
from refold.streams.reactors.declared import declared_reactors
from refold.streams.reactors.process import sender
from refold.streams.reactors.reactor import Reactor
from refold.streams.reactors.release import Release, Waited
from refold.streams.settings import Settings


@dataclass(frozen=True)
class Readable:
    """Events that were set aside for the stream's state and now can be read."""

    category: str
    stream: str
    code: str
    events: int


@dataclass(frozen=True)
class Left:
    """A stream that still waits, and the reason."""

    category: str
    stream: str
    code: str
    reason: str


One = Released | Waited | Readable | Left
Done = Sequence[One]


@dataclass(frozen=True)
class Releasing:
    """Releases any number of streams with one set of connections.

    The models' fold is opened when it is first needed.
    """

    settings: Settings
    db: Database
    history: History
    reactors: Release
    declared: Sequence[Reactor]
    _folds: list[ModelsFold] = field(default_factory=list)

    def one(self, category: str, stream: str) -> list[One]:
        """Release everything that the stream waits for; a failing part does not stop the others.

        Raises the first failure, NotParked.
        """
        return _each(
            lambda: self._models(category, stream),
            lambda: self.reactors.release(category, stream, self.declared),
            lambda: self._core(category, stream),
        )

    def waiting(self) -> list[tuple[str, str]]:
        """The streams that wait for read models or reactors, except those set aside for killing a process."""
        found = {*all_parked(self.db), *store.all_parked(self.db)}
        return sorted((category, stream) for category, stream, code in found if code not in set_aside.REASONS)

    def close(self) -> None:
        """Close the models' connections."""
        for fold in self._folds:
            fold.close()

    def _models(self, category: str, stream: str) -> Done:
        if not self._folds:
            self._folds.append(models_fold(self.settings))
        topic = events_topic(self.settings.topic_prefix, category)
        return release_models(self._folds[0], topic, category, stream, self.history.values)

    def _core(self, category: str, stream: str) -> Done:
        """Forget what is set aside for the core alone.

        It parks nothing; the next command folds the stream's state again.
        """
        reasons = set_aside.forget(self.db, events_topic(self.settings.topic_prefix, category), category, stream)
        return [Readable(category, stream, code, reasons.count(code)) for code in sorted(set(reasons))]


def release(
    category: str | None = None,
    stream: str | None = None,
    *,
    all: bool = False,  # noqa: A002 - the flag is --all
    json: bool = False,
) -> int:
    """Let parked streams go on: fold their waiting events into the read models, or let reactors answer them, in order.

    Args:
        category: the stream's category, as `retail.basket`.
        stream: the stream's id.
        all: every stream that waits.
        json: print what was done as JSON.
    """
    if (category is None) != (stream is None) or all == (stream is not None):
        say("refold: name a category and a stream, or say --all")
        return exits.USAGE
    with _releasing(connected(Settings.load())) as releasing:
        done = _all(releasing) if category is None or stream is None else releasing.one(category, stream)
    _show(done, json=json)
    left = any(isinstance(one, Left) for one in done)
    if not json and not left:
        say("Nothing waits." if not done else f"{category} {stream} goes on." if category else "They go on.")
    return exits.FAILED if left else exits.DONE


@contextmanager
def _releasing(settings: Settings) -> Iterator[Releasing]:
    domains = load_domains(settings.domains)
    with answering(), connect(settings.dsn(), application_name="release") as db:
        history = History(settings.kafka_servers(), settings.topic_prefix, domains)
        with closing(history), closing(sender(settings, domains)) as sending:
            bootstrap(db)
            reactors = Release(db, settings.topic_prefix, domains, history, sending)
            with closing(Releasing(settings, db, history, reactors, declared_reactors(domains))) as releasing:
                yield releasing


def _all(releasing: Releasing) -> list[One]:
    done: list[One] = []
    for category, stream in releasing.waiting():
        try:
            done += releasing.one(category, stream)
        except NotParked:  # a worker released it meanwhile
            continue
        except RefoldError as problem:
            done.append(Left(category, stream, problem.code, problem.message))
    return done


def _show(done: Done, *, json: bool) -> None:
    rows: list[dict[str, Any]] = [asdict(one) for one in done]
    if json:
        print_json(rows)
        return
    for kind in dict.fromkeys(type(one) for one in done):
        print_table([row for row, one in zip(rows, done, strict=True) if isinstance(one, kind)])


def _each(*releases: Callable[[], Done]) -> list[One]:
    """Run all releases, then raise the first failure. Raises NotParked if the stream waits nowhere."""
    done: list[One] = []
    problems: list[RefoldError] = []
    for one in releases:
        try:
            done += one()
        except RefoldError as problem:
            problems.append(problem)
    failed = [one for one in problems if not isinstance(one, NotParked)] or ([] if done else problems)
    if failed:
        raise failed[0]
    return done
