"""Keys of the API: created, rotated, revoked. A key's id is its stream; its secret is nowhere but with its holder."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from refold.schemas import Category, Command, Event

KeyId = Annotated[
    str, Meta(description="The key's id: the first part of its text, no secret.", pattern="^[a-z2-7]{12}$")
]
Name = Annotated[
    str, Meta(description="Who holds the key: the actor of its commands.", pattern="^[A-Za-z0-9._-]{1,60}$")
]
Roles = Annotated[
    str,
    Meta(
        description="Its roles, joined by commas.",
        pattern="^(producer|analyst|operator|admin)(,(producer|analyst|operator|admin)){0,3}$",
    ),
]
Hash = Annotated[str, Meta(description="The secret's argon2id hash.", max_length=300)]
OldUntil = Annotated[datetime, Meta(description="Until when the secret before it is taken as well.")]
ExpiresAt = Annotated[datetime | None, Meta(description="When it stops being taken; null: never.")]


class CreateKey(Command):
    """Let somebody use the API."""

    stream_field = "key_id"
    key_id: KeyId
    name: Name
    roles: Roles
    hash: Hash
    expires_at: ExpiresAt = None


class RotateKey(Command):
    """Give a key another secret."""

    stream_field = "key_id"
    key_id: KeyId
    hash: Hash
    old_until: OldUntil


class RevokeKey(Command):
    """Take a key back for good."""

    stream_field = "key_id"
    key_id: KeyId


class KeyCreated(Event):
    """A key was created."""

    name: Name
    roles: Roles
    hash: Hash
    expires_at: ExpiresAt = None


class KeyRotated(Event):
    """A key got another secret."""

    hash: Hash
    old_hash: Annotated[str, Meta(description="The argon2id hash of the secret before it.", max_length=300)]
    old_until: OldUntil


class KeyRevoked(Event):
    """A key was taken back."""


KEY = Category("access.key", commands=(CreateKey, RotateKey, RevokeKey), events=(KeyCreated, KeyRotated, KeyRevoked))
CATEGORIES = (KEY,)
