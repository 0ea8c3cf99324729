"""Measures commands decided and folded, end to end: `python -m benchmarks.commands [--weeks 4]`. Last line JSON.

The demo's commands are in the log before the clock starts, so that sending them takes no CPU from the measurement: one
handler, one core and one models process, embedded Kafka and Postgres, no API. `commands_per_s`: decided and appended by
the handler while the core is held still. `sustained_per_s`: with core and models at work, until the models show the
last command. Each command makes one event. The rival, Python's `eventsourcing`, appends baskets of ten events a call to
the same Postgres just before.
"""

import argparse
import json
import time

from benchmarks.rival import appended_per_s as rival_per_s
from benchmarks.workers import Pace, working
from benchmarks.year import fresh_database, say
from refold.api.cli.signals import interrupt_on_sigterm
from refold.api.demo.commands import commands
from refold.api.demo.receipts import open_receipts
from refold.api.demo.sending import open_producer, send
from refold.api.embedded.removal import passing_data
from refold.api.embedded.servers import Servers
from refold.streams.domain import load_domains
from refold.streams.log.topics import ensure_topics
from refold.streams.log.waiting import when_kafka_answers
from refold.streams.postgres.connection import connect
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.settings import Settings

DATABASES = ("bench_appended", "bench_sustained")
# Without the reactors: their commands would be decided among those that are counted here.
ROLES = ("handler", "core", "models")
APPENDED_WEEKS = 2  # commands a partition, fewer than a handler may have outstanding before the fold counts them
RIVAL_S = 10.0


def prepare(settings: Settings) -> None:
    """Create topics and tables."""
    with connect(settings.dsn(), application_name="bench") as db:
        bootstrap(db)
        when_kafka_answers(lambda: ensure_topics(settings, load_domains(settings.domains), db))


def fill(settings: Settings, weeks: int) -> tuple[int, float]:
    """Send the commands of some weeks; returns their number and the rate per second."""
    began = time.perf_counter()
    with open_receipts() as receipts, open_producer(settings) as producer:
        sent = send(producer, commands(receipts, weeks), lambda _: None)
    return sent, sent / (time.perf_counter() - began)


def decide_and_append(settings: Settings) -> Pace:
    """Measure the handler alone: Kafka acknowledges its records, while nothing is folded beside it."""
    prefixed = settings.model_copy(update={"topic_prefix": "appended."})
    prepare(prefixed)
    sent, _ = fill(prefixed, APPENDED_WEEKS)
    with working(prefixed, "handler", "core") as workers:
        return workers.appended(sent, "core")


def sustain(settings: Settings, weeks: int) -> tuple[Pace, int, float]:
    """Measure until commands are decided, folded and shown; returns the number sent before, and the rate per second."""
    prepare(settings)
    sent, sent_per_s = fill(settings, weeks)
    say(f"{sent:,} commands sent at {sent_per_s:,.0f}/s")
    with working(settings, *ROLES) as workers:
        # Each command of the receipts makes one record: an event or a rejection.
        return workers.wait(("core", "models"), sent), sent, sent_per_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    interrupt_on_sigterm()
    parser.add_argument("--weeks", type=int, default=4)
    arguments = parser.parse_args()
    with passing_data("refold-bench-commands-") as data, Servers(data, say) as servers:
        found = servers.endpoints()
        base = Settings.load({}).model_copy(update={"data": data})
        settings = [
            base.with_servers(found.kafka or "", fresh_database(found.database_url or "", n)) for n in DATABASES
        ]
        rival = rival_per_s(found.database_url or "", RIVAL_S)
        say(f"eventsourcing: {rival:,.0f} events/s")
        alone = decide_and_append(settings[0])
        alone.print("decided and appended, nothing folded beside it")
        sustained, sent, sent_per_s = sustain(settings[1], arguments.weeks)
    sustained.print("decided, folded and shown")
    profile = {role: round(seconds / sustained.records * 1e6, 1) for role, seconds in sustained.cpu.items()}
    print(
        json.dumps(
            {
                "commands_per_s": round(alone.per_s),
                "sustained_per_s": round(sustained.per_s),
                "ratio_eventsourcing": round(alone.per_s / rival, 2),
                "sustained_ratio_eventsourcing": round(sustained.per_s / rival, 2),
                "eventsourcing_events_per_s": round(rival),
                "commands": sent,
                "sent_per_s": round(sent_per_s),
                "cpu_us_a_command": profile,
                "handler_cpu_us_alone": round(alone.cpu["handler"] / alone.records * 1e6, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
