"""kill -9 of everything, each once, under load: nothing acknowledged is lost, nothing counts twice, totals are equal."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from refold.api.cli.stack import Stack
from refold.streams.domain import load_domains
from refold.streams.settings import Settings
from tests.e2e.load import Load, expected

VICTIMS = ("handler", "core", "models", "api", "kafka", "postgres")


@pytest.mark.e2e
@pytest.mark.timeout(420)
def test_each_process_killed_once(tmp_path: Path) -> None:
    """Handler, core, models, API, Kafka, Postgres."""
    data = tmp_path / "data"
    tmp_path.chmod(0o755)
    with Stack(Settings(data=data, api_port=0), lambda _: None) as stack:
        stack.wait_until_ready()
        load = Load(stack.settings, load_domains(["retail"]), per_second=60)
        load.start()
        for victim in VICTIMS:
            time.sleep(3)
            before = stack.pids()[victim]
            os.kill(before, signal.SIGKILL)
            until(lambda v=victim, p=before: stack.pids().get(v) not in (None, p), 60, f"{victim} was not started again")  # type: ignore[misc]
        time.sleep(3)
        load.stop()
        want = expected(load.sent)
        until(lambda: decided(stack.settings) >= want.commands, 120, "not all commands were decided")
        until(lambda: lines(stack.settings)[0] >= want.lines, 60, "the read models did not catch up")
        assert decided(stack.settings) == want.commands
        assert rejected(stack.settings) == [("quantity-below-one", want.refused)]
        for model in ("store_daily", "product_sales"):
            assert lines(stack.settings, model) == (want.lines, want.revenue)
        assert versions_are_dense(stack.settings)


def until(holds: Callable[[], bool], seconds: float, complaint: str) -> None:
    """Wait for something; servers may be away meanwhile."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except psycopg.OperationalError:
            pass
        time.sleep(0.2)
    pytest.fail(complaint)


def query(settings: Settings, text: str) -> list[tuple[object, ...]]:
    with psycopg.connect(settings.dsn(), connect_timeout=5) as db:
        return db.execute(text.encode()).fetchall()


def decided(settings: Settings) -> int:
    ((count,),) = query(settings, "SELECT count(*) FROM refold.outcomes")
    assert isinstance(count, int)
    return count


def rejected(settings: Settings) -> list[tuple[object, ...]]:
    return query(settings, "SELECT code, count(*) FROM refold.outcomes WHERE code IS NOT NULL GROUP BY 1")


def lines(settings: Settings, model: str = "store_daily") -> tuple[int, object]:
    ((count, revenue),) = query(settings, f"SELECT coalesce(sum(lines), 0)::bigint, sum(revenue) FROM retail.{model}")  # noqa: S608 - fixed names
    assert isinstance(count, int)
    return count, revenue


def versions_are_dense(settings: Settings) -> bool:
    """Each stream's version is the number of its events, and of the offsets noted for it."""
    return not query(
        settings,
        "SELECT s.stream FROM refold.streams s"
        " LEFT JOIN (SELECT category, stream, sum(events) n FROM refold.outcomes GROUP BY 1, 2) o USING (category, stream)"
        " LEFT JOIN (SELECT category, stream, sum(cardinality(offsets)) n FROM refold.stream_offsets GROUP BY 1, 2) p"
        " USING (category, stream) WHERE s.version IS DISTINCT FROM o.n OR s.version IS DISTINCT FROM p.n",
    )
