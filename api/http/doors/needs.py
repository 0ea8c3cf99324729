"""What a request needs: its method and path alone say it, so a refusal says nothing of what is there."""

import re

from refold.access.roles import Right

_EVERYBODYS = re.compile(r"/livez|/readyz|/problems/[^/]*")
_SENDS = re.compile(r"/v1/(?:commands|events)(?:/.*)?", re.DOTALL)
_OUTCOME = re.compile(r"/v1/streams/[^/]+/[^/]+/[^/]+/commands/.+", re.DOTALL)
_STREAM_BY_NAME = re.compile(r"/v1/streams/[^/]+/[^/]+")
_COMMAND_NAMED = re.compile(rb"(?:^|&)command=")
_DESCRIPTIONS = re.compile(r"/|/docs|/openapi\.json|/asyncapi\.json|/registry(?:/.*)?", re.DOTALL)
"""The shape of the log and of the API. The registry's clients look schemas up by POST."""
_SLASHES = re.compile(r"/{2,}")
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


def need_of(method: str, path: str, query: bytes = b"") -> Right | None:
    """The right that a request needs; None: everybody has it. `path` is decoded, as routes see it.

    Whatever is known to be neither sending nor harmless needs READ: a path that the routes tidy up, by slashes, needs what the tidy one needs.
    """
    path = _SLASHES.sub("/", path).rstrip("/") or "/"
    reads = method in _READS
    if reads and _EVERYBODYS.fullmatch(path):
        return None
    if path == "/metrics":
        return Right.WATCH
    if _DESCRIPTIONS.fullmatch(path):
        return Right.ANY
    if _SENDS.fullmatch(path):
        return Right.SEND
    if reads and (_OUTCOME.fullmatch(path) or (_STREAM_BY_NAME.fullmatch(path) and _COMMAND_NAMED.search(query))):
        return Right.OUTCOME
    return Right.READ
