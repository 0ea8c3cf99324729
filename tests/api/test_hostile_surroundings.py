"""A hostile database, role and environment change no answer, even for a role that may create nothing or only read."""

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from litestar.testing import TestClient
from psycopg import sql
from pydantic import SecretStr

from refold.api.cli.stack import Stack
from refold.api.http.resources import Resources
from refold.streams.domain import Domains
from refold.streams.postgres.connection import connect
from refold.streams.settings import Settings
from tests.conftest import settings_for
from tests.streams.test_sessions import ENVIRONMENT, HOSTILE

pytestmark = pytest.mark.timeout(240)
WORDS = dict.fromkeys(("department", "brand", "category", "type"), "Crème brûlée 日本 é")


@pytest.fixture
def roles(database: str) -> Iterator[tuple[str, str]]:
    """A role that will write what is there, and one that will read it."""
    names = [f"r_{uuid.uuid4().hex}" for _ in range(2)]
    with psycopg.connect(database, autocommit=True) as admin:
        for name in names:
            admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'right'").format(sql.Identifier(name)))
    yield names[0], names[1]
    with connect(
        database, application_name="test"
    ) as admin:  # by then what is set for the database would end any other
        for name in names:
            admin.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def test_answers_do_not_depend_on_the_database_the_role_or_the_environment(
    kafka: str, database: str, tmp_path: Path, roles: tuple[str, str], monkeypatch: pytest.MonkeyPatch, domains: Domains
) -> None:
    settings = settings_for(kafka, database, tmp_path)
    before = used(settings)
    give(database, *roles)
    with psycopg.connect(database, autocommit=True) as admin:
        for name, value in HOSTILE.items():
            admin.execute(f'ALTER DATABASE "{database.rpartition("/")[2]}" SET {name} = {value}'.encode())
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    after = used(as_role(settings, roles[0]))
    assert after == before
    assert "Crème brûlée 日本 é" in after

    reader = Resources(as_role(settings, roles[1]), domains)
    with TestClient(reader.application()) as client:
        for _ in range(100):
            checks = {check["name"]: check["ok"] for check in client.get("/readyz").json()["checks"]}
            if all(checks[name] for name in ("postgres", "kafka", "prepared")):
                break
            time.sleep(0.1)
        assert checks | {"workers": True} == dict.fromkeys(("postgres", "kafka", "workers", "prepared"), True)
        assert len(client.get("/v1/retail/baskets").json()) == 2


def used(settings: Settings) -> str:
    """Commands through everything, and what is read of them, without what differs from one time to the next."""
    product, basket = str(uuid.uuid4().int % 10**15), f"b-{uuid.uuid4().hex}"
    with Stack(settings, lambda _: None) as running:
        running.wait_until_ready()
        with httpx.Client(base_url=running.api_url, timeout=40) as api:
            sent = [
                ("product/ListProduct", {"product_id": product, **WORDS}),
                ("basket/OpenBasket", {"basket_id": basket, "store_id": 7}),
                (
                    "basket/ScanItem",
                    {"basket_id": basket, "product_id": 5, "quantity": 2, "amount": "3.30", "discount": "0.20"},
                ),
            ]
            for path, body in sent:
                key = {
                    "Idempotency-Key": str(uuid.uuid4()),
                    "Prefer": "wait=30",
                    "Refold-Occurred-At": "2026-01-31T23:30:00Z",
                }
                answer = api.post(f"/v1/commands/retail/{path}", json=body, headers=key)
                assert answer.status_code == 201, answer.text
            fresh = {"Refold-Min-Position": answer.headers["refold-position"], "Prefer": "wait=30"}
            row = api.get(f"/v1/retail/baskets/{basket}", headers=fresh).json()
            stream = api.get(f"/v1/streams/retail/product/{product}").json()
            state = api.get(f"/v1/streams/retail/basket/{basket}").json()["state"]
    events: list[Any] = [event["data"] for event in stream["events"]]
    told = json.dumps([row, events, stream["state"], state], ensure_ascii=False, sort_keys=True)
    return told.replace(basket, "BASKET").replace(product, "PRODUCT")


def give(database: str, writer: str, reader: str) -> None:
    """The least that each needs, in every schema of Refold's and the domain's."""
    with psycopg.connect(database, autocommit=True) as admin:
        found = admin.execute("SELECT nspname FROM pg_namespace WHERE nspname ~ '^(refold|retail)'").fetchall()
        for schema in [sql.Identifier(name) for (name,) in found]:
            for role, rights in ((writer, "SELECT, INSERT, UPDATE, DELETE"), (reader, "SELECT")):
                to = sql.Identifier(role)
                admin.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, to))
                grant = sql.SQL("GRANT " + rights + " ON ALL TABLES IN SCHEMA {} TO {}")
                admin.execute(grant.format(schema, to))


def as_role(settings: Settings, role: str) -> Settings:
    url = f"postgresql://{role}:right@{settings.dsn().rpartition('@')[2]}"
    return settings.model_copy(update={"database_url": SecretStr(url)})
