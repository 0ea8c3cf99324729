"""Measures downloads of a million rows: `python -m benchmarks.exports [--rows 1000000] [--rounds 3]`. Last line JSON.

psql's `\\copy` of the same query is the baseline, in the same run and in turns with each format; medians count. The rows are
written into the table of a read model by SQL: how they came there does not matter to a download. RSS is the API's: of each format,
the most that it grew by during a download. XLSX is downloaded once, and only if a sheet has room for the rows.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from refold.api.cli.stack import Stack
from refold.api.embedded.postgres import wheel_binaries
from refold.api.embedded.removal import passing_data
from refold.streams.postgres.connection import Database, connect
from refold.streams.settings import Settings

FORMATS = ("csv", "ndjson", "json", "arrow", "parquet")
XLSX = "xlsx"
MOST_SHEET_ROWS = 1_048_576
LEAST = {"csv": 0.6, "arrow": 0.3, "parquet": 0.3}
"""Shares of psql's rate that a format has to reach."""
FLAT_MB = 64
"""MiB by which the API may grow during a download."""
QUERY = "SELECT * FROM retail.store_daily ORDER BY store_id, day"
BOUND_S = 120.0
_TABLE = "SELECT table_schema, table_name FROM information_schema.view_table_usage WHERE (view_schema, view_name) = ('retail', 'store_daily')"
_COLUMNS = "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
_VALUES = {
    "integer": "n % 400",
    "bigint": "n",
    "numeric": "n * 1.37",
    "date": "date '1900-03-01' + n / 400",
    "text": "'text ' || n",
}


def fill(db: Database, rows: int) -> None:
    until = time.monotonic() + BOUND_S
    while not (found := db.execute(_TABLE).fetchall()):
        if time.monotonic() > until:
            raise RuntimeError("retail.store_daily is not there")
        time.sleep(0.2)
    table = f'"{found[0][0]}"."{found[0][1]}"'
    columns = db.execute(_COLUMNS, (table,)).fetchall()
    values = ", ".join(_VALUES.get(kind, f"NULL::{kind}") for _, kind in columns)
    db.execute(f"INSERT INTO {table} SELECT {values} FROM generate_series(1, {rows}) n".encode())
    db.execute(f"VACUUM ANALYZE {table}".encode())


def copied(dsn: str) -> float:
    """Seconds of psql's own copy into a file."""
    psql = Path(wheel_binaries()) / "psql"
    began = time.perf_counter()
    with tempfile.NamedTemporaryFile() as file:
        subprocess.run([psql, dsn, "-qc", f"\\copy ({QUERY}) TO '{file.name}' (FORMAT csv)"], check=True)
        return time.perf_counter() - began


def downloaded(url: str, name: str) -> float:
    """Seconds of a download into a file."""
    began = time.perf_counter()
    with (
        urllib.request.urlopen(f"{url}/v1/retail/store_daily?format={name}") as answer,
        tempfile.TemporaryFile() as file,
    ):
        while piece := answer.read(1 << 20):
            file.write(piece)
        return time.perf_counter() - began


@contextmanager
def watched(api: psutil.Process, grown: list[int]) -> Iterator[None]:
    """Adds to `grown` the MiB that the API's memory grew by at most within the block."""
    before = most = api.memory_info().rss
    stop = threading.Event()

    def watch() -> None:
        nonlocal most
        while not stop.wait(0.02):
            most = max(most, api.memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        stop.set()
        watching.join()
        grown.append(most - before >> 20)


def measured(url: str, dsn: str, api: psutil.Process, rounds: int, rows: int) -> dict[str, object]:
    formats = [*FORMATS, XLSX] if rows < MOST_SHEET_ROWS else FORMATS
    for name in formats:  # packages are imported once
        with urllib.request.urlopen(f"{url}/v1/retail/store_daily?format={name}&limit=1") as answer:
            answer.read()
    at_rest = api.memory_info().rss >> 20
    took: dict[str, list[float]] = {name: [] for name in ("psql", *formats)}
    grown: dict[str, list[int]] = {name: [] for name in formats}
    for number in range(rounds):
        for name in formats:
            if name == XLSX and number:  # a minute each, and it has no rate to reach
                continue
            took["psql"].append(copied(dsn))
            with watched(api, grown[name]):
                took[name].append(downloaded(url, name))
    median = {name: statistics.median(times) for name, times in took.items()}
    return {
        "rows": rows,
        "rows_per_s": {name: round(rows / seconds) for name, seconds in median.items()},
        "of_psql": {name: round(median["psql"] / median[name], 2) for name in formats},
        "enough": all(median["psql"] / median[name] >= least for name, least in LEAST.items()),
        "rss_mb": {"at_rest": at_rest, "at_the_end": api.memory_info().rss >> 20},
        "rss_grown_mb": {name: max(found) for name, found in grown.items()},
        "flat": all(max(found) <= FLAT_MB for found in grown.values()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with (
        passing_data("refold-bench-") as data,
        Stack(Settings.load({}).model_copy(update={"data": data, "api_port": 0}), lambda _: None) as stack,
    ):
        stack.wait_until_ready()
        with connect(stack.settings.dsn(), application_name="bench") as db:
            fill(db, arguments.rows)
        api = psutil.Process(stack.pids()["api"])
        found = measured(stack.api_url, stack.settings.dsn(), api, arguments.rounds, arguments.rows)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
