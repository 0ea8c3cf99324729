"""One connection of the HTTP server: what a client may send before its request is known, and how long anything may take it.

Bytes are counted before the parser keeps them: what is beyond a bound costs no more than the bound.
"""

import asyncio
import time

import msgspec
from httptools import HttpParserError, HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from refold.api.errors import ApiError, HeadersTimeout, HeadersTooLarge, RequestMalformed, TargetTooLong
from refold.api.http.wire.problems import PROBLEM_JSON, problem_body
from refold.api.http.wire.request_ids import HEADER, SCOPE, request_id_of

MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 << 10
"""Of all headers of a request together; trailers count too."""
MAX_TARGET_BYTES = 32 << 10
"""Of the path with its query, as they are sent."""
HEADERS_S = 10.0
"""From a connection's begin, or from the first byte of a later request, until its headers end."""
KEEP_ALIVE_S = 30
WRITE_S = 30.0
"""In which a client has to take something of an answer that waits for it."""
_LINGER_S = 1.0
"""For which a refused client is still read, so that the answer reaches it: a socket closed with bytes unread is reset."""
_LINE_BYTES = len(b": \r\n")


class BoundedConnection(HttpToolsProtocol):
    """Refuses heads that are too large or too slow, ends clients that do not read, makes room when the server is full."""

    refused: ApiError | None = None
    _answered = False
    _sent_id: bytes | None = None
    """The id that the client gave its request."""
    _header_bytes = 0
    _idle_bytes = 0
    """Bytes of which nothing came since the parser last got somewhere: it may be keeping them all."""
    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # asyncio's own signature says BaseTransport; a server gets this one
        """A client that sends nothing is given no longer than one that sends slowly."""
        super().connection_made(transport)
        self.silent_since = time.monotonic()
        self._head_timer = self.loop.call_later(HEADERS_S, self._head_too_slow)
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """No timer outlives its connection."""
        self._stop_head_timer()
        self._stop_write_timer()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def _make_room(self) -> None:
        """End one that asks nothing at the moment, so that this one, which may be a probe, is answered.

        Who never asked goes before who did, and of each who has been silent for longest: who is about to ask is not reset.
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
        """Feed the parser in pieces, none of which is larger than what it may keep."""
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
        except HttpParserUpgrade:  # to what we do not speak: it is answered as what it is otherwise
            pass
        except HttpParserError:
            self._refuse(self.refused or RequestMalformed("what came over the connection is no HTTP/1.1 request"))
        if self._idle_bytes > MAX_HEADER_BYTES:
            self._refuse(_too_large())

    def on_message_begin(self) -> None:
        """A new request is counted anew."""
        self._header_bytes = self._idle_bytes = 0
        self._sent_id = None
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Raises TargetTooLong."""
        self.url += url
        self._idle_bytes = 0
        if len(self.url) > MAX_TARGET_BYTES:
            self.refused = TargetTooLong(f"the path with its query is longer than {MAX_TARGET_BYTES:,} bytes")
            raise self.refused

    def on_header(self, name: bytes, value: bytes) -> None:
        """Raises HeadersTooLarge."""
        self._header_bytes += len(name) + len(value) + _LINE_BYTES
        if self._header_bytes > MAX_HEADER_BYTES or len(self.headers) >= MAX_HEADERS:
            self.refused = _too_large()
            raise self.refused
        super().on_header(name, value)
        if len(name) == len(HEADER) and self.headers[-1][0] == HEADER:
            self._sent_id = value

    def on_headers_complete(self) -> None:
        """From here on the body's own limits hold (`bodies`)."""
        self._idle_bytes = 0
        self._stop_head_timer()
        super().on_headers_complete()
        self.scope[SCOPE] = said = request_id_of(self._sent_id)  # type: ignore[literal-required] # ours
        self.cycle.default_headers = [*self.cycle.default_headers, (HEADER, said.encode())]
        if getattr(self.server_state, "draining", False):
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Bytes of which something came."""
        self._idle_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """What follows is the next request."""
        self._idle_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """A client that leaves the last of an answer unread does not keep its connection open with it."""
        super().on_response_complete()
        self.silent_since = time.monotonic()
        if self.transport.is_closing():
            self._close_soon()

    def shutdown(self) -> None:
        """As the server ends; what is unread is given as long as ever."""
        super().shutdown()
        if self.transport.is_closing():
            self._close_soon()

    def timeout_keep_alive_handler(self) -> None:
        """Of a connection without a request: close it, and end it where its client does not even read."""
        self._stop_head_timer()
        self._close_soon()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write: it has WRITE_S to take the next piece."""
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(WRITE_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads."""
        if not self._answered and not self.transport.is_closing():
            self._stop_write_timer()
        super().resume_writing()

    def _head_too_slow(self) -> None:
        """Of whom nothing came at all is told nothing: it may be a connection opened in advance."""
        self._head_timer = None
        if self.busy() or self._answered:
            return
        in_its_body = self.cycle is not None and self.cycle.more_body  # of a request that is answered already
        if not in_its_body and (self._idle_bytes or self.scope is not None):
            self._refuse(HeadersTimeout(f"the request's headers did not end within {HEADERS_S:g} s"))
        else:
            self._close_soon()

    def _refuse(self, error: ApiError) -> None:
        """Answer and close; after the answer that is under way, if one is, as clients take answers in their order."""
        if self._answered or self.transport.is_closing():
            return
        self._answered = True
        self._stop_head_timer()
        if self.busy() and (self.cycle.response_started or not self.cycle.more_body or self.pipeline):
            self.cycle.keep_alive = False
            return
        if self.busy():  # it waits for its body: what it would answer is answered here
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
        """Close once what was written is read, and end what does not read it."""
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
