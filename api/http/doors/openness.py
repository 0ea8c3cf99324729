"""Doors without a login: `local` serves this machine alone, and `open` only where somebody said so."""

from refold.api.access_errors import DoorOpen
from refold.streams.access_settings import ALONE
from refold.streams.addresses import is_loopback
from refold.streams.settings import Settings

_WORDS = {
    "local": "whoever is on this machine may do everything, without a login",
    "open": "WHOEVER REACHES IT MAY DO EVERYTHING, without a login",
    "keys": "a request needs a key (refold keys create)",
    "jwt": "a request needs a token of the issuer",
}


def refuse_open(settings: Settings) -> None:
    """Raise DoorOpen where the door is `local` and the address is not."""
    if settings.api_doors == ["local"] and not is_loopback(settings.api_host):
        raise DoorOpen(f"the API would listen on {settings.api_host} without a login")


def lets_everybody(settings: Settings) -> bool:
    """Whether the settings say that nobody needs a login."""
    return bool(ALONE & set(settings.api_doors))


def doors_in_words(settings: Settings) -> str:
    """Who may do what."""
    return "; ".join(_WORDS[door] for door in settings.api_doors)
