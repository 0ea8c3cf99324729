"""Measures how fast the log is followed live: `python -m benchmarks.live [--weeks 8] [--models four]`. Last line JSON.

The log is written beforehand. First the core runs alone from the log's start, then the models up to the core's
position, each as the process of `refold worker`, with at most 5,000 records a transaction. Beside them runs a stock
Faust agent on the same topics, which only decodes.
"""

import argparse
import json
import re
import subprocess
import sys

from benchmarks.models import SETS, chosen
from benchmarks.workers import working
from benchmarks.year import places, say, servers_with_log
from refold.api.cli.signals import interrupt_on_sigterm
from refold.projections.tables.declared import declared
from refold.streams.kafka import clients
from refold.streams.kafka.messages import watermarks
from refold.streams.log.topics import events_topic
from refold.streams.settings import Settings

STOCK_RECORDS = 60_000


def stock_faust(settings: Settings, records: int) -> float:
    """Events per second of a stock Faust agent."""
    topics = ",".join(sorted({topic for topic, _ in places(settings) if "basket" in topic}))
    command = [sys.executable, "-m", "benchmarks.stock_faust", settings.kafka_servers(), topics, str(records)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    found = re.search(r"records_per_s=([0-9.]+)", done.stdout)  # Faust prints a spinner around it
    assert found, done.stdout + done.stderr
    return float(found.group(1))


def records_read(settings: Settings) -> int:
    """Records of the topics that the declared models read."""
    topics = {events_topic(settings.topic_prefix, name) for name in declared(settings.domains).types}
    client = clients.consumer(settings.kafka_servers())
    try:
        return sum(watermarks(client, place)[1] for place in places(settings) if place[0] in topics)
    finally:
        client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    interrupt_on_sigterm()
    parser.add_argument("--weeks", type=int, default=8)
    parser.add_argument("--models", choices=SETS, default="four", help="the set of read models")
    arguments = parser.parse_args()
    with chosen(arguments.models), servers_with_log(arguments.weeks) as (settings, records):
        with working(settings, "core") as workers:
            core = workers.wait(("core",), records)
        core.print("core")
        with working(settings, "models") as workers:
            models = workers.wait(("models",), records_read(settings))
        models.print("models")
        stock = stock_faust(settings, min(STOCK_RECORDS, records // 2))
        say(f"stock Faust agent, decoding only: {stock:,.0f}/s")
    slower = min(core.per_s, models.per_s)
    print(
        json.dumps(
            {
                "events_per_s": round(slower),
                "core_events_per_s": round(core.per_s),
                "models_events_per_s": round(models.per_s),
                "ratio_stock_faust": round(slower / stock, 2),
                "stock_faust_per_s": round(stock),
                "models": arguments.models,
                "records": records,
            }
        )
    )


if __name__ == "__main__":
    main()
