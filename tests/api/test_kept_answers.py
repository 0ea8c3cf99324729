"""An answer from memory is the answer that the table would give, byte for byte, counted and logged alike; what is not plain is asked of the table."""

import gzip
import json
import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any

import cramjam
import pytest

from refold.api.http.application import Application
from refold.api.http.hot.metrics import MISSES
from refold.api.http.reads.services import Keeping
from refold.api.http.server import server
from refold.projections.tables.served import ServedModel
from refold.streams.domain import Domains
from refold.streams.settings import Settings
from tests.api.conftest import World, over
from tests.api.moving import (
    END,
    ONE_BY_ONE,
    ROW,
    ROWS,
    TEMPLATES,
    Moving,
    client,
    code,
    from_memory,
    timeless,
    until,
)
from tests.api.test_hot_paths import counts
from tests.api.test_limits import running


@pytest.fixture
def world() -> Moving:
    return Moving()


@pytest.fixture
def app(world: World, domains: Domains, model: ServedModel) -> Application:
    found = over(world, domains, model, Keeping(1 << 20, 600.0))
    assert isinstance(found, Application)
    return found


@pytest.fixture
def port(app: Application) -> Iterator[int]:
    with running(server(Settings(api_port=0, api_drain_s=0), app)) as found:
        yield found


QUESTIONS = [
    (ROW, b""),
    (ROW, b"accept: application/vnd.pgrst.object+json\r\n"),
    (ROW, b"prefer: timezone=Europe/Berlin\r\n"),
    (ROWS, b""),
    (ROWS + b"?limit=1&order=day", b"accept: application/vnd.pgrst.array+json;nulls=stripped\r\n"),
    (ROWS + b"?store_id=eq.3", b"accept: application/vnd.pgrst.object+json\r\n"),
    (ROWS, b"range: 0-9\r\n"),
    (ROWS + b"?offset=1", b"prefer: count=exact\r\n"),
    (ROWS + b"?limit=7", b"accept-encoding: gzip, zstd\r\n"),
]


@pytest.mark.parametrize("origins", [[], ["https://shop.example"], ["*"]])
def test_an_answer_from_memory_is_the_answer_of_the_table_byte_for_byte(
    app: Application, world: Moving, origins: list[str]
) -> None:
    settings = Settings(api_port=0, api_drain_s=0, api_origins=origins)
    world.parked = 2
    with running(server(settings, app)) as port, client(port) as one:
        for target, headers in QUESTIONS:
            one.ask(target, headers)
            world.age += 2  # by then it is over when the rows were first seen here
            with from_memory(1):
                kept = one.ask(target, headers)
            with from_memory(0):
                assert timeless(kept) == timeless(one.ask(target, headers + ONE_BY_ONE)), target
            assert b"\r\nlast-modified: " in kept
            assert b"\r\ndate: " in kept


def test_what_was_asked_otherwise_is_another_answer(port: int) -> None:
    with client(port) as one:
        found = [[timeless(one.ask(target, headers)) for _ in range(2)] for target, headers in QUESTIONS]
    assert all(first == second for first, second in found)
    assert len({first for first, _ in found}) == len(QUESTIONS)


CODINGS: dict[bytes, Callable[[bytes], Any]] = {
    b"gzip": gzip.decompress,
    b"zstd": cramjam.zstd.decompress,
    b"identity": bytes,
}


def test_a_long_answer_is_kept_in_each_coding_and_all_have_one_tag(port: int, world: Moving) -> None:
    world.note = "x" * 5000
    with client(port) as one:
        for coding, opened in CODINGS.items():
            header = b"accept-encoding: %b\r\n" % coding
            one.ask(ROW, header)
            with from_memory(1):
                answer = one.ask(ROW, header)
            assert timeless(answer) == timeless(one.ask(ROW, header + ONE_BY_ONE))
            head, _, body = answer.partition(END)
            assert (b"\r\ncontent-encoding: %b" % coding in head) == (coding != b"identity")
            assert json.loads(bytes(opened(body)))["note"] == world.note
            tag = next(line for line in head.split(b"\r\n") if line.startswith(b"etag: "))[6:]
            for other in CODINGS:
                known = one.ask(ROW, b"accept-encoding: %b\r\nif-none-match: %b\r\n" % (other, tag))
                assert code(known) == b"304"
                assert b"content-encoding" not in known


def test_a_coding_that_there_is_not_is_refused_before_memory_is_asked(port: int) -> None:
    with client(port) as one, from_memory(0):
        for _ in range(2):
            answer = one.ask(ROW, b"accept-encoding: identity;q=0, br\r\n")
            assert code(answer) == b"406"
            assert b'"not-acceptable"' in answer


