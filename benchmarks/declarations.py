"""Measures what a declaration costs a rebuild: `python -m benchmarks.declarations [--weeks 53] [--rounds 3]`. Last line JSON.

In turn, round by round, on one log of receipts: the four read models of `benchmarks.rebuild`, the same with one rollup more, the two rollups
among them, and an event table of the lines. Each is rebuilt in a process of its own and compared with the served table. Ratios are of one round.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from statistics import median

from benchmarks.models import SETS, chosen
from benchmarks.rebuild import pretend_core, rebuild
from benchmarks.year import say, servers_with_log
from refold.streams.settings import Settings


@dataclass(frozen=True)
class Rebuild:
    """One rebuild of one set of models. `whole_s`: with the comparison. `cpu_s`: of the rebuild's process, its start included."""

    events: int
    fold_s: float
    whole_s: float
    cpu_s: float
    rss_mb: int

    @property
    def per_s(self) -> float:
        """Events per second, from the first record to live tables."""
        return self.events / self.fold_s


Round = Mapping[str, Rebuild]


def rebuilt(settings: Settings, models: str, *, profiled: bool) -> Rebuild:
    """Rebuild one set of models."""
    with chosen(models), ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        report, clock, rss_mb = alone.submit(rebuild, settings).result()
        cpu_s = alone.submit(time.process_time).result()
    assert report.fell_back == 0
    assert not any(model.differing for model in report.models)
    if profiled:
        clock.print(report.seconds)
    found = Rebuild(report.events, report.fold_s, report.seconds, cpu_s, rss_mb)
    say(
        f"{models}: {found.per_s:,.0f} events/s, {found.fold_s:.2f} s, with the comparison {found.whole_s:.2f} s,"
        f" {cpu_s:.1f} s of CPU, {rss_mb} MB"
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weeks", type=int, default=53)
    parser.add_argument("--rounds", type=int, default=3, help="each set once a round; medians count")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["four", "five", "rollups", "lines"])
    parser.add_argument("--profile", action="store_true", help="print the time of each stage of each rebuild")
    arguments = parser.parse_args()
    with servers_with_log(arguments.weeks) as (settings, records):
        pretend_core(settings)
        for models in arguments.sets:
            rebuilt(settings, models, profiled=False)
        rounds = [
            {models: rebuilt(settings, models, profiled=arguments.profile) for models in arguments.sets}
            for _ in range(arguments.rounds)
        ]
    print(json.dumps({"records": records, **told(rounds)}))


def told(rounds: Sequence[Round]) -> dict[str, object]:
    """Medians of each set, and the ratios between sets, each of one round, with their median first."""
    sets = list(rounds[0])
    ratios: dict[str, tuple[tuple[str, str], Callable[[Rebuild, Rebuild], float]]] = {
        "five_more_seconds_than_four": (("five", "four"), lambda more, less: more.fold_s / less.fold_s - 1),
        "lines_rate_of_four": (("lines", "four"), lambda one, other: one.per_s / other.per_s),
        "lines_rate_of_rollups": (("lines", "rollups"), lambda one, other: one.per_s / other.per_s),
        "computed_more_seconds_than_stored": (("computed", "stored"), lambda more, less: more.fold_s / less.fold_s - 1),
    }
    found: dict[str, object] = {
        models: {
            "events_per_s": round(median(one[models].per_s for one in rounds)),
            "fold_s": round(median(one[models].fold_s for one in rounds), 2),
            "seconds_with_comparison": round(median(one[models].whole_s for one in rounds), 2),
            "cpu_s": round(median(one[models].cpu_s for one in rounds), 2),
            "rss_mb": max(one[models].rss_mb for one in rounds),
        }
        for models in sets
    }
    for name, ((one, other), ratio) in ratios.items():
        if one in sets and other in sets:
            each = [round(ratio(found_[one], found_[other]), 3) for found_ in rounds]
            found[name] = [round(median(each), 3), *each]
    return found


if __name__ == "__main__":
    main()
