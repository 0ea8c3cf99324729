"""A read on the hot path is answered alike with and without the framework: status, headers, body, count and route."""

import json
from typing import Any

import pytest
from litestar import Litestar

from refold.streams.errors import DatabaseUnavailable
from tests.api.conftest import World
from tests.api.test_hot_paths import ask, is_hot
from tests.api.test_models import page

ROW = {"store_id": 3, "day": "2026-01-01", "revenue": "1.10", "last_at": None, "note": "n", "open": True}
READS = {
    "/v1/retail/store_daily": True,
    "/v1/retail/store_daily?limit=1": True,
    "/v1/retail/store_daily?select=note&order=revenue.desc&store_id=eq.3": True,
    "/v1/retail/store_daily?store_id=eq.x": True,
    "/v1/retail/store_daily?nothing=eq.1": True,
    "/v1/retail/store_daily?limit=-1": True,
    "/v1/retail/store_daily?format=csv": True,
    "/v1/retail/store_daily?format=nothing": True,
    "/v1/retail/store_daily?offset=100": True,
    "/v1/retail/store_daily/3,2026-01-01": True,
    "/v1/retail/store_daily/3,2026-01-01?limit=1": True,
    "/v1/retail/store_daily/3": True,
    "/v1/retail/store_daily/x,y": True,
    "/v1/retail/store_daily/explain": True,
    "/v1/retail/nothing": True,
    "/v1/nothing/store_daily": True,
    "/v1/retail/nothing/3": True,
    "/v1/retail/store_daily/": False,
    "/v1/retail/store_daily//": False,
    "/v1/retail/store_daily/3%2C2026-01-01": False,
    "/v1/retail/store_daily/3,2026-01-01/": False,
    "/v1/retail/store_daily/3,2026-01-01/explain": False,
    "/v1/retail/store_daily/changes": False,
    "/v1/retail/store_daily/.": False,
    "/v1/retail/store_daily/..": False,
    "/v1/retail/store%5fdaily": False,
    "/v1//retail/store_daily": False,
    "/v1/retail": False,
    "/v1/trace/store_daily": False,
    "/v1/streams/retail/basket": False,
    "/v1/explain/retail/store_daily": False,
    "/v1/commands/retail/basket/ScanItem": False,
}


@pytest.mark.parametrize("rows", [(ROW,), ()])
def test_reads_mean_the_same(app: Litestar, world: World, rows: tuple[dict[str, Any], ...]) -> None:
    world.pages = [page(*rows)]
    for target, hot_when_read in READS.items():
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            hot, cold = ask(app, method, target, {"host": "here"}, (b"",))
            assert hot == cold, (method, target)
        assert is_hot(app, target, "GET") == hot_when_read, target
        assert not is_hot(app, target, "HEAD"), target


READ_HEADERS: dict[str, dict[str, str]] = {
    "csv": {"accept": "text/csv"},
    "one object": {"accept": "application/vnd.pgrst.object+json"},
    "nothing that there is": {"accept": "image/png"},
    "a position": {"refold-min-position": "retail.basket.events/0:1"},
    "a position to come": {"refold-min-position": "retail.basket.events/0:99", "prefer": "wait=0"},
    "no position": {"refold-min-position": "x"},
    "an age": {"refold-max-age": "1"},
    "a tag": {"if-none-match": '"x"'},
    "any tag": {"if-none-match": "*"},
    "a count": {"prefer": "count=exact"},
    "a zone": {"prefer": "timezone=Europe/Berlin"},
    "strict": {"prefer": "handling=strict, nothing=1"},
    "a range": {"range": "0-0"},
    "codings": {"accept-encoding": "gzip, zstd"},
    "a coding alone": {"accept-encoding": "gzip, identity;q=0"},
    "a coding and a mistake": {"accept-encoding": "zstd, identity;q=0", "prefer": "handling=strict, nothing=1"},
    "no coding that there is": {"accept-encoding": "identity;q=0"},
    "a bad host": {"host": "a b"},
}


@pytest.mark.parametrize("target", ["/v1/retail/store_daily", "/v1/retail/store_daily/3,2026-01-01"])
def test_a_reads_headers_mean_the_same(app: Litestar, world: World, target: str) -> None:
    world.pages = [page(ROW)]
    for name, headers in READ_HEADERS.items():
        hot, cold = ask(app, "GET", target, {"host": "here"} | headers, (b"",))
        assert hot == cold, name


@pytest.mark.parametrize("target", ["/v1/retail/store_daily", "/v1/retail/store_daily/3,2026-01-01"])
def test_a_database_that_is_away_is_the_same_for_a_read(app: Litestar, world: World, target: str) -> None:
    world.fetch_error = DatabaseUnavailable("away")
    hot, cold = ask(app, "GET", target, {"host": "here"}, (b"",))
    assert hot == cold
    assert hot.messages[0]["status"] == 503


def test_a_good_read_is_answered_with_its_row(app: Litestar, world: World) -> None:
    world.pages = [page(ROW)]
    hot, _ = ask(app, "GET", "/v1/retail/store_daily/3,2026-01-01", {"host": "here"}, (b"",))
    assert (hot.messages[0]["status"], hot.messages[1]["body"]) == (200, json.dumps(ROW).encode())
    assert hot.route == "/v1/{domain}/{model}/{key}"
