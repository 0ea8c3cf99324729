"""`refold replay release`: a parked stream goes on, once code is there that can read it."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass

from refold.api.cli import exits
from refold.api.cli.output import print_json, print_table, say
from refold.projections.errors import NotParked
from refold.projections.models_process import models_fold
from refold.projections.release import Released
from refold.projections.release import release as release_models
from refold.schemas.errors import RefoldError
from refold.streams import set_aside
from refold.streams.domain import Domains, load_domains
from refold.streams.embedded.servers import connected
from refold.streams.history import History
from refold.streams.postgres import answering, connect
from refold.streams.reactors import store
from refold.streams.reactors.declared import declared_reactors
from refold.streams.reactors.process import sender
from refold.streams.reactors.release import Release, Waited
from refold.streams.settings import Settings
from refold.streams.topics import events_topic


@dataclass(frozen=True)
class Readable:
    """Events that were set aside for the stream's state, and are no longer."""

    category: str
    stream: str
    code: str
    events: int


One = Released | Waited | Readable
Done = Sequence[One]


def release(category: str, stream: str, *, json: bool = False) -> int:
    """Let a parked stream go on: fold what waits of it into the read models, and answer what waits for reactors, in order.

    Args:
        category: the stream's category, as `retail.basket`.
        stream: the stream's id.
        json: print what was done as JSON.
    """
    settings = connected(Settings.load())
    domains = load_domains(settings.domains)
    with answering():
        connect(settings.dsn(), application_name="release").close()  # the models' fold would wait for it as workers do
        done = _each(
            lambda: _of_models(settings, domains, category, stream),
            lambda: _of_reactors(settings, domains, category, stream),
            lambda: _of_core(settings, category, stream),
        )
    rows = [asdict(one) for one in done]
    if json:
        print_json(rows)
    else:
        for kind in {type(one) for one in done}:
            print_table([row for row, one in zip(rows, done, strict=True) if isinstance(one, kind)])
        say(f"{category} {stream} goes on.")
    return exits.DONE


def _each(*releases: Callable[[], Done]) -> list[One]:
    """All of them, whatever becomes of one; then what went wrong first. Raises NotParked if the stream waits nowhere."""
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


def _of_models(settings: Settings, domains: Domains, category: str, stream: str) -> Done:
    history = History(settings.kafka_servers(), settings.topic_prefix, domains)
    with closing(history), closing(models_fold(settings)) as fold:
        topic = events_topic(settings.topic_prefix, category)
        return release_models(fold, topic, category, stream, history.values)


def _of_reactors(settings: Settings, domains: Domains, category: str, stream: str) -> Done:
    history = History(settings.kafka_servers(), settings.topic_prefix, domains)
    with (
        closing(history),
        closing(sender(settings, domains)) as sending,
        connect(settings.dsn(), application_name="reactors-release") as db,
    ):
        store.bootstrap(db)
        releasing = Release(db, settings.topic_prefix, domains, history, sending)
        return releasing.release(category, stream, declared_reactors(domains))


def _of_core(settings: Settings, category: str, stream: str) -> Done:
    """What is set aside for the core alone parks nothing; the stream's state is folded anew with the next command."""
    with connect(settings.dsn(), application_name="core-release") as db:
        reasons = set_aside.forget(db, events_topic(settings.topic_prefix, category), category, stream)
    return [Readable(category, stream, code, reasons.count(code)) for code in sorted(set(reasons))]
