"""A connection of the HTTP server that gives kept answers itself: one parse, one look into memory, one write.

Between the request and its answer lies only Postgres's word where the model stands (`standing_now`). Whatever is not plain (a client that
pipelines, a server that stops, a model that moved) goes the ordinary way, before a byte is written. The answer is the same on both ways.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Any

from refold.api.http.describe.metrics import count_answer
from refold.api.http.doors.door import Door
from refold.api.http.hot.kept import Kept, KeptAnswers, question_of
from refold.api.http.hot.metrics import HITS
from refold.api.http.hot.standing_now import Stands
from refold.api.http.wire.access_log import log_answer
from refold.api.http.wire.connections import BoundedConnection
from refold.api.http.wire.limited import admitted
from refold.api.http.wire.request_ids import HEADER, request_id_of

_GET = "GET"


class _Nobody:
    """Waits for no message of a request that has none."""

    def set(self) -> None:
        pass


class _Asked:
    """Stands in the place of uvicorn's cycle while Postgres is asked where the model stands. The attributes are those that connections use of a cycle."""

    response_started = response_complete = disconnected = False
    more_body = keep_alive = True
    message_event = _Nobody()

    def __init__(self, kept: Kept, told: "Callable[[_Asked, Stands | None], None]") -> None:
        self.kept, self.began, self._told = kept, perf_counter(), told
        kept.stands.ask(self._hear)

    def _hear(self, stands: Stands | None) -> None:
        if not (self.response_complete or self.disconnected):
            self._told(self, stands)


class _ParsedHead:
    """What uvicorn asks its parser at the end of the headers, for a request that was put aside: the parser may be further by now."""

    def get_http_version(self) -> str:
        return "1.1"

    def get_method(self) -> bytes:
        return _GET.encode()

    def should_upgrade(self) -> bool:
        return False

    def should_keep_alive(self) -> bool:
        return True


class KeepingConnection(BoundedConnection):
    """Gives kept answers, and asks the application for all others."""

    asked: _Asked | None = None

    def __init__(self, kept: KeptAnswers, added: bytes, door: Door, *, logs: bool, **more: Any) -> None:
        """`added`: headers behind those of each answer; `logs`: whether each request is logged."""
        super().__init__(**more)
        self._kept, self._added, self._door, self._logs = kept, added, door, logs

    def on_message_begin(self) -> None:
        """A request that comes before the answer to the last one makes both ordinary: uvicorn keeps their order."""
        if self.asked is not None:
            self._ask_application(self.asked)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Look into memory; the application is asked if the answer is not there."""
        kept = self._found()
        if kept is None:
            super().on_headers_complete()
            return
        self._idle_bytes = 0
        self._stop_head_timer()
        self.asked = asked = _Asked(kept, self._told)
        self.cycle = asked  # type: ignore[assignment]  # all that connections use of one

    def shutdown(self) -> None:
        """The last answers of a server that stops are the application's."""
        if self.asked is not None:
            self._ask_application(self.asked)
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits any more."""
        super().connection_lost(exc)
        self.asked = None

    def _found(self) -> Kept | None:
        parser, cycle = self.parser, self.cycle
        if (
            parser.get_method() != b"GET"
            or (cycle is not None and not cycle.response_complete)
            or not parser.should_keep_alive()
            or parser.get_http_version() != "1.1"
            or parser.should_upgrade()
            or not self._is_calm()
        ):
            return None
        question = question_of(self.url, self.headers)
        kept = None if question is None else self._kept.find(question)
        return kept if kept is not None and self._door.lets_read(self.headers) else None

    def _is_calm(self) -> bool:
        """Whether the server serves on and has room, and the client reads what it gets."""
        return (
            not getattr(self.server_state, "draining", False)
            and len(self.connections) <= admitted(self.limit_concurrency)
            and not self.flow.write_paused
        )

    def _told(self, asked: _Asked, stands: Stands | None) -> None:
        """Postgres has said where the model stands: answer, or ask the application if the rows may be others by now."""
        if self.asked is not asked:
            return
        if stands is None or not asked.kept.is_of(stands) or not (asked.keep_alive and self._is_calm()):
            self._ask_application(asked)
            return
        kept, said = asked.kept, request_id_of(self._sent_id)
        first = [b"%b: %b\r\n" % header for header in self.server_state.default_headers]
        first.append(b"%b: %b\r\n" % (HEADER, said.encode()))
        self.transport.write(kept.text(b"".join(first), stands, self._added))
        self.asked, asked.response_complete = None, True
        took = perf_counter() - asked.began
        HITS.inc()
        count_answer(_GET, kept.route, str(kept.status), took)
        if self._logs:
            log_answer(_GET, kept.route, kept.status, took)
        self.on_response_complete()

    def _ask_application(self, asked: _Asked) -> None:
        """Go on as if the headers had just been read."""
        self.asked = self.cycle = None  # type: ignore[assignment]  # as before the first request
        parser = self.parser
        self.parser = _ParsedHead()  # type: ignore[assignment]  # all that uvicorn asks of one there
        try:
            super().on_headers_complete()
        finally:
            self.parser = parser
        self.cycle.keep_alive = self.cycle.keep_alive and asked.keep_alive
        self.cycle.more_body = asked.more_body
        if not asked.more_body:
            self.cycle.message_event.set()
