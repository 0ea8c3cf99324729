"""The rules and read models of keys, without a server."""

from datetime import UTC, datetime
from typing import Any

import pytest

from refold.access.projections import KEY_CHANGES, KEYS
from refold.access.roles import RIGHTS, Right, Role, roles_of
from refold.access.schemas import CreateKey, KeyCreated, KeyRevoked, KeyRotated, RevokeKey, RotateKey
from refold.access.streams import DECIDERS
from refold.projections.tables.tables import analysts_read
from refold.testing import event_at, given, rejected, rows

(KEY_DECIDER,) = DECIDERS
ID = "aaaabbbbcccc"
UNTIL = datetime(2026, 1, 2, tzinfo=UTC)
CREATE = CreateKey(key_id=ID, name="till-7", roles="producer", hash="h1")
CREATED = KeyCreated(name="till-7", roles="producer", hash="h1")
ROTATE = RotateKey(key_id=ID, hash="h2", old_until=UNTIL)
ROTATED = KeyRotated(hash="h2", old_hash="h1", old_until=UNTIL)


def test_an_id_is_used_once() -> None:
    given(KEY_DECIDER).when(CREATE).then(CREATED)
    given(KEY_DECIDER, CREATED).when(CREATE).then(rejected("key-exists"))
    given(KEY_DECIDER, CREATED, KeyRevoked()).when(CREATE).then(rejected("key-exists"))


def test_a_rotation_names_the_hash_that_it_replaces() -> None:
    given(KEY_DECIDER, CREATED).when(ROTATE).then(ROTATED)
    given(KEY_DECIDER).when(ROTATE).then(rejected("key-unknown"))
    given(KEY_DECIDER, CREATED, KeyRevoked()).when(ROTATE).then(rejected("key-revoked"))


def test_a_key_is_revoked_once() -> None:
    given(KEY_DECIDER, CREATED, ROTATED).when(RevokeKey(key_id=ID)).then(KeyRevoked())
    given(KEY_DECIDER, CREATED, KeyRevoked()).when(RevokeKey(key_id=ID)).then(rejected("key-revoked"))
    given(KEY_DECIDER).when(RevokeKey(key_id=ID)).then(rejected("key-unknown"))


def test_the_rows_show_each_key_and_each_change() -> None:
    happened = [
        event_at(ID, "2026-01-01T10:00Z", CREATED),
        event_at(ID, "2026-01-01T11:00Z", ROTATED),
        event_at(ID, "2026-01-01T12:00Z", KeyRevoked()),
    ]
    (key,) = rows(KEYS, happened)
    assert (key["hash"], key["old_hash"], key["old_until"]) == ("h2", "h1", UNTIL)
    assert [key[name].hour for name in ("created_at", "rotated_at", "revoked_at")] == [10, 11, 12]
    assert [(row["change"], row["kind"]) for row in rows(KEY_CHANGES, happened)] == [
        (1, "KeyCreated"),
        (2, "KeyRotated"),
        (3, "KeyRevoked"),
    ]


def test_an_admin_has_every_right_and_a_role_of_newer_code_has_none() -> None:
    assert RIGHTS[Role.ADMIN] == frozenset(Right)
    assert roles_of("analyst,emperor") == {Role.ANALYST}
    assert Right.SEND not in RIGHTS[Role.ANALYST] | RIGHTS[Role.OPERATOR]
    assert Right.READ not in RIGHTS[Role.PRODUCER]


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
def test_keys_are_administered_by_admins_alone(role: Role) -> None:
    assert Right.ADMINISTER not in RIGHTS[role]


def test_analysts_read_no_keys_whatever_the_database_has() -> None:
    nothing: Any = None
    assert not analysts_read(nothing, "access")
