"""Free ports, kept in the data folder: clients of a server that was killed find it again where it was."""

import json
import socket
from pathlib import Path

from refold.streams.embedded.processes import write_private

HOST = "127.0.0.1"


def kept_ports(folder: Path, names: tuple[str, ...]) -> dict[str, int]:
    """The ports of the last start where they are still free, fresh ones otherwise."""
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
    """Whether a server could listen there now; addresses in TIME_WAIT do not hinder one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _fresh_ports(names: tuple[str, ...]) -> dict[str, int]:
    probes = [socket.create_server((HOST, 0)) for _ in names]
    try:
        return {name: probe.getsockname()[1] for name, probe in zip(names, probes, strict=True)}
    finally:
        for probe in probes:
            probe.close()
