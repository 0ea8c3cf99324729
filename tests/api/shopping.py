"""What tests on real servers send to the shop, and how they ask why its rows are so."""

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

DAYS_AGO = datetime(2026, 1, 5, 12, tzinfo=UTC)


def sent(api: httpx.Client, command: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    key = {"Idempotency-Key": str(uuid.uuid4())} | {name.replace("_", "-"): text for name, text in headers.items()}
    path = command if "/" in command else f"basket/{command}"
    answer = api.post(f"/v1/commands/retail/{path}", json=body, headers=key)
    assert answer.status_code == 201, answer.text
    return answer


def basket_of_five_events(api: httpx.Client) -> str:
    """A basket of five events: opened, three lines, paid. The second line was sent late: it happened three days before."""
    name = f"b-{uuid.uuid4().hex[:12]}"
    occurred = [DAYS_AGO, DAYS_AGO + timedelta(days=1), DAYS_AGO - timedelta(days=3), DAYS_AGO + timedelta(days=2)]
    sent(api, "OpenBasket", {"basket_id": name, "store_id": 7}, Refold_Occurred_At=occurred[0].isoformat())
    for line, at in enumerate(occurred[1:], 1):
        body = {"basket_id": name, "product_id": line, "quantity": line, "amount": f"{line}.10", "discount": "0"}
        sent(api, "ScanItem", body, Refold_Occurred_At=at.isoformat())
    sent(api, "PayBasket", {"basket_id": name})
    return name


def shop_of_a_household(api: httpx.Client) -> str:
    """Events of every retail model: two products, and three baskets of one household, one of them given up. Folded by all."""
    for product in (1, 2):
        listed = {
            "product_id": str(product),
            "department": "GROCERY",
            "brand": "National",
            "category": "x",
            "type": "y",
        }
        sent(api, "product/ListProduct", listed)
    household = f"h-{uuid.uuid4().hex[:12]}"
    sent(api, "household/EnrolInCampaign", {"household_id": household, "campaign_id": 3})
    for number, last in enumerate(("PayBasket", "PayBasket", "VoidBasket")):
        name = f"{household}-{number}"
        sent(api, "OpenBasket", {"basket_id": name, "store_id": 7, "household_id": household})
        line = {"basket_id": name, "product_id": 1 + number % 2, "quantity": 2, "amount": "5.55", "discount": "0.45"}
        sent(api, "ScanItem", line)
        position = sent(api, last, {"basket_id": name} | ({"reason": "left"} if last == "VoidBasket" else {}))
    deadline = time.monotonic() + 60
    while (row := api.get(f"/v1/retail/households/{household}").json()).get("baskets") != 2:
        assert time.monotonic() < deadline, row
        time.sleep(0.1)
    fresh = {"Refold-Min-Position": position.headers["refold-position"]}
    assert api.get(f"/v1/retail/baskets/{household}-2", headers=fresh).status_code == 200
    return household


def why(api: httpx.Client, path: str, **asked: Any) -> dict[str, Any]:
    answer = api.get(f"{path}/explain", params=asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def traced(api: httpx.Client, asked: Any, **more: Any) -> dict[str, Any]:
    answer = api.get("/v1/trace", params={"id": str(asked), **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found
