"""What the holder of a key may do. A key has one role or several."""

from enum import Enum


class Role(Enum):
    """A set of rights. `ADMIN` has every right."""

    PRODUCER = "producer"
    ANALYST = "analyst"
    OPERATOR = "operator"
    ADMIN = "admin"


class Right(Enum):
    """What a request needs."""

    SEND = "send commands and events"
    OUTCOME = "read what became of a command"
    READ = "read models, streams and explanations"
    WATCH = "read metrics"
    ANY = "be known"
    ADMINISTER = "administer access"


RIGHTS: dict[Role, frozenset[Right]] = {
    Role.PRODUCER: frozenset({Right.SEND, Right.OUTCOME, Right.ANY}),
    Role.ANALYST: frozenset({Right.READ, Right.OUTCOME, Right.ANY}),
    Role.OPERATOR: frozenset({Right.READ, Right.OUTCOME, Right.WATCH, Right.ANY}),
    Role.ADMIN: frozenset(Right),
}


def roles_of(text: str) -> frozenset[Role]:
    """Roles joined by commas; one that this code does not know gives no right."""
    named = text.split(",")
    return frozenset(role for role in Role if role.value in named)
