"""The read models of access: every key, and every change of one. Admins alone read them."""

from refold.access.schemas import KEY, KeyCreated, KeyRevoked, KeyRotated
from refold.projections import ACTOR, EVENT_TYPE, OCCURRED_AT, Entity, EventTable, cell, events

created = events(KEY, KeyCreated)
rotated = events(KEY, KeyRotated)
revoked = events(KEY, KeyRevoked)
hashed = events(KEY, KeyCreated, KeyRotated)

KEYS = Entity(
    name="keys",
    domain="access",
    description="One row for each key of the API, revoked ones too.",
    category=KEY,
    key_name="key_id",
    key_doc="The key's id: the first part of its text, no secret.",
    columns={
        "name": created.last("name", "Who holds it: the actor of its commands."),
        "roles": created.last("roles", "Its roles, joined by commas."),
        "hash": hashed.last("hash", "The argon2id hash of its secret."),
        "old_hash": rotated.last("old_hash", "The hash of the secret before the last rotation."),
        "old_until": rotated.last("old_until", "Until when that one is taken as well."),
        "expires_at": created.last("expires_at", "When it stops being taken; null: never."),
        "created_at": created.min(OCCURRED_AT, "When it was created."),
        "rotated_at": rotated.max(OCCURRED_AT, "When it got its present secret; null: it has its first."),
        "revoked_at": revoked.min(OCCURRED_AT, "When it was revoked; null: it was not."),
    },
)

KEY_CHANGES = EventTable(
    name="key_changes",
    domain="access",
    description="One row for each change of a key: what, when and by whom.",
    of=events(KEY, KeyCreated, KeyRotated, KeyRevoked),
    stream=("key_id", "The key's id."),
    version=("change", "Number among the key's changes."),
    columns={
        "kind": cell(EVENT_TYPE, "KeyCreated, KeyRotated or KeyRevoked."),
        "at": cell(OCCURRED_AT, "When."),
        "by": cell(ACTOR, "Who did it."),
        "name": cell("name", "Who holds the key; said when it was created."),
        "roles": cell("roles", "Its roles; said when it was created."),
    },
)
READ_MODELS = (KEYS, KEY_CHANGES)
