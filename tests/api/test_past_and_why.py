"""Streams as they were, and why rows are as they are, through the real Kafka, workers and Postgres."""

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from refold.api.cli.app import run
from refold.api.cli.stack import Stack
from tests.api.shopping import DAYS_AGO, basket_of_five_events, sent, shop_of_a_household, traced, why

pytestmark = pytest.mark.timeout(180)
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.api_url, timeout=40, headers={"Prefer": "wait=30"}) as client:
        yield client


@pytest.fixture(scope="module")
def basket(api: httpx.Client) -> str:
    return basket_of_five_events(api)


@pytest.fixture(scope="module")
def shop(api: httpx.Client) -> str:
    return shop_of_a_household(api)


TOTALS = ["0", "0", "1.10", "3.20", "6.30", "6.30"]


def test_each_version_of_a_stream_has_its_state_and_its_events(api: httpx.Client, basket: str) -> None:
    path = f"/v1/streams/retail/basket/{basket}"
    whole = api.get(path).json()
    for version, total in enumerate(TOTALS):
        found = api.get(path, params={"version": version})
        then = found.json()
        assert (found.status_code, found.headers["etag"]) == (200, f'"{version}"')
        assert (then["version"], then["current_version"]) == (version, 5)
        assert float(then["state"]["total"]) == float(total)
        assert then["events"] == whole["events"][:version]
        last: dict[str, Any] = dict.fromkeys(("occurred_at", "recorded_at", "appended_at"))
        if version:
            last = whole["events"][version - 1]
        assert {name: then[name] for name in ("occurred_at", "recorded_at", "appended_at")}.items() <= last.items()
        next_offset = last["offset"] + 1 if version else whole["events"][0]["offset"]
        assert then["position"] == f"retail.basket.events/{whole['events'][0]['partition']}:{next_offset}"
    assert api.get(path, params={"version": 5}).json()["state"] == whole["state"]


def test_a_version_beyond_the_end_is_refused_and_an_absent_stream_is_absent(api: httpx.Client, basket: str) -> None:
    for version in (6, 2**62):
        answer = api.get(f"/v1/streams/retail/basket/{basket}", params={"version": version})
        assert (answer.status_code, answer.json()["code"]) == (412, "version-not-reached")
    for asked in ({"version": 0}, {"at": "2020-01-01"}, {"at": "2020-01-01", "by": "occurred"}):
        answer = api.get("/v1/streams/retail/basket/never-was", params=asked)
        assert (answer.status_code, answer.json()["code"]) == (404, "stream-absent")


def test_a_time_means_every_record_appended_before_it(api: httpx.Client, basket: str) -> None:
    path = f"/v1/streams/retail/basket/{basket}"
    whole = api.get(path).json()["events"]
    appended = [datetime.fromisoformat(event["appended_at"]) for event in whole]
    assert appended == sorted(appended)
    micro = timedelta(microseconds=1)
    for moment in (at + shift for at in appended for shift in (-micro, timedelta(0), micro, timedelta(milliseconds=1))):
        expected = sum(at < moment for at in appended)
        for zone in (UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=8))):
            found = api.get(path, params={"at": moment.astimezone(zone).isoformat()}).json()
            assert (found["version"], len(found["events"])) == (expected, expected), moment
    assert api.get(path, params={"at": datetime.now(UTC).isoformat()}).json()["version"] == 5
    for early in ("2020-01-01", "0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z"):
        found = api.get(path, params={"at": early}).json()
        assert (found["version"], found["events"], found["appended_at"]) == (0, [], None)
        assert found["state"] == api.get(path, params={"version": 0}).json()["state"]


def test_a_time_that_is_not_past_is_refused(api: httpx.Client, basket: str) -> None:
    answer = api.get(f"/v1/streams/retail/basket/{basket}?at=9999-12-31T23:59:59Z")
    assert (answer.status_code, answer.json()["code"]) == (412, "time-not-reached")


