"""Server-Sent Events as bytes. Pure.

Invariant: only the last event of a batch has an id. A client that loses its connection within a batch has the id of
the batch before, and gets the whole batch again.
"""

import json
from collections.abc import Mapping

RETRY_MS = 1000
"""Milliseconds after which a client connects again; EventSource takes it from `retry:`."""
BEGINNING = f"retry: {RETRY_MS}\n\n".encode()
HEARTBEAT = b":\n\n"


def row(text: str) -> bytes:
    """A row as it is now, as JSON. The JSON has no line break: Postgres writes none."""
    return b"event: row\ndata: " + text.encode() + b"\n\n"


def removed(key: str) -> bytes:
    """The row with this key is no longer shown."""
    return b"event: removed\ndata: " + key.encode() + b"\n\n"


def position(place: str, about: Mapping[str, object]) -> bytes:
    """All events before it give exactly the rows at this place."""
    return _event("position", about, place)


def reset(place: str | None, reason: str, *, rows_follow: bool) -> bytes:
    """The client must drop its rows: it begins with the rows that follow, or reads again."""
    return _event("reset", {"reason": reason, "rows": "follow" if rows_follow else "read"}, place)


def end(code: str, message: str) -> bytes:
    """The last event of a stream that this process ends. It has no id: the client goes on where it is."""
    return _event("end", {"code": code, "message": message})


def moved(place: str) -> bytes:
    """Moves a client's Last-Event-ID and shows it no event: nothing that it reads has changed up to here."""
    return f"id: {place}\n\n".encode()


def _event(name: str, data: Mapping[str, object], place: str | None = None) -> bytes:
    said = "" if place is None else f"id: {place}\n"
    return f"event: {name}\n{said}data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()
