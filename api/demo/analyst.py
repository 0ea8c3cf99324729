"""An analyst's questions, asked over HTTP and shown as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from refold.api.demo.client import Client

BEST_DAYS = "/v1/retail/store_daily?order=revenue.desc&limit=8"
BEST_PRODUCTS = "/v1/retail/product_sales?order=revenue.desc&limit=8"


def ask(client: Client, basket: int, out: Console) -> None:
    """Show revenue by store and day, the best products, and one basket with all its events."""
    days = client.get(BEST_DAYS)
    show(
        out, f"Best days of a store: GET {BEST_DAYS}", _of(days, "store_id", "day", "lines", "revenue", "baskets_paid")
    )
    products = client.get(BEST_PRODUCTS)
    columns = ("product_id", "department", "brand", "lines", "quantity", "revenue")
    show(out, f"Best products: GET {BEST_PRODUCTS}", _of(products, *columns))
    _ask_about_basket(client, basket, out)


def _ask_about_basket(client: Client, basket: int, out: Console) -> None:
    row = client.get(f"/v1/retail/baskets/{basket}")
    columns = ("basket_id", "store_id", "household_id", "status", "lines", "quantity", "total", "discount")
    show(out, f"One basket: GET /v1/retail/baskets/{basket}", _of([row], *columns))
    path = f"/v1/streams/retail/basket/{basket}"
    stream = client.get(path)
    events = [
        {
            "version": event["version"],
            "event": event["type"],
            "at": event["occurred_at"][:19],
            "partition/offset": f"{event['partition']}/{event['offset']}",
            "data": " ".join(f"{name}={value}" for name, value in event["data"].items() if name != "store_id"),
        }
        for event in stream["events"]
    ]
    show(out, f"Its events: GET {path} (version {stream['version']})", events)


def show(out: Console, title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Show rows with the same keys as a table, numbers aligned right."""
    out.print(f"\n{title}", style="bold", highlight=False, markup=False)  # a table's title would wrap at its width
    table = Table()
    for name, value in rows[0].items() if rows else ():
        number = isinstance(value, int) or str(value).replace(".", "").replace(",", "").isdigit()
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    out.print(table)


def _of(rows: Sequence[Mapping[str, Any]], *names: str) -> list[dict[str, Any]]:
    return [{name: row[name] for name in names} for row in rows]
