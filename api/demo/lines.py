"""The lines of the receipts, and products and departments by week and store: their rows are compared with the oracle's."""

from refold.api.demo.client import Client
from refold.api.demo.frames import CheckedModel, compare, rows_like
from refold.api.demo.line_oracle import expected_departments, expected_lines, expected_products
from refold.api.demo.receipts import Receipts


def checked_lines(client: Client, receipts: Receipts, weeks: int) -> list[CheckedModel]:
    """Compare the three models in the first weeks. Later lines belong to others and are not compared."""
    end = receipts.end(weeks).date()
    lines = expected_lines(receipts, weeks)
    products = expected_products(receipts, lines)
    wanted = {
        "basket_lines": (("basket_id", "line"), lines, "scanned_at"),
        "product_weeks": (("week", "store_id", "product_id"), products, "week"),
        "department_weeks": (("week", "store_id", "department"), expected_departments(products), "week"),
    }
    return [
        compare(name, key, rows, rows_like(rows, client, f"/v1/retail/{name}?{time}=lt.{end}"))
        for name, (key, rows, time) in wanted.items()
    ]