def test_by_occurred_an_event_counts_from_when_it_happened(api: httpx.Client, basket: str) -> None:
    path = f"/v1/streams/retail/basket/{basket}"
    asked = {"by": "occurred", "limit": "2"}
    before = {
        DAYS_AGO - timedelta(days=3): (0, []),
        DAYS_AGO: (3, [3]),
        DAYS_AGO + timedelta(microseconds=1): (3, [1, 3]),
        DAYS_AGO + timedelta(days=1, seconds=1): (3, [1, 2, 3]),
        DAYS_AGO + timedelta(days=300): (4, [1, 2, 3, 4]),
    }
    for moment, (version, expected) in before.items():
        if moment > datetime.now(UTC):
            continue
        page = api.get(path, params={**asked, "at": moment.isoformat()}).json()
        assert page["version"] == version
        versions = [event["version"] for event in page["events"]]
        while page["next"] is not None:
            page = api.get(page["next"]).json()
            versions += [event["version"] for event in page["events"]]
        assert versions == expected


def test_pages_of_the_past_stay_in_the_past(api: httpx.Client, basket: str) -> None:
    page = api.get(f"/v1/streams/retail/basket?stream={basket}&version=4&limit=2").json()
    versions = [event["version"] for event in page["events"]]
    while page["next"] is not None:
        page = api.get(page["next"]).json()
        assert (page["version"], float(page["state"]["total"])) == (4, 6.30)
        versions += [event["version"] for event in page["events"]]
    assert versions == [1, 2, 3, 4]
    state_alone = api.get(f"/v1/streams/retail/basket/{basket}?version=2&limit=0").json()
    assert (state_alone["events"], state_alone["next"], state_alone["appended_at"] is None) == ([], None, False)


@pytest.mark.parametrize("model", ["baskets", "store_daily", "product_sales", "households"])
def test_each_row_of_each_retail_model_is_explained_to_the_last_digit(api: httpx.Client, shop: str, model: str) -> None:
    keys = {"store_daily": ["store_id", "day"], "product_sales": ["product_id"]}.get(model, [f"{model[:-1]}_id"])
    rows = api.get(f"/v1/retail/{model}").json()
    assert rows, shop
    for row in rows:
        path = f"/v1/retail/{model}/{','.join(str(row[name]) for name in keys)}"
        found = why(api, path)
        assert (found["complete"], found["adds_up"], found["next"]) == (True, True, None)
        assert found["key"] | found["row"] == row
        assert len(found["changes"]) == found["events"] > 0
        assert {name: total["value"] for name, total in found["totals"].items()} == found["row"]
        for name, total in found["totals"].items():
            changed = [change["changes"][name] for change in found["changes"] if name in change["changes"]]
            assert len(changed) == total["events"]
            assert (changed[-1]["after"] if changed else found["row"][name]) == row[name]
            if "adds" in total:
                assert sum(Decimal(str(one["adds"])) for one in changed) == Decimal(str(row[name]))
                assert Decimal(str(total["adds"])) == Decimal(str(row[name]))


def test_an_explanation_is_paged_from_either_end_at_one_position(api: httpx.Client, shop: str) -> None:
    path = f"/v1/retail/store_daily/7,{datetime.now(UTC).date().isoformat()}"
    for order in ("asc", "desc"):
        whole = why(api, path, order=order)
        assert len(whole["changes"]) >= 6
        page = why(api, path, order=order, limit=2)
        seen = page["changes"]
        opened = sent(api, "OpenBasket", {"basket_id": f"b-{uuid.uuid4().hex[:12]}", "store_id": 7})
        fresh = {"Refold-Min-Position": opened.headers["refold-position"]}
        assert api.get(path, headers=fresh).json()["baskets_opened"] == whole["row"]["baskets_opened"] + 1
        while page["next"] is not None:
            page = api.get(page["next"]).json()
            assert len(page["changes"]) <= 2
            assert (page["position"], page["row"], page["adds_up"]) == (whole["position"], whole["row"], True)
            seen += page["changes"]
        assert seen == whole["changes"]
        assert [one["version"] for one in seen if one["stream"] == f"{shop}-0"] == [1, 2, 3][
            :: 1 if order == "asc" else -1
        ]
    other = api.get(f"/v1/retail/baskets/{shop}-0/explain", params={"cursor": "W10"})
    assert (other.status_code, other.json()["code"]) == (400, "cursor-invalid")


