"""/metrics: the counts of every process, and gauges read from database and log a moment ago."""

import contextlib
import os
from collections import Counter as Counted
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from time import perf_counter

import psycopg
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import REGISTRY, Collector

from refold.streams.operation.lag import Lag
from refold.streams.operation.presence import Live, Trouble
from refold.streams.operation.verdict import Finding
from refold.streams.postgres.connection import Database, has_table
from refold.streams.standing import STALE_S
from refold.streams.worker.taking_part import Check

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
REQUESTS = Counter("refold_http_requests_total", "HTTP requests answered.", ["method", "route", "status"])
DURATION = Histogram("refold_http_request_seconds", "Seconds from request to answer.", ["route"], buckets=_SECONDS)


def counting(app: ASGIApp) -> ASGIApp:
    """Count and time each request by its route's template: a path with ids in it is no label."""

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        began, status = perf_counter(), "500"

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await app(scope, receive, watched)
        finally:
            route = str(scope.get("path_template") or "unknown")
            count_answer(scope["method"], route, status, perf_counter() - began)

    return counted


def count_answer(method: str, route: str, status: str, seconds: float) -> None:
    """Count an answer, and the seconds that it took."""
    requests, duration = _of(method, route, status)
    requests.inc()
    duration.observe(seconds)


@lru_cache(1024)
def _of(method: str, route: str, status: str) -> tuple[Counter, Histogram]:
    """The two series of an answer: to find them by their labels takes longer than to count."""
    return REQUESTS.labels(method, route, status), DURATION.labels(route)


def own_page(checks: Iterable[Check]) -> bytes:
    """The counts of this process alone, and whether it is ready."""
    ready = GaugeMetricFamily("refold_ready", "1 if a check of this worker's /readyz passes, else 0.", labels=["check"])
    for check in checks:
        ready.add_metric([check.name], int(check.ok))
    registry = CollectorRegistry()
    registry.register(_Given([ready]))
    return generate_latest(REGISTRY) + generate_latest(registry)


def metrics_page(seen: Iterable[Metric]) -> bytes:
    """Everything in Prometheus' text format: the counts of this machine's processes, and the gauges of the whole."""
    registry = CollectorRegistry()
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus_client has no types there
        own = b""
    else:
        own = generate_latest(REGISTRY)
    registry.register(_Given(seen))
    return own + generate_latest(registry)


class _Given(Collector):
    """A collector of gauges that are computed already."""

    def __init__(self, found: Iterable[Metric]) -> None:
        self._found = list(found)

    def collect(self) -> Iterable[Metric]:
        return self._found


def up(answered: Mapping[str, int]) -> Metric:
    """Whether each server answered."""
    family = GaugeMetricFamily("refold_up", "1 if the server answered the last question, else 0.", labels=["server"])
    for server, value in answered.items():
        family.add_metric([server], value)
    return family


def standing_still(findings: Iterable[Finding], age_s: float) -> list[Metric]:
    """The findings for which `refold status` exits with 3, by role and kind; no series while all is well."""
    family = GaugeMetricFamily(
        "refold_standing_still", "Findings of a standstill, as refold status shows them.", labels=["role", "kind"]
    )
    for (role, kind), number in sorted(Counted((each.role, each.code) for each in findings).items()):
        family.add_metric([role, kind], number)
    age = GaugeMetricFamily("refold_seen_age_seconds", "Seconds since the last look for a standstill.")
    age.add_metric([], age_s)
    return [family, age]


def from_lags(lags: Iterable[Lag]) -> Iterator[Metric]:
    """The position of each group, and its lag."""
    labels = ["group", "topic", "partition"]
    families = {
        "position": GaugeMetricFamily("refold_position", "Next offset the group will apply.", labels=labels),
        "end": GaugeMetricFamily("refold_end_position", "End of the partition.", labels=labels),
        "records": GaugeMetricFamily("refold_lag_records", "Records behind the end.", labels=labels),
        "seconds": GaugeMetricFamily(
            "refold_lag_seconds", "Age of the last applied record while behind, else 0.", labels=labels
        ),
    }
    for lag in lags:
        for field, family in families.items():
            value = getattr(lag, field)
            family.add_metric([lag.group, lag.topic, str(lag.part)], float("nan") if value is None else value)
    yield from families.values()


def codes(live: Iterable[Live]) -> Metric:
    """The number of different codes of each domain that run."""
    family = GaugeMetricFamily("refold_codes", "Different codes of the domain that run at once.", labels=["domain"])
    found: dict[str, set[str]] = {}
    for code in (code for process in live for code in process.code):
        found.setdefault(code.domain, set()).add(code.fingerprint)
    for domain, fingerprints in sorted(found.items()):
        family.add_metric([domain], len(fingerprints))
    return family


def of_troubles(found: Iterable[Trouble]) -> Metric:
    """The numbers of processes, and of those that wait or ended."""
    family = GaugeMetricFamily(
        "refold_troubles",
        "Processes that wait for a server, or ended by an error within the last minute.",
        labels=["role"],
    )
    for role, number in sorted(Counted(trouble.role for trouble in found).items()):
        family.add_metric([role], number)
    return family


_TABLES: dict[str, tuple[str, list[str], str]] = {
    "refold.claims": (
        "refold_claim_epoch",
        ["category", "partition"],
        "SELECT category, part, epoch FROM refold.claims",
    ),
    "refold.outcomes": (
        "refold_rejections",
        ["category", "code"],
        "SELECT category, code, count(*) FROM refold.outcomes WHERE code IS NOT NULL GROUP BY 1, 2",
    ),
    "refold.processes": (
        "refold_processes",
        ["role"],
        f"SELECT role, count(*) FROM refold.processes WHERE seen_at >= now() - interval '{STALE_S} s' GROUP BY 1",
    ),
    "refold.voids": (
        "refold_void_records",
        ["topic", "reason"],
        "SELECT topic, reason, sum(last_offset - first_offset + 1) FROM refold.voids GROUP BY 1, 2",
    ),
    "refold.parked": (
        "refold_parked_streams",
        ["category", "code"],
        "SELECT category, code, count(*) FROM refold.parked GROUP BY 1, 2",
    ),
    "refold.reactor_parked": (
        "refold_reactor_parked_streams",
        ["reactor", "code"],
        "SELECT reactor, code, count(*) FROM refold.reactor_parked GROUP BY 1, 2",
    ),
}
_HELP = {
    "refold_claim_epoch": "Claims taken on the partition so far.",
    "refold_rejections": "Commands rejected so far, by code.",
    "refold_processes": "Processes that live.",
    "refold_void_records": "Records that do not count.",
    "refold_parked_streams": "Streams parked because an event failed, by the failure's code.",
    "refold_reactor_parked_streams": "Streams parked for a reactor because an event failed, by the failure's code.",
}


def from_tables(db: Database) -> Iterator[Metric]:
    """Counts of rows. Raises psycopg.Error."""
    for table, (name, labels, statement) in _TABLES.items():
        if has_table(db, table):
            family = GaugeMetricFamily(name, _HELP[name], labels=labels)
            with contextlib.suppress(
                psycopg.ProgrammingError
            ):  # a table that somebody changed must not hide the others
                for *values, number in db.execute(statement.encode()).fetchall():
                    family.add_metric([str(value) for value in values], float(number))
            yield family
