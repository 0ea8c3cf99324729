"""/metrics: what every process counts, and what the database and the log say at the time of asking."""

import contextlib
import os
from collections import Counter as Counted
from collections.abc import Iterable, Iterator
from time import perf_counter

import psycopg
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import REGISTRY, Collector

from refold.schemas.errors import RefoldError
from refold.streams.lag import Lag, LagReader
from refold.streams.postgres import Database, connect, has_table
from refold.streams.presence import Live, Trouble, live_processes, troubles
from refold.streams.settings import Settings
from refold.streams.standing import STALE_S
from refold.streams.taking_part import Check

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
REQUESTS = Counter("refold_http_requests_total", "HTTP requests answered.", ["method", "route", "status"])
DURATION = Histogram("refold_http_request_seconds", "Time from request to answer.", ["route"], buckets=_SECONDS)


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
            REQUESTS.labels(scope["method"], route, status).inc()
            DURATION.labels(route).observe(perf_counter() - began)

    return counted


def own_page(checks: Iterable[Check]) -> bytes:
    """What this process alone counts, and whether it is ready."""
    registry = CollectorRegistry()
    registry.register(_Ready(checks))
    return generate_latest(REGISTRY) + generate_latest(registry)


class _Ready(Collector):
    """The checks of a worker's /readyz."""

    def __init__(self, checks: Iterable[Check]) -> None:
        self._checks = list(checks)

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "refold_ready", "Whether a check of this worker's /readyz is well.", labels=["check"]
        )
        for check in self._checks:
            family.add_metric([check.name], int(check.ok))
        return [family]


def metrics_page(settings: Settings, lag: LagReader) -> bytes:
    """Everything in Prometheus' text format. Blocks; call it in a thread."""
    registry = CollectorRegistry()
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus_client has no types there
        own = b""
    else:
        own = generate_latest(REGISTRY)
    registry.register(_Standing(settings, lag))
    return own + generate_latest(registry)


class _Standing(Collector):
    """Gauges computed from positions, claims and voids; `refold_up` says what could be asked."""

    def __init__(self, settings: Settings, lag: LagReader) -> None:
        self._settings, self._lag = settings, lag

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily(
            "refold_up", "Whether the server answered when it was asked just now.", labels=["server"]
        )
        metrics: list[Metric] = [up]
        try:
            with contextlib.closing(connect(self._settings.dsn(), application_name="metrics")) as db:
                up.add_metric(["postgres"], 1)
                metrics += _from_tables(db)
                metrics += self._from_processes(db)
                up.add_metric(["kafka"], self._from_kafka(db, metrics))
        except (psycopg.Error, RefoldError):
            if not up.samples:
                up.add_metric(["postgres"], 0)
        return metrics

    def _from_kafka(self, db: Database, metrics: list[Metric]) -> int:
        """Add what the log's ends tell; whether Kafka answered."""
        try:
            metrics += _from_lags(self._lag.read(db))
        except RefoldError:
            return 0
        return 1

    def _from_processes(self, db: Database) -> list[Metric]:
        return [_codes(live_processes(db)), _troubles(troubles(db))]


def _from_lags(lags: list[Lag]) -> Iterator[Metric]:
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


def _codes(live: list[Live]) -> Metric:
    family = GaugeMetricFamily("refold_codes", "Different codes of the domain that run at once.", labels=["domain"])
    found: dict[str, set[str]] = {}
    for code in (code for process in live for code in process.code):
        found.setdefault(code.domain, set()).add(code.fingerprint)
    for domain, fingerprints in sorted(found.items()):
        family.add_metric([domain], len(fingerprints))
    return family


def _troubles(found: list[Trouble]) -> Metric:
    family = GaugeMetricFamily(
        "refold_troubles", "Processes that wait for something, or ended by an error within a minute.", labels=["role"]
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
    "refold_parked_streams": "Streams that wait because an event of theirs failed, by its code.",
    "refold_reactor_parked_streams": "Streams that wait for a reactor because an event of theirs failed, by its code.",
}


def _from_tables(db: Database) -> Iterator[Metric]:
    for table, (name, labels, statement) in _TABLES.items():
        if has_table(db, table):
            family = GaugeMetricFamily(name, _HELP[name], labels=labels)
            with contextlib.suppress(
                psycopg.ProgrammingError
            ):  # a table that somebody changed hides nothing of the others
                for *values, number in db.execute(statement.encode()).fetchall():
                    family.add_metric([str(value) for value in values], float(number))
            yield family
