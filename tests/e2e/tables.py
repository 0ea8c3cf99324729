"""Compares the tables after a load with the load's totals; servers may be away meanwhile."""

import time
from collections.abc import Callable

import psycopg
import pytest

from refold.streams.settings import Settings
from tests.e2e.load import expected


def until(holds: Callable[[], bool], seconds: float, complaint: str, every: float = 0.2) -> None:
    """Wait for something, and look again after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except psycopg.OperationalError:
            pass
        time.sleep(every)
    pytest.fail(complaint)


def assert_equal_totals(settings: Settings, baskets: int) -> None:
    """Every command has its outcome, once; versions are dense; the read models hold each line and each award once."""
    want = expected(baskets)
    until(lambda: decided(settings) >= want.commands, 120, f"not all of {want.commands} commands were decided")
    until(lambda: lines(settings)[0] >= want.lines, 60, f"the read models did not reach {want.lines} lines")
    assert decided(settings) == want.commands
    assert rejected(settings) == [("quantity-below-one", want.refused)]
    for model in ("store_daily", "product_sales"):
        assert lines(settings, model) == (want.lines, want.revenue)
    until(lambda: awarded(settings) == want.points, 60, f"the households do not have {want.points}")
    assert not streams_with_gaps(settings)


def awarded(settings: Settings) -> dict[object, tuple[object, ...]]:
    """Baskets and points of each household, as the reactor's commands came to them."""
    rows = query(settings, "SELECT household_id, baskets::int, points::int FROM retail.households")
    return {household: tuple(rest) for household, *rest in rows}


def query(settings: Settings, text: str) -> list[tuple[object, ...]]:
    with psycopg.connect(settings.dsn(), connect_timeout=5) as db:
        return db.execute(text.encode()).fetchall()


def number(settings: Settings, text: str) -> int:
    ((found,),) = query(settings, text)
    assert isinstance(found, int)
    return found


def decided(settings: Settings, baskets: int = 10**9) -> int:
    """Commands with an outcome, of the load's first baskets."""
    return number(
        settings,
        "SELECT count(*) FROM refold.outcomes"
        f" WHERE category = 'retail.basket' AND split_part(stream, '-', 2)::int < {baskets:d}",
    )


def rejected(settings: Settings) -> list[tuple[object, ...]]:
    return query(settings, "SELECT code, count(*) FROM refold.outcomes WHERE code IS NOT NULL GROUP BY 1")


def lines(settings: Settings, model: str = "store_daily") -> tuple[int, object]:
    ((count, revenue),) = query(settings, f"SELECT coalesce(sum(lines), 0)::bigint, sum(revenue) FROM retail.{model}")
    assert isinstance(count, int)
    return count, revenue


def streams_with_gaps(settings: Settings) -> list[tuple[object, ...]]:
    """Streams whose version is not the number of their events, or not that of the offsets noted for them."""
    return query(
        settings,
        "SELECT s.stream FROM refold.streams s"
        " LEFT JOIN (SELECT category, stream, sum(events) n FROM refold.outcomes GROUP BY 1, 2) o USING (category, stream)"
        " LEFT JOIN (SELECT category, stream, sum(cardinality(offsets)) n FROM refold.stream_offsets GROUP BY 1, 2) p"
        " USING (category, stream) WHERE s.version IS DISTINCT FROM o.n OR s.version IS DISTINCT FROM p.n",
    )
