"""Free ports, kept in the data folder, so that clients find a killed server again at the same port."""

import json
import secrets
import socket
from pathlib import Path

from refold.streams.private_files import write_private

HOST = "127.0.0.1"
_UNASKED_FOR = range(20_000, 32_000)


def kept_ports(folder: Path, names: tuple[str, ...]) -> dict[str, int]:
    """The last start's ports where they are still free, fresh ones otherwise."""
    kept = recorded_ports(folder)
    if set(kept) == set(names) and all(map(is_free, kept.values())):
        return kept
    ports = _fresh_ports(names)
    write_private(folder / "ports.json", json.dumps(ports))
    return ports


def recorded_ports(folder: Path) -> dict[str, int]:
    """The ports of the last start, or none."""
    try:
        return {str(name): int(port) for name, port in json.loads((folder / "ports.json").read_text()).items()}
    except (OSError, ValueError, AttributeError):
        return {}


def is_free(port: int) -> bool:
    """Whether a server could listen there now; addresses in TIME_WAIT do not prevent it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _fresh_ports(names: tuple[str, ...]) -> dict[str, int]:
    """Free ports below those for outgoing connections, one of which could be taken before the server has started."""
    found: list[int] = []
    while len(found) < len(names):
        port = secrets.choice(_UNASKED_FOR)
        if port not in found and is_free(port):
            found.append(port)
    return dict(zip(names, found, strict=True))
