"""Servers and lines that go silent or refuse to write under load: each long-lived client goes on by itself afterwards.

`make test-chaos` runs it: each silence lasts longer than every bound by which a client notices one.
"""

import http.client
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from refold.streams.settings import Settings
from tests.e2e import results
from tests.e2e.agreement import assert_agreement
from tests.e2e.clients import Crowd, counted
from tests.e2e.oracle import assert_tables_are_the_fold_of_the_log
from tests.e2e.site import Site
from tests.e2e.tables import query, until
from tests.e2e.test_chaos import until_answered

SILENT_S = float(os.environ.get("SILENT_S", "0"))
GROUPS = {"core", "models", "reactors"}


@pytest.mark.e2e
@pytest.mark.skipif(not SILENT_S, reason="the silences alone take minutes: `make test-chaos` runs it")
@pytest.mark.timeout(1200)
def test_every_client_goes_on_by_itself(tmp_path: Path) -> None:
    """No process has to be started again for a silent Postgres; nothing is lost or doubled, whichever server it was."""
    tmp_path.chmod(0o755)
    figures: dict[str, float] = {}
    with Site(tmp_path / "data") as site:
        site.stack.wait_until_ready()
        with Crowd(site.stack.settings, 4, 5) as crowd:
            until_answered(crowd)
            for name, fault in FAULTS.items():
                before = site.stack.pids()
                fault(site)
                figures[f"answers after: {name}, s"] = round(until_answered(crowd), 1)
                figures[f"all follow after: {name}, s"] = round(until_all_follow(site), 1)
                started = sorted(role for role, pid in site.stack.pids().items() if before.get(role) != pid)
                assert not started or name == KAFKA_STOPS, f"{name}: started again: {started}"
                figures[f"started again after: {name}"] = len(started)
        assert site.stack.ended() is None, "a worker gave up for good"
        assert_agreement(site.settings, crowd.seen)
        found = assert_tables_are_the_fold_of_the_log(site.settings)
    results.note("silent servers", **figures, **counted(crowd.seen), records=found.records)


def stopped(role: str) -> Callable[[Site], None]:
    """A server with all its processes stands still, and goes on."""

    def stop(site: Site) -> None:
        server = psutil.Process(site.pids()[role])
        processes = [server, *server.children(recursive=True)]
        _signal(processes, signal.SIGSTOP)
        time.sleep(SILENT_S)
        _signal(processes, signal.SIGCONT)

    return stop


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def swallowed(site: Site) -> None:
    """Postgres does what it was asked; the answers never come, on the connections there are."""
    site.links["postgres"].swallow()


def stranded(site: Site) -> None:
    """No request arrives on the connections there are."""
    site.links["postgres"].strand()


def only_read(site: Site) -> None:
    """Postgres ends, comes back as a standby that only reads, and is promoted after a while."""
    server = psutil.Process(site.pids()["postgres"])
    (Path(server.cwd()) / "standby.signal").touch()
    server.send_signal(signal.SIGINT)
    until(lambda: query(site.settings, "SELECT pg_is_in_recovery()") == [(True,)], 60, "there is no standby")
    time.sleep(SILENT_S)
    with psycopg.connect(site.settings.dsn(), autocommit=True) as db:
        db.execute("SELECT pg_promote()")


KAFKA_STOPS = "Kafka stops"
FAULTS: Mapping[str, Callable[[Site], None]] = {
    "Postgres' answers are swallowed": swallowed,
    "requests to Postgres are stranded": stranded,
    "Postgres stops": stopped("postgres"),
    KAFKA_STOPS: stopped("kafka"),
    "Postgres only reads": only_read,
}


def until_all_follow(site: Site) -> float:
    """Seconds until each group has moved, and the API and all workers say that nothing stands still."""
    began, before = time.monotonic(), positions(site.settings)
    until(lambda: all(positions(site.settings)[group] > before[group] for group in GROUPS), 180, "a group stands still")
    until(lambda: is_ready(site.stack.settings), 180, "the API is not ready")
    return time.monotonic() - began


def positions(settings: Settings) -> dict[object, int]:
    """How far each group has come, over all its partitions."""
    rows = query(settings, "SELECT grp, sum(next_offset)::int FROM refold.positions GROUP BY 1")
    return {group: at for group, at in rows if isinstance(at, int)}


def is_ready(settings: Settings) -> bool:
    """Whether the API says so."""
    connection = http.client.HTTPConnection(settings.api_host, settings.api_port, timeout=10)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()
