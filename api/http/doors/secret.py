"""The text of a key, `refold_ID_SECRET`, and the hash by which a secret is known again.

A secret has 256 random bits, so the hash need not resist guessing; argon2id is what auditors expect of stored secrets.
"""

import re
import secrets
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from refold.api.access_errors import AccessExtraMissing

if TYPE_CHECKING:  # the package is an extra
    from argon2 import PasswordHasher

_ID_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_TEXT = re.compile(r"refold_(?P<id>[a-z2-7]{12})_(?P<secret>[A-Za-z0-9_-]{43})")
_MEMORY_KIB, _PASSES = 19_456, 2
"""What OWASP advises for argon2id on one lane: 19 MiB, two passes; about 20 ms."""


class Key(NamedTuple):
    """A key as its holder has it."""

    id: str
    secret: str

    @property
    def text(self) -> str:
        """As it is shown once and sent."""
        return f"refold_{self.id}_{self.secret}"

    @property
    def digest(self) -> bytes:
        """What a process remembers of a key that it has checked."""
        return sha256(self.text.encode()).digest()


def new_key() -> Key:
    """A key with a new id."""
    return Key("".join(secrets.choice(_ID_LETTERS) for _ in range(12)), new_secret())


def new_secret() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def read_key(text: str) -> Key | None:
    """The key of a text; None if it has not the form of one."""
    found = _TEXT.fullmatch(text)
    return None if found is None else Key(found["id"], found["secret"])


def hash_of(secret: str) -> str:
    """The argon2id hash, with its parameters and salt. Raises AccessExtraMissing."""
    return str(_hasher().hash(secret))


def is_of(secret: str, hashed: str) -> bool:
    """Whether a hash is of this secret; takes as long as the hash's parameters say. Raises AccessExtraMissing."""
    hasher = _hasher()
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return bool(hasher.verify(hashed, secret))
    except (VerificationError, InvalidHashError):
        return False


def check_installed() -> None:
    """Raise AccessExtraMissing without the package that hashes."""
    _hasher()


def _hasher() -> "PasswordHasher":
    try:
        from argon2 import PasswordHasher
    except ModuleNotFoundError:
        raise AccessExtraMissing("The door `keys` needs the package argon2-cffi.") from None
    return PasswordHasher(time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=1)
