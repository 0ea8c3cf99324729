"""Commands decided and folded, end to end: `python -m benchmarks.commands [--weeks 4]`. The last line is JSON.

The demo's commands lie in the log before the clock starts, so that sending them does not share the CPU with what is measured: one
handler, one core and one models process, embedded Kafka and Postgres, no API. The clock stops when the models show the last command.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from benchmarks.workers import working
from benchmarks.year import say
from refold.api.cli.roles import WORKERS
from refold.api.cli.signals import interrupt_on_sigterm
from refold.api.demo.commands import commands
from refold.api.demo.receipts import open_receipts
from refold.api.demo.sending import open_producer, send
from refold.projections import builds
from refold.streams.domain import load_domains
from refold.streams.embedded.removal import remove_data
from refold.streams.embedded.servers import Servers
from refold.streams.postgres import bootstrap, connect
from refold.streams.settings import Settings
from refold.streams.topics import ensure_topics


def prepare(settings: Settings) -> None:
    """Topics and tables."""
    with connect(settings.dsn(), application_name="bench") as db:
        bootstrap(db)
        builds.bootstrap(db)
        ensure_topics(settings, load_domains(settings.domains), db)


def fill(settings: Settings, weeks: int) -> tuple[int, float]:
    """Send the commands of some weeks; how many, and how many a second."""
    began = time.perf_counter()
    with open_receipts() as receipts, open_producer(settings) as producer:
        sent = send(producer, commands(receipts, weeks), lambda _: None)
    return sent, sent / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    interrupt_on_sigterm()
    parser.add_argument("--weeks", type=int, default=4)
    arguments = parser.parse_args()
    data = Path(tempfile.mkdtemp(prefix="refold-bench-commands-"))
    data.chmod(0o755)
    with Servers(data, say) as servers:
        found = servers.endpoints()
        settings = Settings.load({}).model_copy(update={"data": data})
        settings = settings.with_servers(found.kafka or "", found.database_url or "")
        prepare(settings)
        sent, sent_per_s = fill(settings, arguments.weeks)
        say(f"{sent:,} commands sent at {sent_per_s:,.0f}/s")
        with working(settings, *WORKERS) as workers:
            # Each command of the receipts comes to one record: an event or a rejection.
            pace = workers.wait(("core", "models"), sent)
    remove_data(data)
    pace.print("decided, folded and shown")
    profile = {role: round(seconds / pace.records * 1e6, 1) for role, seconds in pace.cpu.items()}
    print(
        json.dumps(
            {
                "commands_per_s": round(pace.per_s),
                "commands": sent,
                "sent_per_s": round(sent_per_s),
                "cpu_us_a_command": profile,
            }
        )
    )


if __name__ == "__main__":
    main()
