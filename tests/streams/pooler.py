"""A pooler in front of Postgres, like PgBouncer: it lends sessions for a connection, a transaction or a statement.

Its sessions are libpq's connections, whose sockets it reads and writes itself, so it needs no authentication of its
own. It is a process of its own, because libpq's ping keeps the interpreter's lock while it waits.
"""

import os
import secrets
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Literal, get_args

import psycopg

from refold.api.embedded.ports import HOST

Lent = Literal["session", "transaction", "statement"]
_SSL, _GSS, _CANCEL = 80877103, 80877104, 80877102
_LENGTH = struct.Struct("!I")


@contextmanager
def pooler(url: str, lent: Lent, passes: str = "options") -> Iterator[str]:
    """The URL of a pooler before this database, while it runs. `passes`: a startup parameter that it ignores."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.streams.pooler", url, lent, passes], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


class Pooler:
    """Lends sessions of `url`, until it is killed."""

    def __init__(self, url: str, lent: Lent, passes: str) -> None:
        self._upstream, self._lent, self._passes = url, lent, passes
        self._listener = socket.create_server((HOST, 0), backlog=100)
        self._idle: list[_Session] = []

    def run(self) -> None:
        """Say the URL, and serve."""
        port = self._listener.getsockname()[1]
        print(f"{self._upstream.rpartition('@')[0]}@{HOST}:{port}/{self._upstream.rpartition('/')[2]}", flush=True)  # noqa: T201 - a program's output
        while True:
            client, _ = self._listener.accept()
            threading.Thread(target=self._served, args=(client,), daemon=True).start()

    def _served(self, client: socket.socket) -> None:
        with suppress(OSError, EOFError, psycopg.Error), closing(client):
            if (parameters := _startup(client)) is None:
                return
            known = {"user", "database", "application_name", "client_encoding", self._passes}
            if unknown := sorted(set(parameters) - known):
                client.sendall(_error("FATAL", f"unsupported startup parameter: {unknown[0]}"))
                return
            session = self._taken()
            client.sendall(session.welcome())
            if self._lent != "session":
                self._idle.append(session)
            self._lend(client, session)

    def _taken(self) -> "_Session":
        """The one that was given back last."""
        return self._idle.pop() if self._idle else _Session(self._upstream)

    def _lend(self, client: socket.socket, own: "_Session") -> None:
        session = own if self._lent == "session" else None
        try:
            while (message := _message(client))[0] != b"X":
                session = session or self._taken()
                session.socket.sendall(_packed(message))
                if message[0] not in b"QS":  # what ends by an answer: a simple query, or a sync
                    continue
                state = _answered(session, client)
                if state != b"I" and self._lent == "statement":
                    client.sendall(_error("FATAL", "transaction blocks not allowed in statement pooling mode"))
                    return
                if state == b"I" and self._lent != "session":
                    self._idle.append(session)
                    session = None
        finally:
            if session is not None:
                session.close()


class _Session:
    def __init__(self, url: str) -> None:
        self._db = psycopg.connect(url, autocommit=True)
        self.socket = socket.socket(fileno=os.dup(self._db.pgconn.socket))
        self.socket.setblocking(True)

    def welcome(self) -> bytes:
        """That the client is let in, and what it is told of the server; the process id is the pooler's own."""
        told = b"R" + _LENGTH.pack(8) + _LENGTH.pack(0)
        for name in (b"server_version", b"server_encoding", b"client_encoding", b"DateStyle", b"TimeZone"):
            body = name + b"\0" + (self._db.pgconn.parameter_status(name) or b"") + b"\0"
            told += b"S" + _LENGTH.pack(len(body) + 4) + body
        return told + b"K" + _LENGTH.pack(12) + secrets.token_bytes(8) + b"Z" + _LENGTH.pack(5) + b"I"

    def close(self) -> None:
        self.socket.close()
        self._db.close()


def _startup(client: socket.socket) -> dict[str, str] | None:
    while True:
        body = _exactly(client, _LENGTH.unpack(_exactly(client, 4))[0] - 4)
        (code,) = _LENGTH.unpack(body[:4])
        if code == _CANCEL:
            return None
        if code not in {_SSL, _GSS}:
            words = body[4:].rstrip(b"\0").decode().split("\0")
            return dict(zip(words[::2], words[1::2], strict=True))
        client.sendall(b"N")


def _answered(session: _Session, client: socket.socket) -> bytes:
    """Pass the answer on; whether the session is in a transaction now."""
    while True:
        message = _message(session.socket)
        client.sendall(_packed(message))
        if message[0] == b"Z":
            return message[1]


def _message(source: socket.socket) -> tuple[bytes, bytes]:
    kind = _exactly(source, 1)
    return kind, _exactly(source, _LENGTH.unpack(_exactly(source, 4))[0] - 4)


def _packed(message: tuple[bytes, bytes]) -> bytes:
    return message[0] + _LENGTH.pack(len(message[1]) + 4) + message[1]


def _exactly(source: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        if not (piece := source.recv(size - len(found))):
            raise EOFError
        found += piece
    return bytes(found)


def _error(severity: str, text: str) -> bytes:
    body = f"S{severity}\0V{severity}\0C08P01\0M{text}\0\0".encode()
    return b"E" + _LENGTH.pack(len(body) + 4) + body


if __name__ == "__main__":
    _, given_url, given_lent, given_passes = sys.argv
    Pooler(given_url, next(lent for lent in get_args(Lent) if lent == given_lent), given_passes).run()
