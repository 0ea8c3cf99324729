"""`/registry`: Confluent's Schema Registry over REST, read-only, so that its clients and kcat can read our topics."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
from litestar import Request, Router, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, SkipValidation

from refold.api.errors import UnknownParameter
from refold.api.http.describe.registry_view import Registered, RegistryView
from refold.api.http.wire.accepting import JSON
from refold.api.http.wire.answer import Answer
from refold.api.http.wire.bodies import whole_body
from refold.api.http.wire.paths import ANY
from refold.schemas.avro import Schema
from refold.schemas.errors import RefoldError

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
FRESH_S = 5.0
"""Seconds after which a schema written by newer code is found at the latest."""
_MOST_VERSION = 2**31 - 1
_TAKEN = ("subject", "format", "reference_format", "deleted", "deleted_only", "normalize", "offset", "limit")
_TAKEN_TOO = ("fetchMaxId", "defaultToGlobal", "verbose", "lookupDeletedSchema", "latestOnly")
TAKEN = (*_TAKEN, *_TAKEN_TOO)
"""Parameters that Confluent's clients send with each request. They have no effect: nothing is deleted here, and lists are complete."""
AnyRequest = Request[Any, Any, Any]


class RegistryError(Exception):
    """An error in Confluent's form: an HTTP status, an error code, and a sentence."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class SchemaRegistry:
    """A view of the log's schemas, read again when it is old or lacks a requested schema."""

    def __init__(self, load: Callable[[], dict[int, Schema]], prefix: str) -> None:
        self._load, self._prefix = load, prefix
        self._view = RegistryView({}, prefix)
        self._read_at = -FRESH_S
        self._away: tuple[float, str] = -FRESH_S, ""
        self._lock = asyncio.Lock()

    async def view(self) -> RegistryView:
        """Every schema, no older than a few seconds. Raises RegistryError when Kafka is away."""
        asked = time.monotonic()
        async with self._lock:
            if asked < self._away[0]:  # a request that waited for a failed read does not start another
                raise RegistryError(503, 50001, self._away[1])
            if time.monotonic() - self._read_at >= FRESH_S:
                await self._read()
        return self._view

    async def _read(self) -> None:
        try:
            self._view = RegistryView(await asyncio.to_thread(self._load), self._prefix)
        except RefoldError as away:
            self._away = time.monotonic(), f"{away.code}: {away.message}"
            raise RegistryError(503, 50001, self._away[1]) from away
        self._read_at = time.monotonic()

    async def with_schema(self, number: int) -> RegistryView:
        """A view that has the schema. A schema never changes, so a known one is not read from Kafka again."""
        view = self._view if number in self._view.schemas else await self.view()
        if number not in view.schemas:
            raise RegistryError(404, 40403, f"Schema {number} not found")
        return view

    async def versions(self, subject: str) -> list[Registered]:
        """The versions of a subject."""
        found = (await self.view()).subjects.get(subject)
        if not found:
            raise RegistryError(404, 40401, f"Subject '{subject[:300]}' not found.")
        return found

    async def version(self, subject: str, wanted: str) -> Registered:
        """One version of a subject: its number, `latest` or -1."""
        if wanted not in {"latest", "-1"} and not (wanted.isdecimal() and 1 <= int(wanted[:11]) <= _MOST_VERSION):
            raise RegistryError(422, 42202, f"The specified version '{wanted[:100]}' is not a valid version id.")
        versions = await self.versions(subject)
        number = len(versions) if wanted in {"latest", "-1"} else int(wanted)
        if number > len(versions):
            raise RegistryError(404, 40402, f"Version {number} not found.")
        return versions[number - 1]


Schemas = NamedDependency[SkipValidation[SchemaRegistry]]


@get("/schemas/ids/{number:int}", parameters=TAKEN)
async def schema_by_id(registry: Schemas, number: FromPath[int]) -> Answer:
    """The schema of an id, as a deserializer asks for it."""
    view = await registry.with_schema(number)
    return _answer({"schema": json.dumps(view.schemas[number])})


@get("/schemas/ids/{number:int}/versions", parameters=TAKEN)
async def versions_by_id(registry: Schemas, number: FromPath[int]) -> Answer:
    """The subjects and versions that an id is."""
    found = (await registry.with_schema(number)).uses(number)
    return _answer([{"subject": use.subject, "version": use.version} for use in found])


