"""Settings, from defaults, refold.toml, REFOLD_* variables and files named by REFOLD_*_FILE; later sources win.

Unknown keys are refused.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from psycopg import OperationalError, pq
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from refold.streams.access_settings import AccessSettings, names_of
from refold.streams.addresses import is_address
from refold.streams.errors import BadSettings, NotConnected
from refold.streams.kafka_login import addresses, check_options
from refold.streams.setting_sources import PREFIX, read

_ORIGIN = re.compile(r"https?://(?:[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")


def _small(value: object) -> object:
    """`INFO` is accepted as `info`."""
    return value.lower() if isinstance(value, str) else value


class Settings(AccessSettings):
    """The whole configuration, read once when a process starts and handed down."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kafka: str | None = Field(
        default=None, description="Kafka's bootstrap servers, host:port, joined by commas. None: the embedded one."
    )
    kafka_config: Path | None = Field(
        default=None,
        description="File with TLS, the login and other settings of librdkafka for the clients of Kafka, a `name=value` a line; in refold.toml relative to that file.",
    )
    database_url: SecretStr | None = Field(
        default=None, description="Postgres, postgresql://user:password@host:port/name. None: the embedded one."
    )
    analyst_url: SecretStr | None = Field(
        default=None,
        description="Postgres, with a login that may only read; `refold sql` uses and prints it. None: the embedded one's.",
    )
    data: Path = Field(default=Path(".refold"), description="Folder of the embedded servers' data, logs and metrics.")
    topic_prefix: str = Field(
        default="", pattern=r"^[A-Za-z0-9._-]*$", max_length=100, description="Prefix of every topic's name."
    )
    domains: Annotated[list[str], BeforeValidator(names_of)] = Field(
        default=["retail"], min_length=1, description="Domains to run: `retail`, or Python packages of yours."
    )
    domain_path: Annotated[list[Path], BeforeValidator(names_of)] = Field(
        default=[],
        description="Folders to search for domains first; in refold.toml relative to that file. Then come PYTHONPATH, installed packages, and last the current folder.",
    )
    partitions: int = Field(
        default=4, ge=1, le=1024, description="Partitions of a category's topics; recorded when they are created."
    )
    event_headers: Annotated[Literal["none", "cloudevents"], BeforeValidator(_small)] = Field(
        default="none",
        description="Headers of new events: none, or cloudevents (`ce_…`), for consumers that are not Refold's.",
    )
    handlers: int = Field(
        default=1, ge=1, le=64, description="Handler processes of this machine; they share the partitions of commands."
    )
    api_host: str = Field(default="127.0.0.1", description="Address the HTTP API listens on.")
    api_port: int = Field(default=8080, ge=0, le=65535, description="Port the HTTP API listens on; 0 takes a free one.")
    api_origins: Annotated[list[str], BeforeValidator(names_of)] = Field(
        default=[],
        description="Origins whose pages may call the API in a browser (CORS), such as https://shop.example; `*` is every origin.",
    )
    api_drain_s: float = Field(
        default=1.0,
        ge=0,
        le=60,
        description="Seconds for which a stopping API still answers, with /readyz at 503 and each connection closed after its answer.",
    )
    api_kept_mb: int = Field(
        default=32,
        ge=0,
        le=65_536,
        description="Most MiB of answers to reads that an API process keeps in memory; 0 keeps none.",
    )
    api_kept_s: float = Field(
        default=1.0,
        ge=0,
        le=3600,
        description="Seconds for which an answer is kept. A change that moves no position, such as one by hand, shows after them; 0 keeps none.",
    )
    download_s: float = Field(
        default=600.0,
        ge=1,
        le=86_400,
        description="Seconds for which a download may hold its snapshot in Postgres; one that its client reads more slowly is broken off.",
    )
    probe_host: str = Field(
        default="127.0.0.1", description="Address on which a worker answers /livez, /readyz and /metrics."
    )
    probe_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port of that address; 0 takes a free one. Under a supervisor the handler has this one, core, models and reactors the next three, further handlers those behind. None: no worker listens.",
    )
    chunk_records: int = Field(default=5000, ge=1, le=100_000, description="Most records that one transaction folds.")
    command_wait_s: float = Field(
        default=5.0, ge=0, le=60, description="Seconds to wait for a command's outcome before the answer is 202."
    )
    decode_attempts: int = Field(
        default=3,
        ge=1,
        le=100,
        description="Deaths on the same records before a worker searches for the killing one; then deaths on one record before it is set aside.",
    )
    stuck_cpu_s: float = Field(
        default=60.0,
        ge=5,
        le=3600,
        description="Seconds of CPU time after which a worker's attempt at some records counts as endless: its process ends, which is a death.",
    )

    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_small)] = Field(
        default="info", description="Lowest level of logged lines: debug, info, warning or error."
    )
    log_format: Annotated[Literal["text", "json"], BeforeValidator(_small)] = Field(
        default="text", description="Form of log lines: text, or json with one object a line."
    )
    api_access_log: bool = Field(default=False, description="Whether the API logs a line for each request.")

    @field_validator("database_url", "analyst_url")
    @classmethod
    def _readable(cls, url: SecretStr | None) -> SecretStr | None:
        """Checks the URL by libpq. Later, libpq's own message would print the bad part, usually the password."""
        try:
            pq.Conninfo.parse((url or SecretStr("")).get_secret_value().encode())
        except OperationalError:
            raise ValueError(
                "not of the form postgresql://user:password@host:port/name, or with a character that must be percent-encoded"
            ) from None
        return url

    @field_validator("kafka")
    @classmethod
    def _addresses(cls, servers: str | None) -> str | None:
        """Host and port of each server. A client would ask for an address that cannot be for ever, as if it were away."""
        if servers is None:
            return None
        each = [server.strip() for server in servers.split(",")]
        if (odd := next((server for server in each if not is_address(server)), None)) is not None:
            raise ValueError(f"{odd!r} is not of the form host:port; several are joined by commas")
        return ",".join(each)

    @field_validator("kafka_config")
    @classmethod
    def _usable(cls, path: Path | None) -> Path | None:
        """A line that is no setting, or a certificate that cannot be read, is told before anything starts."""
        if path is not None:
            check_options(path)
        return path and path.absolute()

    @field_validator("api_origins")
    @classmethod
    def _origins(cls, origins: list[str]) -> list[str]:
        """Spelt as browsers spell them: any other spelling would never match."""
        if (odd := next((one for one in origins if one != "*" and not _ORIGIN.fullmatch(one)), None)) is not None:
            raise ValueError(
                f"{odd!r} is neither `*` nor of the form https://host or https://host:port, in lower case, without a path"
            )
        return origins

    @field_validator("domain_path")
    @classmethod
    def _folders(cls, path: list[Path]) -> list[Path]:
        """Absolute paths, so a process that starts elsewhere finds the same folders."""
        if missing := [str(folder) for folder in path if not folder.is_dir()]:
            raise ValueError(f"there is no folder {', '.join(missing)}")
        return [folder.absolute() for folder in path]

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read every source, or raise one error that names every fault."""
        values, _, faults = read(environ, cls.model_fields)
        return cls._checked(values, faults)

    @classmethod
    def for_lines(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """The defaults with the requested form of log lines, for reporting that the settings are invalid."""
        wanted = str(read(environ, cls.model_fields)[0].get("log_format", "")).lower()
        return cls(log_format="json") if wanted == "json" else cls()

    @classmethod
    def load_with_origins(cls, environ: Mapping[str, str] = os.environ) -> tuple[Self, dict[str, str]]:
        """The settings, and the source of each."""
        values, origins, faults = read(environ, cls.model_fields)
        return cls._checked(values, faults), {name: origins.get(name, "default") for name in cls.model_fields}

    @classmethod
    def _checked(cls, values: dict[str, Any], faults: list[str]) -> Self:
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            places = [
                (".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, "))
                for fault in error.errors()
            ]
            faults = faults + [f"{place}: {text}" for place, text in places]
            raise BadSettings("; ".join(faults)) from None
        if faults:
            raise BadSettings("; ".join(faults))
        return settings

    @model_validator(mode="after")
    def _login_has_an_address(self) -> Self:
        if self.kafka_config is not None and self.kafka is None:
            raise ValueError("kafka_config: the file needs `kafka`, the address of the broker that wants the login")
        return self

    def with_servers(self, kafka: str | None, database_url: str | None) -> Self:
        """The same settings, with these servers instead; None means no server."""
        secret = None if database_url is None else SecretStr(database_url)
        return self.model_copy(update={"kafka": kafka, "database_url": secret})

    def kafka_servers(self) -> str:
        """Kafka's bootstrap servers, with what `kafka_config` says. Raises NotConnected if none is named, BadSettings."""
        if self.kafka is None:
            raise NotConnected("No Kafka is named and none runs in the data folder.")
        return self.kafka if self.kafka_config is None else addresses(self.kafka, self.kafka_config)

    def dsn(self) -> str:
        """The database's URL with its password. Raises NotConnected if none is named."""
        if self.database_url is None:
            raise NotConnected("No Postgres is named and none runs in the data folder.")
        return self.database_url.get_secret_value()

    def require_servers(self) -> None:
        """Raise NotConnected early if no server is named."""
        self.kafka_servers()
        self.dsn()

    def environment(self) -> dict[str, str]:
        """The variables that give a child process exactly these settings."""
        lists = {
            name: ",".join(map(str, given)) or None
            for name, given in self.model_dump().items()
            if isinstance(given, list)
        }
        shown = self.model_dump() | lists | {"data": str(self.data.absolute())}
        for name, secret in (("database_url", self.database_url), ("analyst_url", self.analyst_url)):
            shown[name] = secret and secret.get_secret_value()
        return {f"{PREFIX}{name.upper()}": str(value) for name, value in shown.items() if value is not None}