def test_an_explanation_waits_for_a_position_or_is_refused(api: httpx.Client) -> None:
    for _ in range(3):
        name = f"b-{uuid.uuid4().hex[:12]}"
        opened = sent(api, "OpenBasket", {"basket_id": name, "store_id": 7})
        fresh = {"Refold-Min-Position": opened.headers["refold-position"]}
        found = api.get(f"/v1/retail/baskets/{name}/explain", headers=fresh)
        assert (found.status_code, found.json()["adds_up"], found.json()["events"]) == (200, True, 1)
    topic, _, offset = opened.headers["refold-position"].rpartition(":")
    ahead = {"Refold-Min-Position": f"{topic}:{int(offset) + 1_000_000}", "Prefer": "wait=1"}
    answer = api.get(f"/v1/retail/baskets/{name}/explain", headers=ahead)
    assert (answer.status_code, answer.json()["code"]) == (412, "position-not-reached")
    product = api.get("/v1/retail/product_sales/1/explain", headers={"Refold-Min-Position": "nonsense"})
    assert (product.status_code, product.json()["code"]) == (400, "position-malformed")


def test_absent_rows_views_and_wrong_keys_are_refused_with_a_code(api: httpx.Client) -> None:
    for path, status, code in (
        ("/v1/retail/store_daily/7,1999-01-01/explain", 404, "row-absent"),
        ("/v1/retail/baskets/never-was/explain", 404, "row-absent"),
        ("/v1/retail/store_totals/7/explain", 422, "view-not-explained"),
        ("/v1/retail/store_daily/7/explain", 400, "row-key-invalid"),
        ("/v1/retail/store_daily/7,2026-02-30/explain", 400, "filter-invalid"),
        ("/v1/retail/store_daily/7,infinity/explain", 400, "key-unfit"),
        ("/v1/retail/nothing/7/explain", 404, "model-unknown"),
        ("/v1/nothing/nothing/7/explain", 404, "domain-unknown"),
        ("/v1/retail/baskets/x/explain?order=up", 400, "filter-invalid"),
        ("/v1/retail/baskets/x/explain?limit=1001", 400, "limit-invalid"),
        ("/v1/retail/baskets/x/explain?store_id=eq.7", 400, "parameter-unknown"),
        ("/v1/explain/retail/store_daily?store_id=eq.7", 400, "filter-invalid"),
        ("/v1/explain/retail/store_daily?store_id=eq.7&day=is.null", 404, "row-absent"),
    ):
        answer = api.get(path)
        assert (answer.status_code, answer.json()["code"]) == (status, code), path


def test_a_key_that_ends_with_explain_is_told_from_an_explanation(api: httpx.Client, shop: str) -> None:
    assert api.get(f"/v1/retail/baskets/{shop}-0/explain").json()["key"] == {"basket_id": f"{shop}-0"}
    for path in (f"/v1/retail/baskets/{shop}-0%2Fexplain", "/v1/retail/baskets/explain"):
        answer = api.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "row-absent")
        assert "no event" not in answer.json()["detail"], "the row is asked for, not why"
    by_parameter = api.get("/v1/explain/retail/baskets", params={"basket_id": f"eq.{shop}-0"}).json()
    assert by_parameter["changes"] == why(api, f"/v1/retail/baskets/{shop}-0")["changes"]


