"""The rules of keys: an id is used once, and a revoked key stays revoked."""

import msgspec

from refold.access.schemas import KEY, CreateKey, KeyCreated, KeyRevoked, KeyRotated, RevokeKey, RotateKey
from refold.streams import Decider, Decision, Rejected


class Key(msgspec.Struct, frozen=True):
    """A key; without a hash none was created."""

    hash: str | None = None
    revoked: bool = False


def decide_key(command: CreateKey | RotateKey | RevokeKey, key: Key) -> Decision:
    """An id is used once. Only a key that is there and not revoked is rotated or revoked."""
    if isinstance(command, CreateKey):
        if key.hash is not None:
            return Rejected("key-exists", "a key with this id was created before")
        return KeyCreated(name=command.name, roles=command.roles, hash=command.hash, expires_at=command.expires_at)
    if key.hash is None:
        return Rejected("key-unknown", "no key has this id")
    if key.revoked:
        return Rejected("key-revoked", "the key was revoked")
    if isinstance(command, RotateKey):
        return KeyRotated(hash=command.hash, old_hash=key.hash, old_until=command.old_until)
    return KeyRevoked()


def evolve_key(key: Key, event: KeyCreated | KeyRotated | KeyRevoked) -> Key:
    """Fold one event into the key."""
    match event:
        case KeyCreated(hash=hashed) | KeyRotated(hash=hashed):
            return Key(hashed, key.revoked)
        case KeyRevoked():
            return Key(key.hash, revoked=True)


DECIDERS = (Decider(KEY, Key(), decide_key, evolve_key),)
