"""Commands over HTTP through the real Kafka, handler, core, models and Postgres, and back as rows."""

import json
import os
import signal
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from refold.api.cli.app import run
from refold.api.cli.stack import Stack
from tests.api.shopping import sent, traced

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.api_url, timeout=40, headers={"Prefer": "wait=30"}) as client:
        yield client


def post(api: httpx.Client, command: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    sent = {"Idempotency-Key": str(uuid.uuid4())} | {name.replace("_", "-"): value for name, value in headers.items()}
    return api.post(f"/v1/commands/retail/basket/{command}", json=body, headers=sent)


def basket() -> str:
    return f"b-{uuid.uuid4().hex[:12]}"


def line(basket_id: str, **changes: Any) -> dict[str, Any]:
    return {"basket_id": basket_id, "product_id": 5, "quantity": 2, "amount": "3.30", "discount": "0.20"} | changes


def test_a_command_becomes_events_and_rows(api: httpx.Client) -> None:
    name, store, today = basket(), 70_001, datetime.now(UTC).date()
    assert post(api, "OpenBasket", {"basket_id": name, "store_id": store}, If_None_Match="*").status_code == 201
    answer = post(api, "ScanItem", line(name), If_Match='"1"')
    assert (answer.status_code, answer.json()["version"], answer.headers["etag"]) == (201, 2, '"2"')

    fresh = {"Refold-Min-Position": answer.headers["refold-position"]}
    row = api.get(f"/v1/retail/baskets/{name}", headers=fresh).json()
    assert (row["status"], row["lines"], row["total"]) == ("open", 1, "3.30")
    days = f"day=gte.{today}&day=lte.{datetime.now(UTC).date()}"
    rows = api.get(f"/v1/retail/store_daily?store_id=eq.{store}&{days}", headers=fresh).json()
    assert [(found["revenue"], found["lines"]) for found in rows] == [("3.30", 1)]

    stream = api.get(f"/v1/streams/retail/basket/{name}").json()
    assert (stream["version"], stream["state"]["total"]) == (2, "3.30")
    assert [event["type"] for event in stream["events"]] == ["BasketOpened", "ItemScanned"]
    assert [event["id"] for event in stream["events"]][1:] == answer.json()["event_ids"]


def test_a_paid_basket_gives_its_household_points(api: httpx.Client) -> None:
    name, household = basket(), f"h-{uuid.uuid4().hex[:12]}"
    post(api, "OpenBasket", {"basket_id": name, "store_id": 1, "household_id": household})
    post(api, "ScanItem", line(name))
    paid = post(api, "PayBasket", {"basket_id": name}, Refold_Correlation_Id="till 3")
    assert paid.status_code == 201
    path = f"/v1/retail/households/{household}"
    until = time.monotonic() + 60
    while api.get(path).status_code == 404:
        assert time.monotonic() < until, "the reactor did not answer"
        time.sleep(0.2)
    row = api.get(path).json()
    assert (row["points"], row["baskets"], row["campaigns"], row["last_campaign_id"]) == ("3", 1, 0, None)
    (event,) = api.get(f"/v1/streams/retail/household/{household}").json()["events"]
    (cause,) = paid.json()["event_ids"]
    assert event["data"] == {"basket_id": name, "points": 3}
    assert (event["actor"], event["correlation_id"]) == (f"reactor:points/{cause}", "till 3")


def test_a_retry_changes_nothing_and_another_body_is_refused(api: httpx.Client) -> None:
    name, key = basket(), str(uuid.uuid4())
    answers = [post(api, "OpenBasket", {"basket_id": name, "store_id": 1}, Idempotency_Key=key) for _ in range(3)]
    assert {(answer.status_code, answer.text) for answer in answers} == {(201, answers[0].text)}
    reused = post(api, "OpenBasket", {"basket_id": name, "store_id": 2}, Idempotency_Key=key)
    assert (reused.status_code, reused.json()["code"]) == (422, "command-id-reused")
    assert api.get(f"/v1/streams/retail/basket/{name}").json()["version"] == 1


def test_many_at_once_under_one_key_take_effect_once(api: httpx.Client) -> None:
    name, key = basket(), str(uuid.uuid4())
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda _: post(api, "OpenBasket", {"basket_id": name, "store_id": 1}, Idempotency_Key=key), range(8)
            )
        )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert api.get(f"/v1/streams/retail/basket/{name}").json()["version"] == 1


