"""Measures how fast the four read models `benchmarks.models` names are rebuilt: `python -m benchmarks.rebuild [--weeks 53]`. Last line JSON.

The log is a year of receipts. The same run measures on the same topics a raw consume by confluent-kafka, and a plain
loop of confluent-kafka, fastavro and dicts. With `--times 11` the log has the year eleven times, each time with other
products and baskets, and the log of one year is rebuilt in turn with it: what grows with the log is seen in the rates'
ratio and in the memory.
"""

import argparse
import io
import json
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import fastavro
from confluent_kafka import TopicPartition

from benchmarks.models import chosen
from benchmarks.profile import StageClock
from benchmarks.year import log_beside, places, say, servers_with_log
from refold.projections.replay.command import Replay
from refold.projections.replay.plan import Report
from refold.schemas.catalog import Kind
from refold.streams.core.folds import core_folds
from refold.streams.domain import load_domains
from refold.streams.kafka import clients
from refold.streams.kafka.log_reader import LogReader
from refold.streams.settings import Settings

QUEUES = {
    "queued.min.messages": 1_000_000,
    "queued.max.messages.kbytes": 524_288,
    "fetch.max.bytes": 104_857_600,
    "max.partition.fetch.bytes": 20_971_520,
}


def raw_consume(settings: Settings, records: int) -> float:
    """Records per second that are read and dropped."""
    client = clients.consumer(settings.kafka_servers(), **QUEUES)
    client.assign([TopicPartition(*place, 0) for place in places(settings)])
    done, began = 0, time.perf_counter()
    while done < records:
        done += len(client.consume(min(100_000, records - done), 1.0))
    seconds = time.perf_counter() - began
    client.close()
    return records / seconds


def plain_loop(settings: Settings, records: int) -> float:
    """Events per second of the loop that one would write first: poll, decode by fastavro, add to dicts."""
    catalog = load_domains(settings.domains).catalog
    schemas = {
        w.id: (w.name, fastavro.parse_schema(w.schema, _force=True))
        for w in catalog.by_id.values()
        if w.kind is Kind.EVENT
    }
    client = clients.consumer(settings.kafka_servers(), **QUEUES)
    client.assign([TopicPartition(*place, 0) for place in places(settings) if place[0].endswith("basket.events")])
    tables: tuple[dict[Any, list[Any]], ...] = ({}, {}, {})
    done, began = 0, time.perf_counter()
    last = began
    while done < records:
        message = client.poll(1.0)
        if message is None:
            if done:
                break  # a short log has ended
            continue
        done, last = done + 1, time.perf_counter()
        value = message.value()
        assert value is not None
        found = schemas.get(int.from_bytes(value[1:5]))
        if found is None:
            continue
        event: Any = fastavro.schemaless_reader(io.BytesIO(value[5:]), found[1], None)
        _add(tables, found[0], event)
    client.close()
    return done / (last - began)


def _add(tables: tuple[dict[Any, list[Any]], ...], name: str, event: Any) -> None:
    baskets, daily, products = tables
    meta = event["meta"]
    day = daily.setdefault((event["store_id"], meta["occurred_at"].date()), [0, 0, 0, 0, 0, 0])
    basket = baskets.setdefault(meta["stream"], [event["store_id"], "", 0, 0, 0, None])
    if name == "ItemScanned":
        product = products.setdefault(event["product_id"], [0, 0, 0, None, None])
        for row in (basket[2:5], day[:3], product[:3]):
            row[0], row[1], row[2] = row[0] + 1, row[1] + event["quantity"], row[2] + event["amount"]
        basket[2:5], day[:3], product[:3] = basket[2:5], day[:3], product[:3]
        product[3:] = [
            min(product[3] or meta["occurred_at"], meta["occurred_at"]),
            max(product[4] or meta["occurred_at"], meta["occurred_at"]),
        ]
    else:
        basket[1], basket[5] = name, meta["occurred_at"]
        day[3] += 1


def fold_core(settings: Settings, records: int) -> float:
    """Records per second of the core's fold alone."""
    (core,) = core_folds(settings)
    reader = LogReader(settings.kafka_servers(), core.stored(places(settings)), records=20_000, keys=True)
    done, began = 0, time.perf_counter()
    while done < records:
        chunks = reader.poll(1.0)
        reached = core.apply(chunks) if chunks else {}
        done += sum(reached[chunk.place] - chunk.start for chunk in chunks)
    seconds = time.perf_counter() - began
    reader.close()
    core.close()
    return records / seconds


def rebuild(settings: Settings, processes: int = 1) -> tuple[Report, StageClock, int]:
    """Rebuild all read models once; returns the time of each stage and the process's memory in MB."""
    clock = StageClock()
    with Replay(settings, processes=processes) as replay, clock.watching():
        report = replay.execute((), lambda _done, _total: None)
    return report, clock, _peak_mb()