def test_rows_come_from_memory_only_while_the_model_stands(port: int, world: Moving) -> None:
    with client(port) as one:
        for at in (10, 11, 15):
            world.at = at
            with from_memory(2):
                answers = [one.ask(ROW) for _ in range(3)]
            for answer in answers:
                assert b'"revenue": "%d.00"' % at in answer
                assert b"refold-position: retail.basket.events/0:%d\r\n" % at in answer
    assert world.whole == 3


@pytest.mark.parametrize("what", ["at", "parked"])
def test_an_answer_is_never_older_than_what_was_committed_before_it_was_asked_for(
    port: int, world: Moving, what: str
) -> None:
    with client(port) as one, client(port) as other:
        for number in range(1, 20):
            one.ask(ROW)
            setattr(world, what, 10 + number)
            answers = [other.ask(ROW), one.ask(ROW)]
            wanted = b"0:%d\r\n" % world.at if what == "at" else b"refold-parked: %d\r\n" % world.parked
            assert all(wanted in answer for answer in answers)


def test_lag_and_age_are_those_of_now(port: int, world: Moving) -> None:
    with client(port) as one:
        one.ask(ROW)
        world.behind = 7
        for age in (101.0, 205.5):
            world.age = age
            with from_memory(1):
                answer = one.ask(ROW)
            assert b"refold-lag: 7\r\nrefold-age: %d\r\n" % -(-int(age * 10) // 10) in answer


NOT_PLAIN = [
    b'if-none-match: "x"\r\n',
    b"if-modified-since: Sat, 28 Nov 2026 16:00:00 GMT\r\n",
    b"refold-min-position: retail.basket.events/0:1\r\n",
    b"refold-max-age: 1000\r\n",
    b"origin: https://shop.example\r\n",
    b"content-length: 1\r\n\r\nx",
    b"accept: application/json\r\naccept: */*\r\n",
    b"host: a b\r\n",
    b"connection: close\r\n",
    b"connection: upgrade\r\nupgrade: websocket\r\n",
]


def test_requests_that_are_not_plain_go_to_the_table(port: int) -> None:
    for headers in NOT_PLAIN:
        with client(port) as one, client(port) as other:
            for kept in (b"", b"accept: application/json\r\n", b"accept: */*\r\n"):
                one.ask(ROW, kept)
            with from_memory(0):
                assert other.ask(ROW, headers).startswith((b"HTTP/1.1 200", b"HTTP/1.1 400")), headers


def test_other_methods_and_versions_go_to_the_table(port: int) -> None:
    with client(port) as one, from_memory(0):
        one.ask(ROW)
        one.connection.sendall(b"HEAD %b HTTP/1.1\r\nhost: here\r\n\r\n" % ROW)
        assert one.answer().startswith(b"HTTP/1.1 200")
        one.send(ROW, version=b"1.0")
        assert b"connection: close" in one.answer()


def accessed(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines about requests. Other loggers are heard, too, once a test of this process has let them."""
    return [record.getMessage() for record in caplog.records if record.name == "refold.access"]


def test_an_answer_from_memory_is_counted_and_logged_as_any(app: Application, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(api_port=0, api_drain_s=0, api_access_log=True)
    with running(server(settings, app)) as port, client(port) as one, caplog.at_level(logging.INFO, "refold.access"):
        for target, route in zip((ROWS, ROW), TEMPLATES, strict=True):
            before, missed = counts(), MISSES._value.get()
            with from_memory(2):
                for _ in range(3):
                    one.ask(target, b"x-request-id: mine\r\n")
            series = ("refold_http_requests_total", "GET", route, "200"), ("refold_http_request_seconds_count", route)
            until(lambda: len(accessed(caplog)) >= 3)
            for name in series:
                until(lambda name=name, before=before: counts()[name] - before.get(name, 0) >= 3)
                assert counts()[name] - before.get(name, 0) == 3
            assert MISSES._value.get() - missed == 1
            assert {message.rpartition(" 200 ")[0] for message in accessed(caplog)} == {f"GET {route}"}
            caplog.clear()


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        pytest.param(ROWS, b"prefer: count=planned\r\n", id="a-guess-of-postgres"),
        pytest.param(ROWS + b"?last_at=gt.now", b"", id="a-time-that-moves"),
        pytest.param(b"/v1/retail", b"", id="no-rows"),
    ],
)
def test_what_may_change_while_the_model_stands_is_not_kept(
    app: Application, port: int, target: bytes, headers: bytes
) -> None:
    with client(port) as one:
        one.ask(ROW)
        assert len(app.kept._kept) == 1
        one.send(target, headers)
        until(lambda: END in one.connection.recv(65536, socket.MSG_PEEK))
    assert len(app.kept._kept) == 1
