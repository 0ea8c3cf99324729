"""Compressed answers: which coding a client gets, what stays plain, and what a body is that never ended."""

import asyncio
import gzip
import zlib
from collections.abc import Callable
from typing import Any

import cramjam
import pyarrow as pa
import pytest
from litestar.types import Message, Receive, Scope, Send

from refold.api.http.wire.answer import Answer
from refold.api.http.wire.content_coding import WORTH_BYTES, chosen, encoded
from refold.api.reading_errors import NotAcceptable

JSON, CSV, EVENTS = b"application/json", b"text/csv; charset=utf-8", b"text/event-stream; charset=utf-8"
LONG = b'[{"store_id":343,"revenue":"99.90"}]' * 5000
OPENED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "zstd": lambda b: bytes(cramjam.zstd.decompress(b)),
}


def ask(app: Any, accept: bytes | None, method: str = "GET") -> list[Message]:
    async def asked() -> list[Message]:
        found: list[Message] = []

        async def send(message: Message) -> None:
            found.append(message)

        scope: Any = {
            "type": "http",
            "method": method,
            "headers": [(b"accept-encoding", accept)] if accept is not None else [],
        }
        await encoded(app)(scope, None, send)  # type: ignore[arg-type]  # nothing is received
        return found

    return asyncio.run(asked())


def whole(body: bytes, kind: bytes = JSON, status: int = 200, **headers: str) -> Any:
    return Answer(body, status_code=status, media_type=kind.decode(), headers=headers).to_asgi_response()


def stream(*pieces: bytes, kind: bytes = CSV, ends: bool = True) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI names them
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if ends:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return app


def headers_of(messages: list[Message]) -> dict[str, str]:
    assert messages[0]["type"] == "http.response.start"
    pairs = [(name.decode(), value.decode()) for name, value in messages[0]["headers"]]
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def body_of(messages: list[Message]) -> bytes:
    return b"".join(message["body"] for message in messages if message["type"] == "http.response.body")


@pytest.mark.parametrize(
    ("header", "coding", "must"),
    [
        (b"", "identity", False),
        (b"gzip", "gzip", False),
        (b"x-gzip", "gzip", False),
        (b"GZIP;Q=0.5", "gzip", False),
        (b"zstd", "zstd", False),
        (b"gzip, deflate, br, zstd", "zstd", False),
        (b"zstd;q=0.5, gzip", "gzip", False),
        (b"zstd;q=0, gzip;q=0.001", "gzip", False),
        (b"gzip;q=0", "identity", False),
        (b"gzip;q=0.000,zstd;q=0.0", "identity", False),
        (b"deflate, br", "identity", False),
        (b"*", "zstd", False),
        (b"zstd;q=0, *", "gzip", False),
        (b"*;q=0.1, gzip;q=0.2", "gzip", False),
        (b"gzip;q=0.5, identity", "identity", False),
        (b"gzip;q=0.5, identity;q=0.5", "gzip", False),
        (b"gzip, identity;q=0", "gzip", True),
        (b"gzip;q=0.2, *;q=0", "gzip", True),
        (b"*;q=0, identity", "identity", False),
        (b"identity;q=0, *", "zstd", True),
        (b"identity", "identity", False),
        (b"gzip;q=1.5, gzip;level=9, gzip;q=, ,;", "identity", False),
        (b"gzip ; q = 1.000\t", "gzip", False),
        (b"\xff, gzip", "gzip", False),
    ],
)
def test_the_coding_is_the_one_that_the_client_likes_best(header: bytes, coding: str, must: bool) -> None:
    assert chosen(header) == (coding, must)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "header", [b"*;q=0", b"identity;q=0", b"br, identity;q=0", b"gzip;q=0, zstd;q=0, identity;q=0, br"]
)
def test_a_client_that_takes_nothing_that_there_is_is_refused_before_any_work(header: bytes, method: str) -> None:
    async def works(*_: Any) -> None:
        raise AssertionError

    with pytest.raises(NotAcceptable, match="zstd, gzip, identity"):
        ask(works, header, method)


@pytest.mark.parametrize("coding", OPENED)
def test_a_long_body_comes_compressed_with_its_own_length_and_the_same_weak_tag(coding: str) -> None:
    found = ask(whole(LONG, ETag='W/"a"', Vary="Accept, Accept-Encoding"), coding.encode())
    headers = headers_of(found)
    assert OPENED[coding](body_of(found)) == LONG
    assert headers["content-encoding"] == coding
    assert int(headers["content-length"]) == len(body_of(found)) < len(LONG) / 10
    assert (headers["etag"], headers["vary"]) == ('W/"a"', "Accept, Accept-Encoding")


