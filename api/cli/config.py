"""The command `refold config show`: prints the settings in effect."""

from psycopg import conninfo, pq
from pydantic import SecretStr

from refold.api.cli.output import print_json, print_table
from refold.api.cli.sql import analysts_address
from refold.api.embedded.servers import analyst_address, find_running
from refold.streams.settings import Settings

ADDRESSES = ("kafka", "database_url", "analyst_url")
RUNNING = "embedded server, running"


def show(*, json: bool = False, sql: bool = False) -> None:
    """Print the settings in effect, with the addresses of the embedded servers that run in the data folder.

    Args:
        json: print one JSON document.
        sql: print only the values that a tool needs to connect to the read models, with the password.
    """
    settings, origins = Settings.load_with_origins()
    if sql:
        _show_login(analysts_address(settings), json=json)
        return
    effective = in_effect(settings)
    origins |= {name: RUNNING for name in ADDRESSES if getattr(settings, name) is None and getattr(effective, name)}
    shown = effective.model_dump(mode="json") | {name: masked(getattr(effective, name)) for name in ADDRESSES[1:]}
    rows = [
        {"setting": name, "value": shown[name], "origin": origins[name], "meaning": field.description}
        for name, field in Settings.model_fields.items()
    ]
    if json:
        print_json(rows)
    else:
        print_table(rows)


def _show_login(address: str, *, json: bool) -> None:
    parts = {str(name): str(value) for name, value in conninfo.conninfo_to_dict(address).items()}
    names = ("host", "port", "dbname", "user", "password")
    login: dict[str, str] = {name: parts[name] for name in names if name in parts} | {"url": address}
    if json:
        print_json(login)
    else:
        print_table([{"field": name, "value": value} for name, value in login.items()])


def in_effect(settings: Settings) -> Settings:
    """The settings with the addresses that commands in this folder use."""
    found = find_running(settings.data)
    database, analysts = settings.database_url or found.database_url, analyst_address(settings)
    return settings.model_copy(
        update={
            "kafka": settings.kafka or found.kafka,
            "database_url": SecretStr(database) if isinstance(database, str) else database,
            "analyst_url": SecretStr(analysts) if analysts else None,
        }
    )


def masked(url: SecretStr | None) -> str | None:
    """The address with its secrets masked."""
    if url is None:
        return None
    parts = {
        part.keyword.decode(): part.val.decode()
        for part in pq.Conninfo.parse(url.get_secret_value().encode())
        if part.val
    }
    hidden = {name: "**********" if "password" in name else value for name, value in parts.items()}
    return " ".join(f"{name}={value}" for name, value in hidden.items())