@get("/schemas/ids/{number:int}/subjects", parameters=TAKEN)
async def subjects_by_id(registry: Schemas, number: FromPath[int]) -> Answer:
    """The subjects that have an id among their versions."""
    return _answer([use.subject for use in (await registry.with_schema(number)).uses(number)])


@get("/schemas/types", parameters=TAKEN)
async def types() -> Answer:
    """The kinds of schema there are."""
    return _answer(["AVRO"])


@get("/subjects", parameters=TAKEN)
async def subjects(registry: Schemas) -> Answer:
    """Every subject: `<topic>-<full name of the record>`."""
    return _answer(list((await registry.view()).subjects))


@get("/subjects/{subject:str}/versions", parameters=TAKEN)
async def versions(registry: Schemas, subject: FromPath[str]) -> Answer:
    """The numbers of a subject's versions."""
    return _answer([found.version for found in await registry.versions(subject)])


@get("/subjects/{subject:str}/versions/{version:str}", parameters=TAKEN)
async def version(registry: Schemas, subject: FromPath[str], version: FromPath[str]) -> Answer:
    """One version of a subject."""
    return _answer((await registry.version(subject, version)).body())


@get("/subjects/{subject:str}/versions/{version:str}/schema", parameters=TAKEN)
async def schema_of_version(registry: Schemas, subject: FromPath[str], version: FromPath[str]) -> Answer:
    """The bare schema of one version."""
    return _answer(json.loads((await registry.version(subject, version)).schema))


@post("/subjects/{subject:str}", status_code=200, parameters=TAKEN)
async def look_up(request: AnyRequest, registry: Schemas, subject: FromPath[str]) -> Answer:
    """The version that equals the schema in the body."""
    await registry.versions(subject)
    sent = _sent_schema(await whole_body(request.receive, request.headers))
    try:
        found = (await registry.view()).same(subject, sent)
    except RecursionError:
        raise RegistryError(422, 42201, "The schema is nested too deep") from None
    if found is None:
        raise RegistryError(404, 40403, "Schema not found")
    return _answer(found.body())


@get(["/config", "/config/{subject:str}"], parameters=TAKEN)
async def config() -> Answer:
    """How schemas may change."""
    return _answer({"compatibilityLevel": "FULL_TRANSITIVE"})


@get(["/mode", "/mode/{subject:str}"], parameters=TAKEN)
async def mode() -> Answer:
    """Schemas come from the code's frozen files, never from here."""
    return _answer({"mode": "READONLY"})


_WRITES = ["/subjects/{subject:str}/versions", "/config", "/config/{subject:str}", "/mode", "/mode/{subject:str}"]


@post(_WRITES[:1], parameters=ANY)
async def register() -> Answer:
    """Refused."""
    raise _read_only()


@put(_WRITES[1:], parameters=ANY)
async def change() -> Answer:
    """Refused."""
    raise _read_only()


@delete(
    ["/subjects/{subject:str}", "/subjects/{subject:str}/versions/{version:str}", *_WRITES[1:]],
    status_code=200,
    parameters=ANY,
)
async def remove() -> Answer:
    """Refused."""
    raise _read_only()


def _read_only() -> RegistryError:
    return RegistryError(
        422, 42205, "The registry is in read-only mode: schemas are frozen with the code and come from the log."
    )


def _sent_schema(body: bytes) -> Schema:
    try:
        found = json.loads(json.loads(body)["schema"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise RegistryError(422, 42201, 'Expected {"schema": "<an Avro schema as JSON text>"}') from None
    if not isinstance(found, dict):
        raise RegistryError(422, 42201, "Expected the schema of a record")
    return found


def _answer(content: object, status: int = 200) -> Answer:
    return Answer(msgspec.json.encode(content), status_code=status, media_type=MEDIA_TYPE)


def _on_error(_: AnyRequest, error: RegistryError) -> Answer:
    return _answer({"error_code": error.code, "message": error.message}, error.status)


def _on_parameter(_: AnyRequest, error: UnknownParameter) -> Answer:
    return _answer({"error_code": 400, "message": error.message}, 400)


_READS = [schema_by_id, versions_by_id, subjects_by_id, types, subjects, versions, version, schema_of_version, look_up]
ROUTES = Router(
    "/registry",
    route_handlers=[*_READS, config, mode, register, change, remove],
    opt={"answers": (MEDIA_TYPE, "application/vnd.schemaregistry+json", JSON)},
    exception_handlers={RegistryError: _on_error, UnknownParameter: _on_parameter},
)
