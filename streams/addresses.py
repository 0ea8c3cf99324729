"""Addresses of servers, as settings write them."""

import re
from ipaddress import ip_address

_ADDRESS = re.compile(r"(?:[^\s:,/\[\]@]+|\[[0-9A-Fa-f:.%]+\]):(?P<port>[0-9]{1,5})")
_MOST_PORT = 65_535


def is_address(server: str) -> bool:
    """Whether a text is host:port."""
    found = _ADDRESS.fullmatch(server)
    return found is not None and 0 < int(found["port"]) <= _MOST_PORT


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
