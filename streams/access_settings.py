"""The settings that say who may use the API, and how often."""

from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, Field, field_validator, model_validator

from refold.streams.addresses import is_loopback

ACCESS = "access"
"""Refold's own domain: the keys of the API. The door `keys` adds it to the domains."""
ALONE = frozenset({"local", "open"})
"""Doors without a login."""
_RATE = r"^[1-9][0-9]{0,8}/(second|minute|hour)$"


def names_of(value: object) -> object:
    """Variables have no lists, so `a,b` is read as one."""
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


class AccessSettings(BaseModel):
    """The doors of the API."""

    domains: list[str]
    api_doors: Annotated[list[Literal["local", "open", "keys", "jwt"]], BeforeValidator(names_of)] = Field(
        default=["local"],
        min_length=1,
        description="Who may use the API: `local` is everybody on this machine, without a login; `keys` is who has a key; `jwt` is who has a token of `jwt_issuer`; `open` is everybody who reaches its address, without a login.",
    )
    jwt_issuer: str | None = Field(
        default=None,
        description="Issuer of the tokens that the door `jwt` takes: an OpenID Connect provider, by https (or http on this machine).",
    )
    jwt_audience: str | None = Field(
        default=None, min_length=1, description="Audience (`aud`) that a token must name: this API."
    )
    jwt_roles: str = Field(
        default="roles",
        pattern=r"^[^.]+(\.[^.]+)*$",
        description="Claim that holds the roles, a list or a text with blanks; dots lead into objects, as in realm_access.roles.",
    )
    api_rate: str | None = Field(
        default=None,
        pattern=_RATE,
        description="Most requests of one key, subject or address to one API process, as 600/minute, 50/second or 10000/hour. None: any number.",
    )

    @model_validator(mode="before")
    @classmethod
    def _with_access(cls, given: dict[str, Any]) -> dict[str, Any]:
        """The door `keys` needs the domain of the keys in every process."""
        doors, domains = names_of(given.get("api_doors", [])), names_of(given.get("domains", ["retail"]))
        if isinstance(doors, list) and isinstance(domains, list) and "keys" in doors and ACCESS not in domains:
            return given | {"domains": [*domains, ACCESS]}
        return given

    @model_validator(mode="after")
    def _doors_agree(self) -> Self:
        if len(self.api_doors) > 1 and ALONE & set(self.api_doors):
            raise ValueError(f"api_doors: {' and '.join(sorted(ALONE))} are without a login, so each stands alone")
        if ("jwt" in self.api_doors) != (self.jwt_issuer is not None and self.jwt_audience is not None):
            raise ValueError("api_doors: the door `jwt` needs jwt_issuer and jwt_audience, and they need the door")
        if ACCESS in self.domains and "keys" not in self.api_doors:
            raise ValueError(f"domains: {ACCESS} is Refold's own domain; the door `keys` of api_doors adds it")
        return self

    @field_validator("jwt_issuer")
    @classmethod
    def _trusted(cls, issuer: str | None) -> str | None:
        """Keys that came over an open network would be anybody's."""
        parts = urlsplit("https://none" if issuer is None else issuer)
        if not (
            parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname)))
        ):
            raise ValueError(f"{issuer!r} is not of the form https://host/path")
        return issuer
