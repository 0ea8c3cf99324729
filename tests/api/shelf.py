"""An API over tables of any shape that tests make, through a real server and a real Postgres."""

import threading
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import uvicorn
from psycopg import sql

from refold.api.http.application import application
from refold.api.http.commands.services import CommandServices
from refold.api.http.describe.registry import SchemaRegistry
from refold.api.http.describe.services import OperationServices
from refold.api.http.downloads.downloading import Downloads
from refold.api.http.reads.services import Keeping, ModelReads, ModelServices, StreamServices
from refold.api.http.server import server as server_of
from refold.api.http.wire.database import Database
from refold.api.http.wire.lookups import Lookups
from refold.projections.tables.serving import ServedColumn, ServedModel
from refold.streams.domain import load_domains
from refold.streams.postgres.connection import connect
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.settings import Settings
from tests.api.conftest import NOTHING, World

HTTP = httpx.Client(timeout=60)
"""A client made for each request would take longer than all else."""


@dataclass
class Site:
    """An API over tables that a test makes."""

    url: str
    db: psycopg.Connection[Any]
    models: dict[tuple[str, str], ServedModel]

    def make(
        self, name: str, columns: dict[str, str], key: list[str], rows: list[list[Any]], *, view: bool = True
    ) -> str:
        """A table with these rows, served as a declared view is; its path."""
        self.db.execute("CREATE SCHEMA IF NOT EXISTS shelf")
        parts = sql.SQL(", ").join(sql.SQL("{} {}").format(sql.Identifier(c), sql.SQL(t)) for c, t in columns.items())
        self.db.execute(sql.SQL("CREATE TABLE shelf.{} ({})").format(sql.Identifier(name), parts))
        for row in rows:
            places = sql.SQL(", ").join(sql.SQL("%s::" + kind) for kind in columns.values())
            self.db.execute(sql.SQL("INSERT INTO shelf.{} VALUES ({})").format(sql.Identifier(name), places), row)
        served = tuple(ServedColumn(c, t, nullable=view, doc="") for c, t in columns.items())
        reads = ("other",) if view else ()
        self.models["shelf", name] = ServedModel("shelf", name, "", served, tuple(key), ("retail.basket",), reads)
        return f"{self.url}/v1/shelf/{name}"

    def all_pages(self, url: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        answer = HTTP.get(url)
        while True:
            assert answer.status_code == 200, answer.text
            found += answer.json()
            assert len(answer.headers.get("link", "")) < 1500
            following = self.following(answer)
            if not following:
                return found
            answer = HTTP.get(following)

    def following(self, page: httpx.Response) -> str:
        """The next page's address, empty after the last."""
        path = page.links.get("next", {}).get("url", "")
        assert bool(path) == ("refold-cursor" in page.headers)
        return path and self.url + path


@contextmanager
def serving(url: str, keeping: Keeping = NOTHING) -> Iterator[Site]:
    """A site over a database, served while the block lasts; `keeping`: how many answers to reads it keeps."""
    database, lookups = Database(url), Lookups(url)
    models: dict[tuple[str, str], ServedModel] = {}
    app = served(models, database, lookups, Downloads(url, 60.0), keeping)
    server: uvicorn.Server = server_of(Settings(api_port=0, api_drain_s=0), app)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with connect(url, application_name="test") as db:
        bootstrap(db)
        yield Site(f"http://127.0.0.1:{port}", db, models)
    server.should_exit = True
    thread.join()


def served(
    models: dict[tuple[str, str], ServedModel],
    database: Database,
    lookups: Lookups,
    downloads: Downloads,
    keeping: Keeping,
) -> Any:
    domains, world = load_domains(["retail"]), World()

    @asynccontextmanager
    async def opened() -> Any:
        await database.open()
        yield
        await lookups.close()
        await database.close()

    return application(
        CommandServices(domains, world, world.append, world.queue, 0.2),
        StreamServices(domains, world.fetch, world.read, "", world.offset_at),
        ModelServices(
            domains,
            models,
            ModelReads(
                database.fetch,
                lookups.fetch,
                world.moved,
                lambda _: False,
                database.fetch_in_zone,
                downloads=downloads,
            ),
            "",
            keeping=keeping,
        ),
        OperationServices(world.ready, lambda: b""),
        SchemaRegistry(lambda: world.schemas, "p."),
        opened,
    )
