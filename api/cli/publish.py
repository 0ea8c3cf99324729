"""The command `refold publish`: publishes the CloudEvents of a foreign topic as facts, for as long as it runs."""

from contextlib import closing, suppress
from typing import Annotated

from cyclopts import Parameter

from refold.api.cli import exits
from refold.api.cli.output import say
from refold.api.cli.signals import interrupt_on_sigterm
from refold.api.embedded.servers import connected
from refold.api.http.commands.facts import find_facts
from refold.streams.domain import load_domains
from refold.streams.log.topics import ensure_topics
from refold.streams.postgres.connection import answering, connect
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.sending.foreign_topic import ForeignTopic
from refold.streams.settings import Settings

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
    settings = connected(Settings.load())
    domains = load_domains(settings.domains)
    domain, _, short = category.partition(".")
    found = find_facts(domains, domain, short)
    with answering(), closing(connect(settings.dsn(), application_name="publish")) as db:
        bootstrap(db)
        ensure_topics(settings, domains, db)
    followed = ForeignTopic(settings.kafka_servers(), settings.topic_prefix, domains, found, topic)
    with followed, suppress(KeyboardInterrupt):
        _follow(followed, once=once)
    taken = followed.taken
    say(f"{taken.published} events published, {taken.refused} records refused (in {followed.refused_topic}).")
    return exits.DONE


def _follow(followed: ForeignTopic, *, once: bool) -> None:
    quiet = 0
    while not once or quiet < _QUIET:
        quiet = 0 if followed.step(_POLL_S) else quiet + 1