def test_an_answer_that_could_be_compressed_says_so_to_caches_even_if_it_is_not() -> None:
    found = ask(whole(LONG), None)
    assert headers_of(found)["vary"] == "Accept-Encoding"
    assert "content-encoding" not in headers_of(found)
    assert body_of(found) == LONG


@pytest.mark.parametrize(
    "app",
    [
        whole(LONG[: WORTH_BYTES - 1]),
        whole(LONG, b"application/vnd.apache.parquet"),
        whole(LONG, b"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        whole(LONG, ETag='"7"'),
        whole(LONG, status=304),
        whole(LONG, b"application/problem+json", status=400),
        whole(LONG, status=503),
        stream(b"data: {}\n\n", kind=EVENTS),
    ],
    ids=["short", "parquet", "xlsx", "strong tag", "304", "problem", "unready", "events"],
)
def test_what_is_not_worth_it_or_must_stay_plain_is_passed_on_unchanged(app: Any) -> None:
    async def plain() -> list[Message]:
        found: list[Message] = []

        async def send(message: Message) -> None:
            found.append(message)

        await app({"type": "http", "method": "GET"}, None, send)
        return found

    assert ask(app, b"gzip, zstd") == asyncio.run(plain())


@pytest.mark.parametrize(
    "app", [whole(b"[]"), whole(LONG, b"application/vnd.apache.parquet"), stream(b"data: {}\n\n", kind=EVENTS)]
)
def test_a_client_that_forbids_a_plain_body_gets_none(app: Any) -> None:
    found = ask(app, b"gzip, identity;q=0")
    assert headers_of(found)["content-encoding"] == "gzip"
    assert OPENED["gzip"](body_of(found)) in {b"[]", LONG, b"data: {}\n\n"}


def test_a_problem_is_plain_whatever_the_client_forbids() -> None:
    found = ask(whole(b"{}", b"application/problem+json", status=404), b"gzip, identity;q=0")
    assert "content-encoding" not in headers_of(found)
    assert body_of(found) == b"{}"


def test_a_strong_tag_of_a_body_that_has_to_be_compressed_becomes_a_weak_one() -> None:
    found = ask(whole(b"{}", ETag='"7"'), b"gzip, identity;q=0")
    assert headers_of(found)["etag"] == 'W/"7"'


@pytest.mark.parametrize("accept", [b"gzip", b"gzip, identity;q=0"])
def test_head_has_no_coding_and_no_body(accept: bytes) -> None:
    found = ask(Answer(b"", media_type="application/json", head=True).to_asgi_response(), accept, "HEAD")
    assert "content-encoding" not in headers_of(found)
    assert headers_of(found)["vary"] == "Accept-Encoding"
    assert body_of(found) == b""


def test_an_answer_to_a_command_stays_plain() -> None:
    assert "content-encoding" not in headers_of(ask(whole(LONG, status=201), b"gzip", "POST"))
    assert body_of(ask(whole(LONG, status=201), b"*;q=0", "POST")) == LONG


@pytest.mark.parametrize(
    "kind", [CSV, b"application/json", b"application/x-ndjson", b"application/vnd.apache.arrow.stream"]
)
@pytest.mark.parametrize("coding", OPENED)
def test_each_piece_of_a_stream_can_be_read_before_the_next_one_is_made(coding: str, kind: bytes) -> None:
    pieces = [LONG, b"last,line\n", b""]
    found = ask(stream(*pieces, kind=kind), coding.encode())
    assert headers_of(found)["content-encoding"] == coding
    assert OPENED[coding](body_of(found)) == b"".join(pieces)
    if coding == "gzip":
        reading = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        assert reading.decompress(found[1]["body"]) == LONG  # type: ignore[typeddict-item]  # a body's message
        assert reading.decompress(found[2]["body"]) == b"last,line\n"  # type: ignore[typeddict-item]  # a body's message
    else:
        come = pa.BufferReader(found[1]["body"])  # type: ignore[typeddict-item]  # a body's message
        assert pa.CompressedInputStream(come, "zstd").read(len(LONG)) == LONG


@pytest.mark.parametrize("coding", OPENED)
def test_a_stream_that_breaks_off_has_no_end_and_never_reads_as_whole(coding: str) -> None:
    found = ask(stream(LONG, LONG, ends=False), coding.encode())
    assert all(message["more_body"] for message in found if message["type"] == "http.response.body")
    with pytest.raises((EOFError, OSError, cramjam.DecompressionError)):
        OPENED[coding](body_of(found))
