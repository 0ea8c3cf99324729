"""Which credentials the configured doors check."""

from refold.api.http.doors.door import Check
from refold.api.http.doors.key_ring import Fetch, KeyRing
from refold.api.http.doors.tokens import TokenCheck
from refold.streams.settings import Settings


def checks_of(settings: Settings, fetch: Fetch) -> list[Check]:
    """The checks of the doors with a login, none for the others. Raises AccessExtraMissing."""
    found: list[Check] = []
    if "keys" in settings.api_doors:
        found.append(KeyRing(fetch))
    if settings.jwt_issuer is not None and settings.jwt_audience is not None:
        found.append(TokenCheck(settings.jwt_issuer, settings.jwt_audience, settings.jwt_roles))
    return found
