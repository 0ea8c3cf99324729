"""The lines of the receipts: their oracle counted by hand, the domain's own rules and fold come to the same, and differences are found."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from refold.api.demo.check import Difference
from refold.api.demo.client import Client
from refold.api.demo.frames import compare, rows_like
from refold.api.demo.line_oracle import expected_departments, expected_lines, expected_products
from refold.retail.projections import BASKET_LINES
from refold.schemas.contracts import Event
from refold.streams.domain import load_domains
from refold.testing import event_at, rows
from tests.demo.decided import decided
from tests.demo.test_households import tiny_loyalty
from tests.demo.tiny import tiny

RECEIPTS = tiny()
LINES = expected_lines(RECEIPTS, 2)
PRODUCTS = expected_products(RECEIPTS, LINES)
KEY = ("basket_id", "line")
FIRST, SECOND = date(2017, 1, 1), date(2017, 1, 8)


def test_a_refused_line_has_no_row_and_no_number() -> None:
    assert [row[:7] for row in LINES.sort(KEY).iter_rows()] == [
        ("1", 2, 330, 10, 2, 298, 35),
        ("3", 2, 331, 12, 1, 29, 5),
        ("3", 3, 331, 10, 3, 8410, 115),
        ("4", 2, 330, 13, 1, 500, 5),
    ]
    assert LINES["scanned_at"].max() == datetime(2017, 1, 8, tzinfo=UTC)
    assert expected_lines(RECEIPTS, 1).height == 3


def test_products_and_departments_by_week_and_store() -> None:
    assert set(
        PRODUCTS.select("week", "store_id", "product_id", "department", "lines", "quantity", "revenue").rows()
    ) == {
        (FIRST, 330, 10, "GROCERY", 1, 2, 298),
        (FIRST, 331, 12, None, 1, 1, 29),
        (FIRST, 331, 10, "GROCERY", 1, 3, 8410),
        (SECOND, 330, 13, "DELI", 1, 1, 500),
    }
    twice = pl.concat([LINES, LINES.with_columns(product_id=pl.lit(11, pl.Int64))])
    departments = expected_departments(expected_products(RECEIPTS, twice))
    assert (SECOND, 330, "DELI", 2, 2, 2, 1000, 10) in departments.select(
        "week", "store_id", "department", "products", "lines", "quantity", "revenue", "discount"
    ).rows()


def test_the_rules_and_the_fold_of_the_domain_come_to_the_same() -> None:
    happened = [
        event_at(one.stream, one.at, one.outcome)
        for one in decided(load_domains(["retail"]), RECEIPTS, tiny_loyalty(), 2)
        if isinstance(one.outcome, Event) and one.category == "retail.basket"
    ]
    assert sorted(tuple(map(in_cents, row.values())) for row in rows(BASKET_LINES, happened)) == sorted(LINES.rows())


def in_cents(value: Any) -> Any:
    return int(value * 100) if isinstance(value, Decimal) else value


def test_every_difference_is_found() -> None:
    assert compare("lines", KEY, LINES, LINES.sort(KEY)).differing == 0
    cent = pl.when(basket_id="4").then(pl.col("amount") + 1).otherwise("amount")
    assert compare("lines", KEY, LINES, LINES.with_columns(amount=cent)).differences == [
        Difference("lines 4, 2: amount", 500, 501)
    ]
    missing = compare("lines", KEY, LINES, LINES.filter(pl.col("basket_id") != "4"))
    assert missing.differing == 1
    assert Difference("lines 4, 2: amount", 500, None) in missing.differences
    surplus = compare("lines", KEY, LINES.filter(pl.col("basket_id") != "4"), LINES)
    assert Difference("lines 4, 2: amount", None, 500) in surplus.differences
    doubled = compare("lines", KEY, LINES, pl.concat([LINES, LINES.head(1)]))
    assert doubled.differences == [Difference("lines: number of rows", 4, 5)]


def test_a_row_without_a_department_is_compared_too() -> None:
    key = ("week", "store_id", "department")
    wanted = expected_departments(PRODUCTS)
    more = pl.when(pl.col("department").is_null()).then(pl.col("lines") + 1).otherwise("lines")
    (difference,) = compare("departments", key, wanted, wanted.with_columns(lines=more)).differences
    assert difference == Difference("departments 2017-01-01, 331, None: lines", 1, 2)


def test_an_answer_is_read_to_the_cent(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def download(_: Client, path: str) -> bytes:
        asked.append(path)
        return b"line,amount,scanned_at\n2,-0.05,2017-01-01 11:00:00.5+00\n3,,\n"

    monkeypatch.setattr(Client, "download", download)
    like = pl.DataFrame(
        schema={"line": pl.Int64, "amount": pl.Int64, "scanned_at": pl.Datetime("us", "UTC")}  # as LINES has them
    )
    found = rows_like(like, Client("http://127.0.0.1:1"), "/lines?line=gt.1")
    assert found.rows() == [(2, -5, datetime(2017, 1, 1, 11, 0, 0, 500_000, UTC)), (3, None, None)]
    assert asked == ["/lines?line=gt.1&select=line,amount,scanned_at&format=csv"]
    assert found.schema == like.schema