def _peak_mb() -> int:
    """Most memory that this process has held, in MB.

    Linux's `ru_maxrss` would include the parent's from before the exec.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return (
            next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) // 1024
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def rebuild_alone(settings: Settings, processes: int = 1) -> tuple[Report, StageClock, int]:
    """`rebuild` in a process of its own, so that its memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        return alone.submit(rebuild, settings, processes).result()


@dataclass
class Measured:
    """The rebuilds of a log."""

    settings: Settings
    rounds: list[tuple[Report, StageClock, int]] = field(default_factory=list)

    def rebuild(self, processes: int) -> None:
        """Rebuild all read models in a process of its own."""
        self.rounds.append(rebuild_alone(self.settings, processes))

    @property
    def middle(self) -> tuple[Report, StageClock, int]:
        return sorted(self.rounds, key=lambda one: one[0].fold_s)[len(self.rounds) // 2]

    def __str__(self) -> str:
        return ", ".join(f"{one.records_per_s:,}" for one, _, _ in self.rounds)


def filled(settings: Settings, records: int, *, with_core: bool) -> float | None:
    """Fill the tables of a log; returns the records per second of the core's fold, if there was one."""
    core = fold_core(settings, records) if with_core else None
    say(f"core fold: {core:,.0f} records/s" if core else "core: not folded")
    if core is None:
        pretend_core(settings)
    report, _, _ = rebuild_alone(settings)
    say(f"first fill of the models: {report.records_per_s:,} records/s")
    return core


def main() -> None:
    arguments = _options()
    with chosen("four"), servers_with_log(arguments.weeks, arguments.times) as (settings, records):
        core = filled(settings, records, with_core=not arguments.no_core)
        once = None
        if arguments.times > 1:
            once = Measured(log_beside(settings, arguments.weeks)[0])
            filled(once.settings, records // arguments.times, with_core=False)
        plain = plain_loop(settings, min(100_000, records // 2))
        raws, measured = [raw_consume(settings, records)], Measured(settings)
        for _ in range(arguments.rounds):
            if once:
                once.rebuild(arguments.processes)
            measured.rebuild(arguments.processes)
            raws.append(raw_consume(settings, records))
        raw = median(raws)
        report, clock, rss_mb = measured.middle
        say(f"plain loop {plain:,.0f}/s; raw consume {', '.join(f'{one:,.0f}' for one in raws)}/s")
        say(f"rebuilds {measured} records/s{f'; of the weeks once {once}' if once else ''}; the middle one:")
        clock.print(report.seconds)
    assert all(one.fell_back == 0 for one, _, _ in measured.rounds)
    assert all(model.differing == 0 for one, _, _ in measured.rounds for model in one.models)
    print(
        json.dumps(
            {
                "events_per_s": round(_rate(report)),
                "ratio_raw_consume": round(report.records_per_s / raw, 3),
                "ratio_plain_loop": round(_rate(report) / plain, 2),
                "processes": arguments.processes,
                "rss_mb": rss_mb,
                "raw_consume_per_s": round(raw),
                "plain_loop_per_s": round(plain),
                "core_records_per_s": core and round(core),
                "records": report.records,
                "fold_s": report.fold_s,
                "seconds_with_comparison": report.seconds,
                **(_beside(report, once) if once else {}),
            }
        )
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weeks", type=int, default=53)
    parser.add_argument(
        "--times", type=int, default=1, help="how often the weeks are in the log, with other ids each time"
    )
    parser.add_argument("--rounds", type=int, default=3, help="rebuilds, each between two raw reads; medians count")
    parser.add_argument("--processes", type=int, default=1, help="as in refold replay rebuild")
    parser.add_argument(
        "--no-core", action="store_true", help="say that the core stands at the end instead of folding it"
    )
    return parser.parse_args()


def _beside(report: Report, once: Measured) -> dict[str, float]:
    """What the log of the weeks once says beside the longer one."""
    alone, _, rss_mb = once.middle
    return {"rate_ratio_once": round(_rate(report) / _rate(alone), 3), "rss_mb_once": rss_mb}


def _rate(report: Report) -> float:
    return report.events / report.fold_s


def pretend_core(settings: Settings) -> None:
    """Say that the core stands at the end of the log."""
    from refold.streams.core.limits import core_positions
    from refold.streams.postgres.connection import connect

    reader = LogReader(settings.kafka_servers(), dict.fromkeys(places(settings), 0), records=1)
    ends = reader.ends()
    reader.close()
    with connect(settings.dsn(), application_name="bench") as db:
        for (topic, part), at in ends.items():
            db.execute(
                "INSERT INTO refold.positions (grp, topic, part, next_offset) VALUES ('core', %s, %s, %s)",
                (topic, part, at),
            )
        assert core_positions(db) == ends


if __name__ == "__main__":
    main()
