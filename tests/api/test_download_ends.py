"""How downloads begin and end: one snapshot, values that stay values, and clients that are slow, gone, or cut off."""

import asyncio
import json
import socket
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import httpx
import psycopg
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from litestar.types import Receive, Scope, Send
from psycopg import sql

from refold.api.download_errors import DownloadTooSlow
from refold.api.errors import TooManyWaiting
from refold.api.http.downloads import downloading
from refold.api.http.downloads.copied import Selection
from refold.api.http.downloads.downloading import Download, Downloads, Gone
from refold.api.http.downloads.formats import FORMATS
from refold.api.http.downloads.sending import DownloadAnswer
from refold.api.http.wire.connections import BoundedConnection
from refold.api.http.wire.content_coding import encoded
from refold.api.http.wire.listening import listening
from refold.api.unavailable import NotPrepared
from tests.api.downloaded import NO_STATE, TEXTS, downloaded, stays
from tests.e2e.tables import until as _until

VIEW = ("shop", "rows")
ENDLESS = sql.SQL("SELECT generate_series(1, 1000000000) AS n, repeat('x', 1000) AS note").format()
CUT = sql.SQL("SELECT 1 / (200000 - n) AS one, repeat('x', 100) AS note FROM generate_series(1, 200000) n").format()


@pytest.fixture(scope="module")
def url(module_database: str) -> str:
    with psycopg.connect(module_database) as db:
        db.execute("CREATE SCHEMA shop")
        db.execute("CREATE TABLE shop.old AS SELECT 0 AS n FROM generate_series(1, 1000)")
        db.execute("CREATE VIEW shop.rows AS SELECT * FROM shop.old")
    return module_database


def backends(url: str) -> int:
    """Connections of downloads that Postgres still has."""
    with psycopg.connect(url, autocommit=True) as db:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'refold-download' AND datname = current_database()"
        ((count,),) = db.execute(asked).fetchall()
    return int(count)


def until(holds: Callable[[], bool]) -> None:
    _until(holds, 60.0, "it never came to be", every=0.05)


def selection(statement: sql.Composed) -> Selection:
    return Selection(VIEW, statement.as_string(), (), NO_STATE)


@asynccontextmanager
async def begun(
    url: str, statement: sql.Composed, receive: Receive, longest_s: float = 60.0
) -> AsyncIterator[Download]:
    download = await Downloads(url, longest_s).begin(selection(statement), FORMATS["csv"], receive)
    try:
        yield download
    finally:
        await download.close()


def test_values_of_any_text_arrive_as_they_are(url: str) -> None:
    @given(st.lists(TEXTS, max_size=5), TEXTS)
    def arrives(many: list[str], one: str) -> None:
        rows = sql.SQL(
            "SELECT %s::text[] AS many, %s::text AS one, %s::int[] AS none WHERE 1 = ANY(%s::int[]) AND %s"
        ).format()
        values = [many, one, None, [1, None], True]
        found = json.loads(downloaded(url, VIEW, "ndjson", rows, values))
        assert found == {"many": many, "one": one, "none": None}

    arrives()


def test_rows_and_state_are_of_one_moment(url: str) -> None:
    """A writer moves a position and its rows together; no download may see one without the other."""
    stop = threading.Event()

    def write() -> None:
        with psycopg.connect(url, autocommit=True) as db:
            while not stop.is_set():
                with db.transaction():
                    db.execute("UPDATE shop.pair SET n = n + 1")
                    db.execute("UPDATE shop.at SET n = n + 1")

    async def seen() -> tuple[int, set[int]]:
        pair = Selection(("shop", "pairs"), "SELECT n FROM shop.pairs", (), ("SELECT n FROM shop.at", ()))
        download = await Downloads(url, 60.0).begin(pair, FORMATS["csv"], stays)
        text = bytearray()

        async def sink(piece: bytes) -> None:
            text.extend(piece)

        await download.into(sink)
        await download.close()
        return download.state[0], {int(line) for line in text.split()[1:]}

    with psycopg.connect(url) as db:
        db.execute("CREATE TABLE shop.pair AS SELECT 0 AS n FROM generate_series(1, 50)")
        db.execute("CREATE VIEW shop.pairs AS SELECT * FROM shop.pair")
        db.execute("CREATE TABLE shop.at AS SELECT 0 AS n")
    with ThreadPoolExecutor() as pool:
        writing = pool.submit(write)
        try:
            found = [asyncio.run(seen()) for _ in range(20)]
        finally:
            stop.set()
        writing.result()
    assert all(rows == {at} for at, rows in found)
    assert len({at for at, _ in found}) > 1


def test_a_download_that_meets_a_promotion_has_the_rows_of_the_new_table(url: str) -> None:
    """A snapshot from before the commit would read the new table, which is empty to it."""
    with psycopg.connect(url) as db, ThreadPoolExecutor() as pool:
        db.execute("CREATE TABLE shop.new AS SELECT 7 AS n FROM generate_series(1, 3)")
        db.execute("CREATE OR REPLACE VIEW shop.rows AS SELECT * FROM shop.new")
        found = pool.submit(downloaded, url, VIEW, "csv")
        with psycopg.connect(url, autocommit=True) as other:
            waits = "SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessShareLock'"
            until(lambda: other.execute(waits).fetchone() is not None)
        db.commit()
        assert found.result() == b"n\n7\n7\n7\n"


