"""Runs the reactors of all domains as a process, up to the core's positions."""

import logging
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import closing

import psycopg

from refold.schemas.errors import NewerSchema, RefoldError
from refold.streams import journal
from refold.streams.domain import Domains, load_domains
from refold.streams.errors import StillUnreadable
from refold.streams.log.continuity import check_continuity
from refold.streams.log.history import History
from refold.streams.log.topics import ensure_topics, follow_log
from refold.streams.log.waiting import when_kafka_answers
from refold.streams.postgres.connection import Database, answering, connect_patiently
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.reactors import store
from refold.streams.reactors.declared import declared_reactors
from refold.streams.reactors.fold import ReactorsFold
from refold.streams.reactors.release import Release
from refold.streams.reactors.sender import MOST_UNDER_WAY, Sender
from refold.streams.sending.producer import Producer
from refold.streams.settings import Settings
from refold.streams.worker.taking_part import HERE

_log = logging.getLogger(__name__)

_NEWER_S = 30.0
_PACE_S = 0.1
"""Least seconds between two transactions. Nobody waits for a reaction, so the CPU is left to processes that answer somebody."""


def main(settings: Settings) -> None:
    """React until told to stop. Raises LogRefused if the log is not the one from which the tables were folded."""
    from refold.streams.worker.agents import FoldKind, run_fold  # loads Faust, which only this process needs

    if declared_reactors(load_domains(settings.domains)):
        threading.Thread(target=_go_on_for_ever, args=(settings,), name="newer", daemon=True).start()
        run_fold(settings, [reactors_fold(settings)], FoldKind(pace_s=_PACE_S))
    else:
        _log.info("no configured domain has reactors: nothing to do")
        HERE.has_nothing_to_do("no configured domain has reactors")
        _wait_to_be_stopped()


def reactors_fold(settings: Settings) -> ReactorsFold:
    """Make the reactors' fold, after making tables and checking topics."""
    domains = load_domains(settings.domains)
    with answering(), connect_patiently(settings.dsn(), application_name="reactors-start") as db:
        bootstrap(db)
        when_kafka_answers(lambda: ensure_topics(settings, domains, db))
        when_kafka_answers(lambda: check_continuity(settings, domains, db))
    sending = sender(settings, domains)
    sending.open()
    return ReactorsFold(settings, domains, declared_reactors(domains), sending)


def _go_on_for_ever(settings: Settings) -> None:
    """Release streams that older processes parked at events of newer code, again and again: this may be that code."""
    while True:
        try:
            with answering(), connect_patiently(settings.dsn(), application_name="reactors-newer") as db:
                bootstrap(db)
                if streams := [(c, s) for c, s, code in store.all_parked(db) if code == NewerSchema.code]:
                    go_on(settings, db, streams)
        except (RefoldError, psycopg.Error) as problem:
            _log.warning(
                "reactors: streams that wait for newer code will be checked later: %s",
                problem,
                extra=journal.about(problem),
            )
        time.sleep(_NEWER_S)


def go_on(settings: Settings, db: Database, streams: Sequence[tuple[str, str]]) -> None:
    """Release streams that waited for newer code, if this code can read them; the others go on waiting."""
    domains = load_domains(settings.domains)
    follow_log(settings, domains)
    with (
        closing(History(settings.kafka_servers(), settings.topic_prefix, domains)) as history,
        closing(sender(settings, domains)) as sending,
    ):
        release = Release(db, settings.topic_prefix, domains, history, sending)
        for category, stream in streams:
            try:
                release.release(category, stream, declared_reactors(domains))
                _log.info("reactors: %s %s goes on: this code can read its event", category, stream)
            except (StillUnreadable, NewerSchema) as problem:
                _log.warning(
                    "reactors: %s %s waits still: %s", category, stream, problem.message, extra=journal.about(problem)
                )


def sender(settings: Settings, domains: Domains) -> Sender:
    """Make the sender of the reactors' commands."""
    return Sender(
        lambda: Producer(settings.kafka_servers(), settings.topic_prefix, domains, queue_records=MOST_UNDER_WAY)
    )


def _wait_to_be_stopped() -> None:
    """Wait for a signal: a process that ended by itself would be started again."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
