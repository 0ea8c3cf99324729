"""Measures worker processes: the speed of groups of readers, and the CPU of each process."""

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from refold.api.cli.logs import keep_in_files
from refold.api.cli.supervisor import Supervisor
from refold.api.embedded.kafka import KafkaServer
from refold.api.embedded.postgres import PostgresServer
from refold.streams.domain import load_domains
from refold.streams.kafka import clients
from refold.streams.kafka.messages import watermarks
from refold.streams.log.topics import events_topic
from refold.streams.postgres.connection import connect
from refold.streams.settings import Settings

POLL_S, BOUND_S = 0.1, 1800.0
UNDER_WAY = 0.02
"""Share of the records after which the clock starts, so that starting a process is not measured."""

_STANDS = "SELECT coalesce(sum(next_offset), 0)::bigint FROM refold.positions WHERE grp = %s AND topic = ANY(%s)"


@dataclass(frozen=True)
class Pace:
    """The progress from the start of the clock to the last record."""

    records: int
    seconds: float
    cpu: Mapping[str, float]

    @property
    def per_s(self) -> float:
        """Records per second."""
        return self.records / self.seconds

    def print(self, what: str) -> None:
        """Print rate, and CPU by process, on stderr."""
        print(f"{what}: {self.records:,} records in {self.seconds:.1f} s, {self.per_s:,.0f}/s", file=sys.stderr)
        for role, seconds in sorted(self.cpu.items(), key=lambda item: -item[1]):
            share, each = seconds / self.seconds, seconds / self.records * 1e6
            print(f"  {role:10}{seconds:8.2f} s CPU {share:6.0%} of one {each:8.1f} us a record", file=sys.stderr)


class Workers:
    """Some roles at work on some settings."""

    def __init__(self, settings: Settings, supervisor: Supervisor) -> None:
        self._servers, self._supervisor = _embedded(settings), supervisor
        self._topics = [events_topic(settings.topic_prefix, name) for name in load_domains(settings.domains).categories]
        self._partitions = settings.partitions
        self._db = connect(settings.dsn(), application_name="bench")
        self._log = clients.consumer(settings.kafka_servers())

    def wait(self, groups: tuple[str, ...], records: int) -> Pace:
        """Measure until each group has folded that many records."""
        began: tuple[float, int, dict[str, float]] | None = None
        until = time.monotonic() + BOUND_S
        while time.monotonic() < until:
            stand, now = min(self._stands(group) for group in groups), time.perf_counter()
            if began is None and stand >= records * UNDER_WAY:
                began = now, stand, self._cpu()
            if stand >= records and began is not None:
                cpu = self._cpu()
                used = {role: cpu[role] - began[2].get(role, 0.0) for role in cpu}
                return Pace(stand - began[1], now - began[0], used)
            code = self._supervisor.wait(POLL_S)
            if code is not None:
                message = f"a worker ended for good with exit code {code}"
                raise RuntimeError(message)
        message = f"{groups} did not fold {records:,} records in {BOUND_S:.0f} s"
        raise RuntimeError(message)

    def appended(self, records: int, behind: str) -> Pace:
        """Measure until the handler has appended nearly so many records, while the group after it is held still."""
        while self._stands(behind) < records * UNDER_WAY:
            self._supervisor.wait(POLL_S)
        held = self._supervisor.pids()[behind]
        os.kill(held, signal.SIGSTOP)
        try:
            began = self._ends(), time.perf_counter(), self._cpu()
            until = time.monotonic() + BOUND_S
            while (end := self._ends()) < records * (1 - UNDER_WAY) and time.monotonic() < until:
                self._supervisor.wait(POLL_S / 2)
            now, cpu = time.perf_counter(), self._cpu()
        finally:
            os.kill(held, signal.SIGCONT)
        return Pace(end - began[0], now - began[1], {role: cpu[role] - began[2].get(role, 0.0) for role in cpu})

    def close(self) -> None:
        self._log.close()
        self._db.close()

    def _ends(self) -> int:
        places = [(topic, part) for topic in self._topics for part in range(self._partitions)]
        return sum(watermarks(self._log, place)[1] for place in places)

    def _stands(self, group: str) -> int:
        row = self._db.execute(_STANDS, (group, self._topics)).fetchone()
        assert row is not None
        return int(row[0])

    def _cpu(self) -> dict[str, float]:
        return {role: cpu_seconds(pid) for role, pid in (self._servers | self._supervisor.pids()).items()}


@contextmanager
def working(settings: Settings, *roles: str) -> Iterator[Workers]:
    """The roles as processes while the block runs; their logs are in the data folder."""
    with Supervisor(settings, roles, keep_in_files(settings.data.absolute() / "logs")) as supervisor:
        workers = Workers(settings, supervisor)
        try:
            yield workers
        finally:
            workers.close()


def _embedded(settings: Settings) -> dict[str, int]:
    """The pids of the embedded servers that run in the data folder."""
    servers = (KafkaServer(settings.data.absolute()), PostgresServer(settings.data.absolute()))
    return {server.name.lower(): server.process.pid or 0 for server in servers if server.process.adopt()}


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process and its children; Postgres's children are its connections."""
    try:
        process = psutil.Process(pid)
        times = [process.cpu_times(), *(child.cpu_times() for child in process.children(recursive=True))]
    except psutil.NoSuchProcess:
        return 0.0
    return sum(each.user + each.system for each in times)
