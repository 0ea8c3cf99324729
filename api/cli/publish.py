"""The command `refold publish`: publishes the CloudEvents of a foreign topic as facts, for as long as it runs."""

import signal
import threading
from contextlib import closing, suppress
from types import FrameType
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from refold.api.cli import exits
from refold.api.cli.output import say
from refold.api.cli.roles import share_metrics
from refold.api.cli.signals import interrupt_on_sigterm
from refold.api.embedded.servers import connected
from refold.api.http.commands.facts import find_facts
from refold.streams.domain import load_domains
from refold.streams.log.topics import ensure_topics
from refold.streams.postgres.connection import answering, connect
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.settings import Settings

if TYPE_CHECKING:
    from refold.streams.sending.foreign_topic import ForeignTopic

_POLL_S = 0.5
_QUIET = 20
"""Polls without a record after which a topic counts as read: a group's first assignment takes some seconds."""


def publish(topic: str, category: str, *, once: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Publish the CloudEvents that other systems write into a topic, as facts of a category.

    Args:
        topic: The topic's full name. Its records are CloudEvents in binary or structured mode (docs/publishing.md).
        category: DOMAIN.CATEGORY, which declares the facts.
        once: Stop when no record has come for some seconds.
    """
    interrupt_on_sigterm()
    settings = Settings.load()
    _open_doors(settings)
    settings = connected(settings)
    domains = load_domains(settings.domains)
    domain, _, short = category.partition(".")
    found = find_facts(domains, domain, short)
    with answering(), closing(connect(settings.dsn(), application_name="publish")) as db:
        bootstrap(db)
        ensure_topics(settings, domains, db)
    from refold.streams.sending.foreign_topic import ForeignTopic  # imports prometheus-client, as `_open_doors` does

    followed = ForeignTopic(settings.kafka_servers(), settings.topic_prefix, domains, found, topic)
    with followed, suppress(KeyboardInterrupt):
        _follow(followed, _stop_asked(), once=once)
    taken = followed.taken
    say(f"{taken.published} events published, {taken.refused} records refused (in {followed.refused_topic}).")
    return exits.DONE


def _open_doors(settings: Settings) -> None:
    """Name the folder of metrics before prometheus-client is imported, then open the probes, as each role does."""
    share_metrics(settings)
    if settings.probe_port is not None:
        from refold.api.http.probes import Probes

        Probes("publish", settings.probe_host, settings.probe_port).start()


def _stop_asked() -> threading.Event:
    """Set at the first Ctrl-C or SIGTERM: the records in hand are taken and committed. The second one interrupts."""
    asked = threading.Event()

    def ask(_: int, __: FrameType | None) -> None:
        asked.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    return asked


def _follow(followed: "ForeignTopic", stop: threading.Event, *, once: bool) -> None:
    from refold.streams.worker.taking_part import HERE

    HERE.begins("publish", followed, [followed])
    quiet = 0
    while not stop.is_set() and not (once and quiet >= _QUIET):
        HERE.turns()
        quiet = 0 if followed.step(_POLL_S) else quiet + 1
    HERE.stops()
