"""Measures `refold schemas log-check` on receipts: `python -m benchmarks.log_check [--weeks 53]`. Last line JSON.

The default is a year of receipts. `ratio_raw_consume`: the speed relative to raw reads of the same topics by
confluent-kafka, one before each check and one after the last.
"""

import argparse
import json
import time
from statistics import median

from benchmarks.year import say, servers_with_log
from refold.streams.domain import load_domains
from refold.streams.log.check import check_log
from refold.streams.log.whole_log import places_of, raw_per_s
from refold.streams.postgres.connection import connect
from refold.streams.settings import Settings


def checked_per_s(settings: Settings) -> float:
    """Records per second; all of the log is decoded."""
    began = time.perf_counter()
    with connect(settings.dsn(), application_name="bench") as db:
        found = check_log(settings, load_domains(settings.domains), db, lambda _done, _whole: None)
    assert found.failed == 0
    return found.records / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weeks", type=int, default=53)
    parser.add_argument("--rounds", type=int, default=3, help="checks, each between two raw reads; medians count")
    arguments = parser.parse_args()
    with servers_with_log(arguments.weeks) as (settings, records):
        places = places_of(settings, load_domains(settings.domains))
        raws, checks = [raw_per_s(settings, places, records)], []
        for _ in range(arguments.rounds):
            checks.append(checked_per_s(settings))
            raws.append(raw_per_s(settings, places, records))
    say(
        f"raw consume {', '.join(f'{one:,.0f}' for one in raws)}/s; checks {', '.join(f'{one:,.0f}' for one in checks)}/s"
    )
    rate, raw = median(checks), median(raws)
    print(
        json.dumps(
            {
                "records_per_s": round(rate),
                "ratio_raw_consume": round(rate / raw, 3),
                "raw_consume_per_s": round(raw),
                "records": records,
            }
        )
    )


if __name__ == "__main__":
    main()
