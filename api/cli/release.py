"""`refold replay release`: a parked stream goes on, once code is there that can read it."""

from contextlib import closing
from dataclasses import asdict

from refold.api.cli import exits
from refold.api.cli.output import print_json, print_table, say
from refold.projections.models_process import models_fold
from refold.projections.release import Released
from refold.projections.release import release as release_stream
from refold.streams.domain import load_domains
from refold.streams.embedded.servers import connected
from refold.streams.history import History
from refold.streams.settings import Settings
from refold.streams.topics import events_topic


def release(category: str, stream: str, *, json: bool = False) -> int:
    """Fold what waits of a parked stream into the read models, in order, and let it go on.

    Args:
        category: the stream's category, as `retail.basket`.
        stream: the stream's id.
        json: print what was done as JSON.
    """
    settings = connected(Settings.load())
    done = _released(settings, category, stream)
    if json:
        print_json([asdict(one) for one in done])
    else:
        print_table([asdict(one) for one in done])
        say(f"{category} {stream} goes on.")
    return exits.DONE


def _released(settings: Settings, category: str, stream: str) -> list[Released]:
    history = History(settings.kafka_servers(), settings.topic_prefix, load_domains(settings.domains))
    with closing(history), closing(models_fold(settings)) as fold:
        topic = events_topic(settings.topic_prefix, category)
        return release_stream(fold, topic, category, stream, history.values)
