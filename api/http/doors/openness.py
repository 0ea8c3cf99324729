"""Doors without a login: `local` serves this machine alone, and `open` only where somebody said so."""

from ipaddress import ip_address

from refold.api.access_errors import DoorOpen
from refold.streams.settings import Settings

_WORDS = {
    "local": "whoever is on this machine may do everything, without a login",
    "open": "WHOEVER REACHES IT MAY DO EVERYTHING, without a login",
    "keys": "a request needs a key (refold keys create)",
}


def refuse_open(settings: Settings) -> None:
    """Raise DoorOpen where the door is `local` and the address is not."""
    if settings.api_doors == ["local"] and not is_loopback(settings.api_host):
        raise DoorOpen(f"the API would listen on {settings.api_host} without a login")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def doors_in_words(settings: Settings) -> str:
    """Who may do what."""
    return "; ".join(_WORDS[door] for door in settings.api_doors)