def test_a_command_is_traced_to_its_events_its_rows_and_the_commands_that_answer_them(
    api: httpx.Client, shop: str
) -> None:
    (paid,) = [one for one in why(api, f"/v1/retail/baskets/{shop}-0")["changes"] if one["types"] == ["BasketPaid"]]
    found = traced(api, paid["command_id"])
    assert (found["read_as"], found["complete"], found["commands"], found["events"]) == ("command", True, 2, 2)
    (root,) = found["tree"]
    assert (root["command"], root["status"], root["version"]) == ("PayBasket", "accepted", 3)
    assert root["fields"] == {"basket_id": f"{shop}-0"}
    (event,) = root["events"]
    assert event["id"] == paid["id"]
    assert {row["model"] for row in event["rows"]} == {"baskets", "store_daily"}
    for row in event["rows"]:
        behind = api.get(row["path"]).json()
        assert behind["key"] == row["key"]
        assert event["id"] in [one["id"] for one in behind["changes"]]
    (reaction,) = event["reactions"]
    assert (reaction["reactor"], reaction["status"]) == ("points", "accepted")
    answer = reaction["command"]
    assert (answer["command"], answer["stream"], answer["status"]) == ("AwardPoints", shop, "accepted")
    (awarded,) = answer["events"]
    assert awarded["actor"] == f"reactor:points/{event['id']}"
    assert [row["path"] for row in awarded["rows"]] == [f"/v1/retail/households/{shop}/explain"]
    assert [(line["depth"], line["kind"]) for line in found["list"]] == [
        (0, "command"), (1, "event"), (2, "reaction"), (3, "command"), (4, "event")
    ]  # fmt: skip
    assert api.get(f"/v1/trace/{paid['command_id']}").json() == found
    alone = traced(api, paid["command_id"], limit=1)
    assert (alone["complete"], alone["cut"]) == (False, ["the trace's limit"])
    assert alone["tree"][0]["events"][0]["reactions"][0]["command"]["cut"] == "the trace's limit"


def test_the_command_line_says_why(
    stack: Stack, shop: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in stack.settings.environment().items():
        monkeypatch.setenv(name, value)
    assert run(["explain", "retail.baskets", f"{shop}-0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["adds_up"], found["events"]) == (True, 3)
    assert run(["explain", "baskets", f"{shop}-0", "--newest", "--limit", "1"]) == 0
    out, err = capsys.readouterr()
    assert "BasketPaid" in out
    assert "status: open → paid" in out
    assert "1 of 3 events listed" in err
    day = datetime.now(UTC).date().isoformat()
    assert run(["explain", "store_daily", "--where", "store_id=eq.7", "--where", f"day=eq.{day}"]) == 0
    assert "revenue" in capsys.readouterr().out
    assert run(["trace", found["changes"][-1]["command_id"]]) == 0
    out = capsys.readouterr().out
    assert "PayBasket retail.basket" in out
    assert "reactor points: accepted" in out
    assert run(["explain", "store_totals", "7"]) == 2
    assert run(["explain", "baskets", "never-was"]) == 1
    assert run(["explain", "baskets"]) == 2
    assert run(["trace", "never-was"]) == 1
    assert "trace-unknown" in capsys.readouterr().err


def test_the_page_about_why_runs_as_it_stands(stack: Stack, shop: str, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "why.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == text.count("```sh\n") == text.count("```") // 2
    script = "set -euo pipefail\n" + "\n".join(blocks).replace("http://127.0.0.1:8080", stack.api_url)
    environment = {**os.environ, **stack.settings.environment(), "COLUMNS": "200"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    environment["REFOLD_ANALYST_URL"] = stack.settings.dsn()
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "they add up to the row" in done.stderr, shop
    assert "PayBasket" in done.stdout
    assert json.loads((tmp_path / "explained.json").read_text())["adds_up"] is True