def test_rejections_and_conflicts_are_final_outcomes(api: httpx.Client) -> None:
    name, key = basket(), str(uuid.uuid4())
    rejected = post(api, "ScanItem", line(name), Idempotency_Key=key)
    assert (rejected.status_code, rejected.json()["code"]) == (409, "basket-not-open")
    assert post(api, "OpenBasket", {"basket_id": name, "store_id": 1}).status_code == 201
    assert post(api, "ScanItem", line(name), Idempotency_Key=key).text == rejected.text
    outcome = api.get(f"/v1/streams/retail/basket/{name}/commands/{key}").json()
    assert (outcome["status"], outcome["code"]) == ("rejected", "basket-not-open")
    conflict = post(api, "ScanItem", line(name), If_Match='"9"')
    assert (conflict.status_code, conflict.json()["code"]) == (412, "version-conflict")
    assert post(api, "ScanItem", line(name), If_None_Match="*").status_code == 412


def test_a_stream_is_read_page_by_page(api: httpx.Client) -> None:
    name = basket()
    post(api, "OpenBasket", {"basket_id": name, "store_id": 1})
    for quantity in range(1, 5):
        assert post(api, "ScanItem", line(name, quantity=quantity)).status_code == 201
    versions, path = [], f"/v1/streams/retail/basket/{name}?limit=2"
    while path:
        page = api.get(path).json()
        versions += [(event["version"], event["data"].get("quantity")) for event in page["events"]]
        path = page["next"]
    assert versions == [(1, None), (2, 1), (3, 2), (4, 3), (5, 4)]


@pytest.mark.parametrize(
    "order", ["", "closed_at.desc", "closed_at", "status.desc,household_id", "total.desc,closed_at.desc"]
)
def test_pages_hold_every_row_once_and_in_order(api: httpx.Client, baskets_of_store: int, order: str) -> None:
    path = f"/v1/retail/baskets?store_id=eq.{baskets_of_store}"
    whole = api.get(f"{path}&order={order}" if order else path).json()
    assert len(whole) == 11
    paged, path = [], f"{path}&limit=3" + (f"&order={order}" if order else "")
    while path:
        page = api.get(path)
        paged += page.json()
        path = page.links.get("next", {}).get("url", "")
    assert paged == whole
    if order.startswith("total"):
        totals = [Decimal(found["total"]) for found in paged]
        assert totals == sorted(totals, reverse=True)
        assert max(totals) == Decimal("27.05")


@pytest.fixture(scope="module")
def baskets_of_store(api: httpx.Client) -> int:
    """A store with eleven baskets: with and without a household, of many amounts, some of them voided."""
    store = 70_002
    for number in range(11):
        name = basket()
        opened = {"basket_id": name, "store_id": store} | ({"household_id": str(number % 3)} if number % 2 else {})
        answer = post(api, "OpenBasket", opened)
        if number % 2:
            answer = post(api, "ScanItem", line(name, amount=f"{number * 3}.05"))
        if number % 3 == 0:
            answer = post(api, "VoidBasket", {"basket_id": name, "reason": "test"})
        assert answer.status_code == 201
        api.get(f"/v1/retail/baskets/{name}", headers={"Refold-Min-Position": answer.headers["refold-position"]})
    return store


def test_while_nothing_folds_commands_are_accepted_and_rows_are_never_stale(api: httpx.Client, stack: Stack) -> None:
    name, core, models = basket(), stack.pids()["core"], stack.pids()["models"]
    os.kill(core, signal.SIGSTOP)
    try:
        pending = post(api, "OpenBasket", {"basket_id": name, "store_id": 1}, Prefer="wait=1")
        assert (pending.status_code, pending.headers["retry-after"]) == (202, "1")
        assert api.get(pending.headers["location"]).json()["status"] == "pending"
    finally:
        os.kill(core, signal.SIGCONT)
    key = pending.json()["command_id"]
    assert post(api, "OpenBasket", {"basket_id": name, "store_id": 1}, Idempotency_Key=key).status_code == 201
    os.kill(models, signal.SIGSTOP)
    try:
        written = post(api, "VoidBasket", {"basket_id": name, "reason": "test"})
        headers = {"Refold-Min-Position": written.headers["refold-position"], "Prefer": "wait=1"}
        late = api.get(f"/v1/retail/baskets/{name}", headers=headers)
        assert (late.status_code, late.json()["code"]) == (412, "position-not-reached")
    finally:
        os.kill(models, signal.SIGCONT)
    assert api.get(f"/v1/retail/baskets/{name}", headers=headers | {"Prefer": "wait=20"}).json()["status"] == "voided"


