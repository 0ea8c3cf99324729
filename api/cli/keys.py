"""The commands `refold keys create | list | rotate | revoke`: who may use the API. A secret is shown once, when it is made."""

import getpass
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import uuid4

from cyclopts import Parameter

from refold.access.roles import Role
from refold.access.schemas import KEY, CreateKey, RevokeKey, RotateKey
from refold.api.access_errors import KeyRefused, KeysNotConfigured, KeyUndecided
from refold.api.cli import exits
from refold.api.cli.numbers import period
from refold.api.cli.one_command import Sending, decided
from refold.api.cli.output import print_json, print_table, say
from refold.api.embedded.servers import connected
from refold.api.http.doors.secret import Key, hash_of, new_key, new_secret
from refold.schemas.contracts import Command
from refold.streams.domain import load_domains
from refold.streams.postgres.connection import answering, connect
from refold.streams.settings import Settings

_WAIT_S = 30.0
_LIST = (
    "SELECT key_id, name, roles, created_at, rotated_at, old_until, expires_at, revoked_at FROM access.keys"
    " ORDER BY created_at, key_id"
)
_COLUMNS = ("id", "name", "roles", "created", "rotated", "old secret until", "expires", "revoked")
Period = Annotated[timedelta, Parameter(converter=period)]


def create(
    name: str, *, role: list[Role], expires: Period | None = None, execute: bool = False, json: bool = False
) -> int:
    """Create a key.

    Args:
        name: who holds it, as 1-60 letters, digits and . _ -: the actor of its commands.
        role: producer, analyst, operator or admin; say it again for each further role.
        expires: how long it is taken, as 90d, 12h or 5m; without it until it is revoked.
        execute: do it, instead of only printing the plan.
        json: print one JSON document.
    """
    settings, key = _settings(), new_key()
    roles = ",".join(one.value for one in Role if one in role)
    until = None if expires is None else _from_now(expires)
    ends = "never expires" if until is None else f"expires at {until.isoformat()}"
    if not execute:
        return _planned(f"It would create a key for {name} with the roles {roles}, which {ends}.", json=json)
    _send(settings, CreateKey(key_id=key.id, name=name, roles=roles, hash=hash_of(key.secret), expires_at=until))
    return _told_once(key, json=json)


def rotate(key_id: str, *, keep_old: Period = timedelta(hours=1), execute: bool = False, json: bool = False) -> int:
    """Give a key another secret.

    Args:
        key_id: the key's id, as `refold keys list` shows it.
        keep_old: how long the present secret is taken as well, as 1h; 0m: not at all.
        execute: do it, instead of only printing the plan.
        json: print one JSON document.
    """
    settings, until = _settings(), _from_now(keep_old)
    if not execute:
        return _planned(
            f"It would give {key_id} a new secret, and take the present one until {until.isoformat()}.", json=json
        )
    key = Key(key_id, new_secret())
    _send(settings, RotateKey(key_id=key_id, hash=hash_of(key.secret), old_until=until))
    return _told_once(key, json=json)


def revoke(key_id: str, *, execute: bool = False, json: bool = False) -> int:
    """Take a key back for good.

    Args:
        key_id: the key's id, as `refold keys list` shows it.
        execute: do it, instead of only printing the plan.
        json: print one JSON document.
    """
    settings = _settings()
    if not execute:
        return _planned(f"It would revoke {key_id} for good. Whoever uses it is refused a second later.", json=json)
    _send(settings, RevokeKey(key_id=key_id))
    if json:
        print_json({"executed": True, "key_id": key_id})
    else:
        say(f"{key_id} is revoked.")
    return exits.DONE


def list_(*, json: bool = False) -> int:
    """List the keys.

    Args:
        json: print one JSON document.
    """
    settings = connected(_settings())
    with answering(), closing(connect(settings.dsn(), application_name="keys")) as db:
        rows = [dict(zip(_COLUMNS, row, strict=True)) for row in db.execute(_LIST).fetchall()]
    if json:
        print_json(
            [{name.replace(" ", "_"): value for name, value in row.items()} | {"state": _state(row)} for row in rows]
        )
    elif rows:
        print_table([{**{name: _shown(value) for name, value in row.items()}, "state": _state(row)} for row in rows])
    else:
        say("There is no key. Create the first one: refold keys create NAME --role admin --execute")
    return exits.DONE


def _settings() -> Settings:
    settings = Settings.load()
    if "keys" not in settings.api_doors:
        raise KeysNotConfigured(f"api_doors is {', '.join(settings.api_doors)}, so nobody needs a key")
    return settings


def _from_now(period: timedelta) -> datetime:
    return (datetime.now(UTC) + period).replace(microsecond=0)


def _planned(text: str, *, json: bool) -> int:
    if json:
        print_json({"executed": False, "plan": text})
    else:
        say(f"{text} Nothing is done without --execute.")
    return exits.DONE


def _send(settings: Settings, body: Command) -> None:
    """Raises KeyRefused, KeyUndecided."""
    settings = connected(settings)
    sent = Sending(KEY, body, uuid4(), actor=f"cli:{getpass.getuser()}")
    outcome = decided(settings, load_domains(settings.domains), sent, _WAIT_S)
    if outcome is None:
        raise KeyUndecided(f"nobody decided the command within {_WAIT_S:g} s")
    if not outcome.accepted:
        raise KeyRefused(f"{outcome.code}: {outcome.message}")


def _told_once(key: Key, *, json: bool) -> int:
    if json:
        print_json({"executed": True, "key_id": key.id, "key": key.text})
    else:
        print(key.text)
        say("This is the only time that it is shown. Send it as `Authorization: Bearer KEY`.")
    return exits.DONE


def _state(row: dict[str, Any]) -> str:
    if row["revoked"] is not None:
        return "revoked"
    return "expired" if row["expires"] is not None and row["expires"] <= datetime.now(UTC) else "taken"


def _shown(value: object) -> object:
    return value.isoformat(sep=" ", timespec="seconds")[:19] if isinstance(value, datetime) else value