def test_a_client_that_goes_cancels_the_query(url: str) -> None:
    async def goes() -> None:
        leaves = asyncio.Event()

        async def receive() -> Any:
            await leaves.wait()
            return {"type": "http.disconnect"}

        async def sink(_: bytes) -> None:
            leaves.set()

        async with begun(url, ENDLESS, receive) as download:
            with pytest.raises(Gone):
                await download.into(sink)

    asyncio.run(goes())
    until(lambda: backends(url) == 0)


def test_a_client_that_goes_before_the_first_row_cancels_the_query(url: str) -> None:
    async def goes() -> None:
        async def receive() -> Any:
            await asyncio.to_thread(until, lambda: backends(url) == 1)
            return {"type": "http.disconnect"}

        with pytest.raises(Gone):
            async with begun(url, sql.SQL("SELECT pg_sleep(300)::text AS n").format(), receive):
                pass

    asyncio.run(goes())
    until(lambda: backends(url) == 0)


def test_a_client_that_does_not_read_holds_no_transaction_beyond_the_bound(url: str) -> None:
    async def waits() -> None:
        async def sink(_: bytes) -> None:
            await asyncio.Event().wait()

        async with begun(url, ENDLESS, stays, longest_s=1.5) as download:
            with pytest.raises(DownloadTooSlow):
                await download.into(sink)

    asyncio.run(waits())
    until(lambda: backends(url) == 0)


def test_a_query_that_finds_no_row_in_time_is_too_slow(url: str) -> None:
    async def waits() -> None:
        async with begun(url, sql.SQL("SELECT pg_sleep(300)::text AS n").format(), stays, longest_s=0.5):
            pass

    with pytest.raises(DownloadTooSlow):
        asyncio.run(waits())
    until(lambda: backends(url) == 0)


def test_more_downloads_at_once_than_places_are_told_to_come_back(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "AT_ONCE", 1)
    monkeypatch.setattr(downloading, "_QUEUE_S", 0.1)

    async def two() -> None:
        places = Downloads(url, 60.0)
        first = await places.begin(selection(ENDLESS), FORMATS["csv"], stays)
        with pytest.raises(TooManyWaiting):
            await places.begin(selection(ENDLESS), FORMATS["csv"], stays)
        await first.close()
        await (await places.begin(selection(ENDLESS), FORMATS["csv"], stays)).close()

    asyncio.run(two())


def test_a_view_that_is_not_there_is_not_prepared(url: str) -> None:
    with pytest.raises(NotPrepared):
        downloaded(url, ("shop", "nothing"), "csv")


@pytest.fixture(scope="module")
def served(url: str) -> Iterator[int]:
    """The port of a server that answers each path with the rows of a statement."""
    statements = {"/endless": ENDLESS, "/cut": CUT, "/whole": sql.SQL("SELECT 1 AS n").format()}
    found: list[Downloads] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if not found:
            found.append(Downloads(url, 3.0))
        download = await found[0].begin(selection(statements[scope["path"]]), FORMATS["csv"], receive)
        await DownloadAnswer(download, {}).to_asgi_response()(scope, receive, send)

    listener = listening("127.0.0.1", 0)
    config = uvicorn.Config(encoded(app), http=BoundedConnection, lifespan="off", ws="none", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join()


def test_a_whole_file_ends_as_http_says(served: int) -> None:
    answer = httpx.get(f"http://127.0.0.1:{served}/whole")
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (
        200,
        "n\n1\n",
        "text/csv; charset=utf-8",
    )
    assert answer.headers["content-disposition"].startswith('attachment; filename="shop.rows-')
    assert httpx.head(f"http://127.0.0.1:{served}/whole").content == b""


def test_a_failure_half_way_breaks_the_connection_and_adds_no_text(served: int) -> None:
    found = bytearray()
    with httpx.stream("GET", f"http://127.0.0.1:{served}/cut") as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):  # noqa: PT012 - bytes come first
            for piece in answer.iter_bytes():
                found += piece
    assert set(found) <= set(b"one,note\n0x1")


def test_a_compressed_file_that_broke_off_is_no_whole_one(served: int) -> None:
    found = bytearray()
    with httpx.stream("GET", f"http://127.0.0.1:{served}/cut", headers={"accept-encoding": "gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):  # noqa: PT012 - bytes come first
            for piece in answer.iter_raw():
                found += piece
    reading = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    assert reading.decompress(found).startswith(b"one,note\n0,xxx")
    assert not reading.eof


def test_a_client_that_reads_too_slowly_is_ended_with_a_broken_connection(url: str, served: int) -> None:
    with socket.create_connection(("127.0.0.1", served)) as client:
        client.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: backends(url) == 1)
        until(lambda: backends(url) == 0)
        found, broken = bytearray(), False
        try:
            while piece := client.recv(1 << 20):
                found = (found + piece)[-100:]
        except ConnectionResetError:
            broken = True
    assert broken or not found.endswith(b"0\r\n\r\n")


def test_a_client_that_hangs_up_ends_its_query(url: str, served: int) -> None:
    with socket.create_connection(("127.0.0.1", served)) as client:
        client.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
    until(lambda: backends(url) == 0)
