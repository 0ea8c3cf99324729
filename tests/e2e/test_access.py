"""Keys on real servers, by the commands and requests of docs/access.md: created, used, rotated, revoked; nothing restarts."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from uuid import uuid4

import httpx
import psycopg
import pytest

from refold.api.cli.stack import Stack
from refold.streams.settings import Settings

ROWS = "/v1/retail/store_daily"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = Settings(data=tmp_path_factory.mktemp("access"), api_doors=["keys"], api_port=0)
    with Stack(settings, lambda _: None) as started:
        started.wait_until_ready()
        yield started


def refold(stack: Stack, *words: str) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REFOLD_")}
    done = subprocess.run(
        [sys.executable, "-m", "refold.api.cli.app", "keys", *words, "--execute", "--json"],
        env=environment | stack.settings.environment(), check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def status(stack: Stack, key: str | None, path: str = ROWS) -> int:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return httpx.get(f"{stack.api_url}{path}", headers=headers, timeout=30).status_code


def soon(stack: Stack, key: str, wanted: int) -> None:
    deadline = time.monotonic() + 20
    while (found := status(stack, key)) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


@pytest.mark.e2e
@pytest.mark.timeout(200)
def test_keys_open_the_api_for_their_roles_until_they_are_revoked(guarded: Stack) -> None:
    assert status(guarded, None) == 401
    assert status(guarded, None, "/livez") == 200
    admin, till, ann = (
        refold(guarded, "create", name, "--role", role)
        for name, role in (("boss", "admin"), ("till-7", "producer"), ("ann", "analyst"))
    )
    for key, wanted in ((admin, 200), (ann, 200), (till, 403)):
        soon(guarded, key["key"], wanted)
    assert [status(guarded, key["key"], "/v1/access/keys") for key in (admin, ann, till)] == [200, 404, 403]
    assert status(guarded, ann["key"], "//v1//access//keys") == 404

    as_till = {"Authorization": f"Bearer {till['key']}", "Idempotency-Key": str(uuid4()), "Prefer": "wait=30"}
    opened = httpx.post(
        f"{guarded.api_url}/v1/commands/retail/basket/OpenBasket", headers=as_till | {"Refold-Actor": "alice"},
        json={"basket_id": "b-1", "store_id": 1}, timeout=60,
    )  # fmt: skip
    assert opened.status_code == 201, opened.text
    as_admin = {"Authorization": f"Bearer {admin['key']}", "Idempotency-Key": "guess", "Prefer": "wait=30"}
    body = {"key_id": "a" * 12, "name": "spare", "roles": "analyst", "hash": "none"}
    made = httpx.post(f"{guarded.api_url}/v1/commands/access/key/CreateKey", headers=as_admin, json=body, timeout=60)
    assert made.status_code == 201, made.text
    assert [status(guarded, key["key"], "/v1/trace/guess") for key in (admin, ann)] == [200, 404]
    revoke = {"command": "access.key.RevokeKey", "id": "x", "data": {"key_id": admin["key_id"]}}
    lines = [revoke, {"command": "retail.basket.OpenBasket", "id": "y", "data": {"basket_id": "b-2", "store_id": 1}}]
    batch = httpx.post(
        f"{guarded.api_url}/v1/commands", headers=as_till | {"Content-Type": "application/x-ndjson"},
        content="\n".join(map(json.dumps, lines)), timeout=60,
    )  # fmt: skip
    refused, opened = map(json.loads, filter(None, batch.text.splitlines()))
    assert (refused["line"], refused["code"]) == (1, "forbidden")
    assert (opened["line"], opened["status"]) == (2, 201), "a line is refused alone"
    as_ann = {"Authorization": f"Bearer {ann['key']}"}
    (event,) = httpx.get(f"{guarded.api_url}/v1/streams/retail/basket/b-1", headers=as_ann).json()["events"]
    assert event["actor"] == "till-7 for alice"

    with psycopg.connect(guarded.settings.dsn()) as db:
        may = "SELECT has_schema_privilege('refold_analyst', 'access', 'USAGE'), has_schema_privilege('refold_analyst', 'retail', 'USAGE')"
        assert db.execute(may).fetchone() == (False, True)

    again = refold(guarded, "rotate", ann["key_id"], "--keep-old", "1h")
    soon(guarded, again["key"], 200)
    assert status(guarded, ann["key"]) == 200, "the old secret is taken as well"
    refold(guarded, "revoke", ann["key_id"])
    soon(guarded, again["key"], 401)
    assert status(guarded, ann["key"]) == 401
    changes = httpx.get(
        f"{guarded.api_url}/v1/access/key_changes?key_id=eq.{ann['key_id']}&order=change&select=kind",
        headers={"Authorization": f"Bearer {admin['key']}"},
    )
    assert [row["kind"] for row in changes.json()] == ["KeyCreated", "KeyRotated", "KeyRevoked"]