def test_probes_and_metrics_speak_of_the_real_thing(api: httpx.Client) -> None:
    assert api.get("/readyz").json()["ok"] is True
    names = ["refold_lag_records", "refold_lag_seconds", "refold_claim_epoch", "refold_http_requests_total"]
    deadline = time.monotonic() + 60
    while missing := [name for name in names if f"\n{name}{{" not in (text := api.get("/metrics").text)]:
        assert time.monotonic() < deadline, missing  # the tables are looked at every five seconds
        time.sleep(0.2)
    assert 'refold_up{server="kafka"} 1.0' in text


def test_the_command_line_sends_and_tells(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in stack.settings.environment().items():
        monkeypatch.setenv(name, value)
    arguments = ["send", "retail.basket.OpenBasket", "--data", json.dumps({"basket_id": basket(), "store_id": 1})]
    assert run([*arguments, "--key", "cli", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["version"]) == ("accepted", 1)
    assert run([*arguments, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["code"] == "basket-exists"
    assert run(["status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {owner["epoch"] for owner in found["owners"]} == {1}
    assert found["writes"] == "open"
    assert {lag["group"] for lag in found["lag"]} == {"handler", "core", "models", "reactors"}


def test_a_correlation_is_traced_to_all_its_commands(api: httpx.Client) -> None:
    correlation, household = f"till/3 {uuid.uuid4().hex}", f"h-{uuid.uuid4().hex[:12]}"
    name = f"{household}-x"
    opened = {"basket_id": name, "store_id": 8, "household_id": household}
    sent(api, "OpenBasket", opened, Refold_Correlation_Id=correlation)
    line = {"basket_id": name, "product_id": 1, "quantity": 1, "amount": "3.00", "discount": "0"}
    sent(api, "ScanItem", line, Refold_Correlation_Id=correlation)
    sent(api, "PayBasket", {"basket_id": name}, Refold_Correlation_Id=correlation)
    deadline = time.monotonic() + 60
    while api.get(f"/v1/retail/households/{household}").status_code == 404:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    found = traced(api, correlation)
    assert (found["read_as"], found["complete"]) == ("correlation", True)
    assert [root["command"] for root in found["tree"]] == ["OpenBasket", "ScanItem", "PayBasket"]
    assert [line["command"] for line in found["list"] if line["kind"] == "command"][-1] == "AwardPoints"
    assert {line["correlation_id"] for line in found["list"] if line["kind"] == "command"} == {correlation}
    assert api.get(f"/v1/trace/{quote(correlation, safe='')}").json() == found


def test_a_rejected_command_and_one_by_its_key_are_traced(api: httpx.Client) -> None:
    key, name = f"key/{uuid.uuid4().hex}", basket()
    sent(api, "OpenBasket", {"basket_id": name, "store_id": 1})
    answer = api.post(
        "/v1/commands/retail/basket/OpenBasket",
        json={"basket_id": name, "store_id": 1},
        headers={"Idempotency-Key": key, "Refold-Actor": "ann"},
    )
    assert answer.status_code == 409
    (root,) = traced(api, key)["tree"]
    assert (root["status"], root["code"], root["command"]) == ("rejected", answer.json()["code"], "OpenBasket")
    assert (root["events"], root["actor"], root["version"]) == ([], "ann", 1)


def test_a_command_that_is_not_decided_is_traced_as_pending(api: httpx.Client, stack: Stack) -> None:
    key, handler = str(uuid.uuid4()), stack.pids()["handler"]
    os.kill(handler, signal.SIGSTOP)
    try:
        body = {"basket_id": f"b-{uuid.uuid4().hex[:12]}", "store_id": 9}
        headers = {"Idempotency-Key": key, "Prefer": "wait=0", "Refold-Correlation-Id": f"of {key}"}
        assert api.post("/v1/commands/retail/basket/OpenBasket", json=body, headers=headers).status_code == 202
        for asked in (key, f"of {key}"):
            (root,) = traced(api, asked)["tree"]
            assert (root["command"], root["status"], root["fields"]["store_id"]) == ("OpenBasket", "pending", 9)
    finally:
        os.kill(handler, signal.SIGCONT)


def test_unknown_ids_are_refused_with_a_code(api: httpx.Client) -> None:
    for asked in (str(uuid.uuid4()), "no such correlation"):
        answer = api.get("/v1/trace", params={"id": asked})
        assert (answer.status_code, answer.json()["code"]) == (404, "trace-unknown")
    for path in ("/v1/trace", "/v1/trace?id=", f"/v1/trace?id={'x' * 1001}", "/v1/trace/%FF"):
        answer = api.get(path)
        assert (answer.status_code, answer.json()["code"]) == (400, "filter-invalid"), path
