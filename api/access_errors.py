"""Errors at the doors of the API: who asks, and what the asker may do."""

from refold.api.errors import ApiError
from refold.schemas.errors import RefoldError


class CredentialsMissing(ApiError):
    """The request does not say who asks."""

    code, status = "credentials-missing", 401
    remedy = "Send `Authorization: Bearer KEY`. An admin creates keys with `refold keys create`."


class CredentialsInvalid(ApiError):
    """No key that is taken now is the one that the request has: it is unknown, revoked, expired or mistyped; or its token is not sound."""

    code, status = "credentials-invalid", 401
    remedy = "Send a key as it was printed when it was created or rotated (`refold keys list` shows which are taken), or a fresh token of the issuer."


class Forbidden(ApiError):
    """The roles of the key do not include this."""

    code, status = "forbidden", 403
    remedy = "Ask an admin for a key with the role that the message names."


class TooManyTries(ApiError):
    """Too many wrong secrets were sent for this key, or too many keys are checked at once."""

    code, status, retry_after = "too-many-tries", 429, 2
    remedy = "Send it again after `Retry-After`."


class RateExceeded(ApiError):
    """More requests than the setting `api_rate` allows came with this key, for this subject or from this address."""

    code, status = "rate-exceeded", 429
    remedy = "Send it again after `Retry-After`; `RateLimit-Remaining` of each answer says how many requests are left."


class KeysUnreadable(ApiError):
    """This process has not been able to read the keys, or the issuer's keys, for a while, so it lets nobody in by them."""

    code, status, retry_after = "keys-unreadable", 503, 2
    remedy = "Start Postgres and the workers, which keep the table of keys (`refold status`), or the issuer."


class DoorOpen(RefoldError):
    """The API would serve everybody who reaches its address, without a login, and nobody has said that it may."""

    code = "door-open"
    remedy = "Set REFOLD_API_DOORS=keys and create keys (docs/access.md), or say REFOLD_API_DOORS=open, or listen on 127.0.0.1."


class AccessExtraMissing(RefoldError):
    """The doors `keys` and `jwt`, and a limit of rate, need a package that is not installed."""

    code = "access-extra-missing"
    remedy = "Install Refold with the extra `access`: pip install 'refold[access]'."


class KeysNotConfigured(RefoldError):
    """Keys are asked for, and the API does not have the door `keys`."""

    code = "keys-not-configured"
    remedy = "Set REFOLD_API_DOORS=keys (or api_doors in refold.toml) for all processes, and start them again."


class KeyRefused(RefoldError):
    """The rules of keys refuse a change: no key has the id, it exists already, or it was revoked."""

    code = "key-refused"
    remedy = "`refold keys list` shows the keys."


class KeyUndecided(RefoldError):
    """The change of a key is in the log, and no handler has decided it yet."""

    code = "key-undecided"
    remedy = "Start the workers with the same settings (`refold status`). If a key was to be created, create another one: its secret was not shown."
