"""A socket that listens, or one clear error."""

import os
import socket

from refold.streams.errors import AddressRefused

BACKLOG = 2048


def listening(host: str, port: int, backlog: int = BACKLOG) -> socket.socket:
    """Listen on an address; port 0 takes a free one. Raises AddressRefused."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=backlog)
    except (OSError, UnicodeError) as problem:
        number = getattr(problem, "errno", None) or 0
        why = os.strerror(number) if number > 0 else getattr(problem, "strerror", None) or str(problem)
        raise AddressRefused(f"cannot listen on {_shown(host, port)}: {why}") from problem


def address(listener: socket.socket) -> str:
    """Where it listens, as the beginning of a URL."""
    return f"http://{_shown(*listener.getsockname()[:2])}"


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
