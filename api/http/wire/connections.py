"""One connection of the HTTP server: the bounds of bytes and time that hold before a request is known, and while it is answered.

Bytes are counted before the parser keeps them, so bytes beyond a bound cost no more memory than the bound.
"""

import asyncio
import time
from collections.abc import Callable

import msgspec
from httptools import HttpParserError, HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from refold.api.errors import ApiError, HeadersTimeout, HeadersTooLarge, RequestMalformed, TargetTooLong
from refold.api.http.wire.descriptors import warn_if_few
from refold.api.http.wire.problems import PROBLEM_JSON, problem_body
from refold.api.http.wire.request_ids import HEADER, SCOPE, request_id_of

MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 << 10
"""Most bytes of all headers of a request together; trailers count too."""
MAX_TARGET_BYTES = 32 << 10
"""Most bytes of the path with its query, as sent."""
HEADERS_S = 10.0
"""Seconds from a connection's start, or from the first byte of a later request, until the headers' end."""
KEEP_ALIVE_S = 30
WRITE_S = 30.0
"""Seconds within which a client has to read some bytes of a waiting answer."""
_LINGER_S = 1.0
"""Seconds for which we still read from a refused client, so that the answer reaches it: a socket closed with unread bytes is reset."""
_LINE_BYTES = len(b": \r\n")


