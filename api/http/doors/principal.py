"""Who asks: the holder of a key, as far as this server has checked it."""

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass

from refold.access.roles import RIGHTS, Right, Role
from refold.api.access_errors import Forbidden
from refold.api.errors import HeaderInvalid
from refold.api.http.doors.metrics import REFUSED
from refold.streams.access_settings import ACCESS

_LONGEST = 200
"""Characters of an actor."""


@dataclass(frozen=True)
class Principal:
    """Who asks. `name`: the actor of commands."""

    name: str
    roles: frozenset[Role]

    def has(self, right: Right) -> bool:
        """Whether one of its roles has a right."""
        return any(right in RIGHTS[role] for role in self.roles)

    def require(self, right: Right) -> None:
        """Raise Forbidden without the right."""
        if not self.has(right):
            able = [role.value for role in Role if right in RIGHTS[role]]
            raise Forbidden(f"this key may not {right.value}; the role {' or '.join(able)} may")


NOBODY = Principal("nobody", frozenset())
"""May do nothing: who asks where no door has said who it is."""
EVERYBODY = Principal("everybody", frozenset({Role.ADMIN}))
"""May do everything: whoever asks behind a door without a login, and on the command line."""
ASKS: ContextVar[Principal] = ContextVar("asks", default=NOBODY)
"""Who asks the request that is being answered. A door says it for each; a way past all doors must not open one."""


def is_without_login() -> bool:
    """Whether nobody has to say who asks."""
    return ASKS.get() is EVERYBODY


def is_hidden(domain: str) -> bool:
    """Whether a domain is as if it were not there for who asks: the keys are shown to admins alone."""
    return domain == ACCESS and not ASKS.get().has(Right.ADMINISTER)


def shown_domains(names: Iterable[str]) -> list[str]:
    """Those of some domains that are there for who asks."""
    return [name for name in names if not is_hidden(name)]


def require_sending(category: str) -> None:
    """Raise Forbidden if who asks may not send commands to a category. It is counted here, as the answer to a batch is none of a refusal."""
    try:
        ASKS.get().require(Right.ADMINISTER if category.startswith(f"{ACCESS}.") else Right.SEND)
    except Forbidden:
        REFUSED.labels(Forbidden.code).inc()
        raise


def actor_of(category: str, said: str | None) -> str | None:
    """The actor of a command: who sent it, and `for` whom it says that it did. Raises Forbidden, HeaderInvalid.

    Each command passes here when it is read, so that a line of a batch is refused alone.
    """
    require_sending(category)
    if is_without_login():
        return said
    asks = ASKS.get()
    actor = asks.name if said in (None, asks.name) else f"{asks.name} for {said}"
    if len(actor) > _LONGEST:
        raise HeaderInvalid(f"the actor {actor[:60]!r}…, with the key's name, is longer than {_LONGEST} characters")
    return actor
