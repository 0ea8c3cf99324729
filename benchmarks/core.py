"""How fast the core folds a log that is there: `python -m benchmarks.core [--weeks 53] [--cores 2]`. The last line is JSON.

The shipped processes, their own reading and Postgres' work included, for each number of them; and in the same run raw consume by
confluent-kafka on the same topics.
"""

import argparse
import json

from benchmarks.rebuild import raw_consume
from benchmarks.workers import Pace, working
from benchmarks.year import fresh_database, say, servers_with_log
from refold.projections import builds
from refold.streams.postgres import bootstrap, connect
from refold.streams.settings import Settings


def fold(settings: Settings, records: int, cores: int) -> Pace:
    """All records into an empty database."""
    kafka, database = settings.kafka_servers(), fresh_database(settings.dsn(), f"bench_{cores}_cores")
    fresh = settings.with_servers(kafka, database).model_copy(update={"cores": cores})
    with connect(fresh.dsn(), application_name="bench") as db:
        bootstrap(db)
        builds.bootstrap(db)
    with working(fresh, "core") as workers:
        return workers.wait(("core",), records)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weeks", type=int, default=53)
    parser.add_argument("--cores", type=int, default=1, help="core processes, beside a run with one")
    arguments = parser.parse_args()
    with servers_with_log(arguments.weeks) as (settings, records):
        raw = raw_consume(settings, records)
        paces = {cores: fold(settings, records, cores) for cores in dict.fromkeys((1, arguments.cores))}
    for cores, pace in paces.items():
        pace.print(f"core, {cores} of it")
    fastest = max(pace.per_s for pace in paces.values())
    say(f"raw consume {raw:,.0f}/s")
    print(
        json.dumps(
            {
                "core_records_per_s": round(fastest),
                "by_cores": {cores: round(pace.per_s) for cores, pace in paces.items()},
                "cpu_us_a_record": {
                    cores: {role: round(s / pace.records * 1e6, 1) for role, s in pace.cpu.items()}
                    for cores, pace in paces.items()
                },
                "ratio_raw_consume": round(fastest / raw, 3),
                "records": records,
            }
        )
    )


if __name__ == "__main__":
    main()