class _AnswersTransport:
    """What an answer is written to. Its end closes the connection, but not before a client that still sends could read it."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write, self.close = transport.write, close


class BoundedConnection(HttpToolsProtocol):
    """Refuses headers that are too large or too slow, ends clients that do not read, makes room when the server is full."""

    refused: ApiError | None = None
    _answered = _lingers = False
    _sent_id: bytes | None = None
    """The id that the client gave its request."""
    _header_bytes = 0
    _idle_bytes = 0
    """Bytes fed since the parser last produced something: it may be keeping them all."""
    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # asyncio's own signature says BaseTransport; a server gets this one
        """A silent client gets no more time than a slow one."""
        super().connection_made(transport)
        warn_if_few(transport.get_extra_info("socket").fileno())
        self.silent_since = time.monotonic()
        self._head_timer = self.loop.call_later(HEADERS_S, self._head_too_slow)
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timers: none outlives its connection."""
        self._stop_head_timer()
        self._stop_write_timer()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def _make_room(self) -> None:
        """End a connection that asks nothing at the moment, so that this one, which may be a probe, is answered.

        Connections that never asked go first, then the longest silent ones: a client about to ask is not reset.
        """
        others = [
            other
            for other in self.connections
            if other is not self and isinstance(other, BoundedConnection) and not other.busy()
        ]
        if others:
            longest = min(others, key=lambda other: (other.scope is not None, other.silent_since))
            self.connections.discard(longest)
            longest.transport.abort()

    def busy(self) -> bool:
        """Whether a request of this connection is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        """Feed the parser in pieces, none larger than the parser may keep."""
        if len(data) <= MAX_HEADER_BYTES:
            self._feed(data)
        else:
            for begin in range(0, len(data), MAX_HEADER_BYTES):
                self._feed(data[begin : begin + MAX_HEADER_BYTES])
        if self._head_timer is None and not self.busy() and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(HEADERS_S, self._head_too_slow)

    def _feed(self, piece: bytes) -> None:
        if self._answered or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self._idle_bytes += len(piece)
        try:
            self.parser.feed_data(piece)
        except HttpParserUpgrade:  # an upgrade is ignored, and the request answered
            pass
        except HttpParserError:
            self._refuse(self.refused or RequestMalformed("the bytes on the connection are not an HTTP/1.1 request"))
        if self._idle_bytes > MAX_HEADER_BYTES:
            self._refuse(_too_large())

    def on_message_begin(self) -> None:
        """Start the counts of a new request."""
        self._header_bytes = self._idle_bytes = 0
        self._sent_id = None
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count the path's bytes. Raises TargetTooLong."""
        self.url += url
        self._idle_bytes = 0
        if len(self.url) > MAX_TARGET_BYTES:
            self.refused = TargetTooLong(f"the path with its query is longer than {MAX_TARGET_BYTES:,} bytes")
            raise self.refused

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count the headers' bytes. Raises HeadersTooLarge."""
        self._header_bytes += len(name) + len(value) + _LINE_BYTES
        if self._header_bytes > MAX_HEADER_BYTES or len(self.headers) >= MAX_HEADERS:
            self.refused = _too_large()
            raise self.refused
        super().on_header(name, value)
        if len(name) == len(HEADER) and self.headers[-1][0] == HEADER:
            self._sent_id = value

    def on_headers_complete(self) -> None:
        """The headers are complete; from now on the body's own limits hold (`bodies`)."""
        self._idle_bytes = 0
        self._stop_head_timer()
        super().on_headers_complete()
        self.scope[SCOPE] = said = request_id_of(self._sent_id)  # type: ignore[literal-required] # ours
        self.cycle.transport = _AnswersTransport(self.transport, self._close_answered)  # type: ignore[assignment]  # all that a cycle uses of one
        self.cycle.default_headers = [*self.cycle.default_headers, (HEADER, said.encode())]
        if getattr(self.server_state, "draining", False):
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """The parser produced a piece of the body."""
        self._idle_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete; the next bytes belong to the next request."""
        self._idle_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is written. A client that leaves its end unread does not keep the connection open by that."""
        if self._lingers:
            return
        super().on_response_complete()
        self.silent_since = time.monotonic()
        if self.transport.is_closing():
            self._close_soon()

    def _close_answered(self) -> None:
        """After the last answer. A body that is still coming is read and dropped for a time: else the client is reset."""
        if not self.cycle.more_body or self.transport.is_closing():
            self.transport.close()
            return
        self._answered = self._lingers = True
        self._stop_head_timer()
        self.flow.resume_reading()
        self.transport.write_eof()
        self._stop_write_timer()
        self._write_timer = self.loop.call_later(_LINGER_S, self.transport.abort)

    def shutdown(self) -> None:
        """Close because the server ends; an unread answer still has its usual time."""
        if self._lingers:
            return
        super().shutdown()
        if self.transport.is_closing():
            self._close_soon()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection without a request, and end it if its client does not read either."""
        self._stop_head_timer()
        self._close_soon()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write: it has WRITE_S to take the next piece."""
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(WRITE_S, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again: stop the timer."""
        if not self._answered and not self.transport.is_closing():
            self._stop_write_timer()
        super().resume_writing()

    def _head_too_slow(self) -> None:
        """Refuse a client whose headers are late. One that sent nothing gets no answer: it may have connected in advance."""
        self._head_timer = None
        if self.busy() or self._answered:
            return
        in_its_body = self.cycle is not None and self.cycle.more_body  # of an answered request
        if not in_its_body and (self._idle_bytes or self.scope is not None):
            self._refuse(HeadersTimeout(f"the request's headers did not end within {HEADERS_S:g} s"))
        else:
            self._close_soon()

    def _refuse(self, error: ApiError) -> None:
        """Answer and close. An answer under way goes first, since clients read answers in order."""
        if self._answered or self.transport.is_closing():
            return
        self._answered = True
        self._stop_head_timer()
        if self.busy() and (self.cycle.response_started or not self.cycle.more_body or self.pipeline):
            self.cycle.keep_alive = False
            return
        if self.busy():  # the request waits for its body: we answer in its place
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        said = request_id_of(self._sent_id)
        body = msgspec.json.encode(problem_body(error, {SCOPE: said}))
        headers = [*self.server_state.default_headers, (HEADER, said.encode())]
        self.transport.write(_head(error.status, len(body), headers) + body)
        self.transport.write_eof()
        self._stop_write_timer()
        self._write_timer = self.loop.call_later(_LINGER_S, self.transport.abort)

    def _close_soon(self) -> None:
        """Close once the client has read the answer, and end a client that does not read it."""
        if self._write_timer is None and self.transport.get_write_buffer_size():
            self._write_timer = self.loop.call_later(WRITE_S, self.transport.abort)
        self.transport.close()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


def _too_large() -> HeadersTooLarge:
    return HeadersTooLarge(f"the headers are more than {MAX_HEADERS}, or longer than {MAX_HEADER_BYTES:,} bytes in all")


def _head(status: int, length: int, defaults: list[tuple[bytes, bytes]]) -> bytes:
    own = [
        (b"content-type", PROBLEM_JSON.encode()),
        (b"content-length", str(length).encode()),
        (b"connection", b"close"),
    ]
    return STATUS_LINE[status] + b"".join(b"%b: %b\r\n" % header for header in (*defaults, *own)) + b"\r\n"
