"""Measures how fast the core folds an existing log: `python -m benchmarks.core [--weeks 53]`. Last line JSON.

It runs the shipped process, with its reading and Postgres's work. The same run measures on the same topics a raw
consume by confluent-kafka, and the fold as a plain loop that reads and commits by turns.
"""

import argparse
import json

from benchmarks.commands import prepare
from benchmarks.rebuild import fold_core, raw_consume
from benchmarks.workers import Pace, working
from benchmarks.year import fresh_database, servers_with_log
from refold.streams.settings import Settings


def fresh(settings: Settings, name: str) -> Settings:
    """The settings of the same log with a database of empty tables."""
    found = settings.with_servers(settings.kafka_servers(), fresh_database(settings.dsn(), name))
    prepare(found)
    return found


def fold(settings: Settings, records: int) -> Pace:
    """Fold all records in the core's process."""
    with working(settings, "core") as workers:
        return workers.wait(("core",), records)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weeks", type=int, default=53)
    arguments = parser.parse_args()
    with servers_with_log(arguments.weeks) as (settings, records):
        raw = raw_consume(settings, records)
        pace = fold(fresh(settings, "bench_process"), records)
        loop = fold_core(fresh(settings, "bench_loop"), records)
    pace.print("core")
    print(
        json.dumps(
            {
                "core_records_per_s": round(pace.per_s),
                "one_after_another_per_s": round(loop),
                "raw_consume_per_s": round(raw),
                "cpu_us_a_record": {role: round(s / pace.records * 1e6, 1) for role, s in pace.cpu.items()},
                "records": records,
            }
        )
    )


if __name__ == "__main__":
    main()
