"""Measures what a column of distinct values and one of a median cost: `python -m benchmarks.distinct [--lines 1000000]`. Last line JSON.

Scanned lines of a grocer are folded into a table of stores and days, without the column and with the number of different
products, alternating, and into a table that has the product in its key, of which a view counts: rebuilt in batches, then followed live in chunks of 40 lines. Likewise
into a row for each store, without and with the median of the amounts, of which each store has thousands. Reading and decoding are not measured: all do the same.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from benchmarks.year import fresh_database, say
from refold.api.embedded.servers import Servers
from refold.projections.declaring.declaration import EventType
from refold.projections.declaring.gathering import events, key
from refold.projections.partials import merge_sql
from refold.projections.partials.partial import partial_of
from refold.projections.replay.staging import Staging
from refold.projections.tables import builds, tables
from refold.projections.tables.layout import Layout, layout_of
from refold.retail.projections import STORE_DAILY
from refold.retail.schemas.basket import BASKET, ItemScanned
from refold.streams.postgres.connection import Database, connect
from refold.streams.postgres.control_tables import bootstrap

LINES = EventType(BASKET, ItemScanned)
BATCH_LINES, LIVE_LINES, LIVE_CHUNKS, ROUNDS = 80_000, 40, 300, 3


def lines(number: int) -> pl.DataFrame:
    """Lines in the order of time: 400 stores over a year, and 50,000 products, few of which are most of the lines."""
    random = np.random.default_rng(7)
    micros = np.sort(random.integers(0, 365 * 86_400 * 1_000_000, number)) + 1_483_228_800_000_000
    return pl.DataFrame(
        {
            "m_row": np.arange(number),
            "m_stream": pl.Series(np.arange(number) // 10).cast(pl.String),
            "m_version": np.arange(number) % 10 + 1,
            "m_occurred_at": pl.Series(micros).cast(pl.Datetime("us", "UTC")),
            "store_id": pl.Series(random.integers(1, 401, number)).cast(pl.Int32),
            "product_id": pl.Series(random.zipf(1.3, number) % 50_000).cast(pl.Int32),
            "quantity": pl.Series(random.integers(1, 5, number)).cast(pl.Int32),
            "amount": pl.Series(random.integers(1, 9999, number)).cast(pl.Decimal(12, 2)) / 100,
            "discount": pl.Series(random.integers(0, 99, number)).cast(pl.Decimal(12, 2)) / 100,
        }
    ).with_columns(pl.col("amount", "discount").cast(pl.Decimal(12, 2)))


def measured(db: Database, layout: Layout, frame: pl.DataFrame) -> dict[str, float]:
    """Seconds of a rebuild and of the live chunks after it, and the bytes of the tables."""
    build = builds.create(db, layout, "f", "building")
    with db.transaction():
        tables.create(db, layout, build, with_key=False)
    live = LIVE_LINES * LIVE_CHUNKS
    began = time.perf_counter()
    with db.transaction():
        staging = Staging(db, layout, build, [])
        for batch in frame[:-live].iter_slices(BATCH_LINES):
            staging.take(partial_of(layout, {LINES: batch}))
        staging.flush(db)
        staging.finish(db)
    rebuilt = time.perf_counter() - began
    began = time.perf_counter()
    for chunk in frame[-live:].iter_slices(LIVE_LINES):
        with db.transaction():
            merge_sql.add(db, layout, build.schema, partial_of(layout, {LINES: chunk}))
    followed = time.perf_counter() - began
    sizes = "SELECT sum(pg_total_relation_size(oid))::float FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r'"
    size = (db.execute(sizes, (build.schema,)).fetchone() or (0.0,))[0]
    tables.drop(db, build)
    return {"rebuild_s": rebuilt, "live_s": followed, "bytes": size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    frame = lines(parser.parse_args().lines)
    products = events(BASKET, ItemScanned).distinct("product_id", "Products sold.")
    gathered = {name: column for name, column in STORE_DAILY.columns.items() if column.of.types == (LINES,)}
    without, with_it = (
        layout_of(replace(STORE_DAILY, columns=gathered | more, units={})) for more in ({}, {"products": products})
    )
    by_product = layout_of(
        replace(
            STORE_DAILY,
            key={**STORE_DAILY.key, "product_id": key("product_id", "Product.")},
            columns={"lines": STORE_DAILY.columns["lines"]},
            units={},
        )
    )
    amounts = events(BASKET, ItemScanned).median("amount", "Median.")
    stores, medians = (
        layout_of(
            replace(STORE_DAILY, key={"store_id": STORE_DAILY.key["store_id"]}, columns=gathered | more, units={})
        )
        for more in ({}, {"median": amounts})
    )
    layouts = {"without": without, "with": with_it, "keyed": by_product, "stores": stores, "medians": medians}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in layouts}
    with TemporaryDirectory() as folder, Servers(Path(folder), say, kafka=False) as servers:
        Path(folder).chmod(0o755)
        with connect(fresh_database(str(servers.endpoints().database_url), "distinct"), application_name="bench") as db:
            bootstrap(db)
            for _ in range(ROUNDS):
                for name, layout in layouts.items():
                    found[name].append(measured(db, layout, frame))
                    say(f"{name}: {found[name][-1]}")
    middle = {name: {what: median(one[what] for one in rounds) for what in rounds[0]} for name, rounds in found.items()}
    pairs = {"": ("with", "without"), "median_": ("medians", "stores")}
    ratios = {
        f"{of}{what}_ratio": round(middle[one][what] / middle[other][what], 2)
        for of, (one, other) in pairs.items()
        for what in middle[one]
    }
    print(json.dumps({"lines": frame.height, "rounds": ROUNDS} | ratios | middle))


if __name__ == "__main__":
    main()
