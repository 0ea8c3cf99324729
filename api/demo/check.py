"""Compares the API's numbers with the oracle's, row by row and to the cent."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, localcontext
from typing import Any

from rich.console import Console

from refold.api.demo.analyst import show
from refold.api.demo.client import Client
from refold.api.demo.folded import Outcomes
from refold.api.demo.oracle import ROW, Expected, Key, Refusal, Row
from refold.schemas.arithmetic import EXACT

STORE_DAILY = "/v1/retail/store_daily?limit=1000"
REJECTIONS = "/v1/retail/rejections?category=eq.retail.basket&limit=1000"
_WHOLE = ("lines", "quantity", "baskets_opened", "baskets_paid")
_SHOWN = 20


@dataclass(frozen=True)
class Difference:
    """One wrong number; None on the side that lacks the row."""

    what: str
    expected: object
    found: object


@dataclass(frozen=True)
class Checked:
    """Counts of compared rows, and the differences."""

    rows: int
    lines: int
    quantity: int
    revenue: Decimal
    baskets_paid: int
    differences: list[Difference]


def rows_until(client: Client, end: datetime) -> dict[Key, Row]:
    """The rows of store_daily before a midnight, page by page. Later days belong to others and are not compared."""
    return {
        (int(row["store_id"]), day): _row(row)
        for row in client.rows(STORE_DAILY)
        if (day := date.fromisoformat(row["day"])) < end.date()
    }


def refusals_until(client: Client, end: datetime) -> dict[Refusal, int]:
    """The rows of rejections of baskets before a midnight."""
    return {
        (row["command"], row["code"], day): int(row["commands"])
        for row in client.rows(REJECTIONS)
        if (day := date.fromisoformat(row["day"])) < end.date()
    }


def compare(wanted: Expected, found: Mapping[Key, Row], outcomes: Outcomes, refusals: Mapping[Refusal, int]) -> Checked:
    """Compare every row, and every reason for a rejection."""
    differences = [
        Difference(f"store {store} on {day}: {name}", expected, got)
        for store, day in sorted(wanted.store_daily.keys() | found.keys())
        for name, expected, got in _columns(wanted.store_daily.get((store, day)), found.get((store, day)))
        if expected != got
    ]
    counts = [("commands", wanted.size.commands, outcomes.decided)] + [
        (f"rejected as {code}", wanted.rejections.get(code, 0), outcomes.rejections.get(code, 0))
        for code in sorted(wanted.rejections.keys() | outcomes.rejections.keys())
    ]
    counts += [
        (f"rows of rejections: {command} as {code} on {day}", wanted.refusals.get((command, code, day), 0), number)
        for (command, code, day), number in _both(wanted.refusals, refusals).items()
    ]
    differences += [Difference(*count) for count in counts if count[1] != count[2]]
    return Checked(
        len(wanted.store_daily.keys() | found.keys()),
        int(_sum(found.values(), "lines")),
        int(_sum(found.values(), "quantity")),
        Decimal(_sum(found.values(), "revenue")),
        int(_sum(found.values(), "baskets_paid")),
        differences,
    )


def _both(wanted: Mapping[Refusal, int], found: Mapping[Refusal, int]) -> dict[Refusal, int]:
    """What was found, with 0 for what is missing."""
    return {refusal: found.get(refusal, 0) for refusal in sorted(wanted.keys() | found.keys())}


def report(wanted: Expected, checked: Checked, outcomes: Outcomes, out: Console) -> None:
    """Show both sides next to each other."""
    names = ("lines", "quantity", "revenue", "baskets_paid")
    totals = [
        {
            "total": name,
            "from the Parquet": f"{_sum(wanted.store_daily.values(), name):,}",
            "from the API": f"{getattr(checked, name):,}",
        }
        for name in names
    ]
    show(out, f"Totals of {checked.rows:,} rows of store_daily, each compared in {len(ROW)} columns", totals)
    codes = sorted(wanted.rejections.keys() | outcomes.rejections.keys())
    rejections = [
        {"rejected as": code, "expected": wanted.rejections.get(code, 0), "found": outcomes.rejections.get(code, 0)}
        for code in codes
    ]
    show(out, "Commands that the rules refused", rejections)
    if checked.differences:
        show(out, f"{len(checked.differences)} differences", [vars(found) for found in checked.differences[:_SHOWN]])
    else:
        out.print("Everything is equal, to the cent.", style="bold green")


def _columns(expected: Row | None, found: Row | None) -> Iterable[tuple[str, object, object]]:
    return zip(ROW, expected or [None] * len(ROW), found or [None] * len(ROW), strict=True)


def _sum(rows: Iterable[Row], name: str) -> int | Decimal:
    with localcontext(EXACT):
        return sum((value for row in rows if (value := row[ROW.index(name)]) is not None), start=0)


def _row(row: Mapping[str, Any]) -> Row:
    return tuple(
        None if row[name] is None else int(row[name]) if name in _WHOLE else Decimal(str(row[name])) for name in ROW
    )
