"""The answers to docs/questions.md, counted from the receipts in Python alone: no SQL, no model, no view."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from tests.demo.receipted import Receipted

Rows = list[dict[str, Any]]
CLOCK = ZoneInfo("America/New_York")
BANANAS = 1082185


def money(cents: int) -> str:
    return f"{Decimal(cents).scaleb(-2):.2f}"


def part(of: int, whole: int, places: str = ".01") -> str:
    """A percentage, rounded half away from zero."""
    return str((Decimal(100 * of) / whole).quantize(Decimal(places), ROUND_HALF_UP))


def store_day(r: Receipted) -> Rows:
    cents = r.revenue(lambda _: 0, lambda line: line.store == 330 and line.at.date() == date(2017, 1, 8))
    return [{"revenue": money(cents[0])}]


def store_week(r: Receipted) -> Rows:
    cents = r.revenue(lambda line: line.week, lambda line: line.store == 330)
    return [{"sum": money(cents[date(2017, 1, 8)])}]


def three_stores(r: Receipted) -> Rows:
    return [
        {"store_id": store, "sum": money(cents)}
        for store, cents in r.revenue(lambda line: line.store, lambda line: line.store in {330, 343, 367}).items()
    ]


def departments(r: Receipted) -> Rows:
    return [{"department": name, "products": products} for name, (products, _) in r.by_department().items()]


def prod_departments(r: Receipted) -> Rows:
    return [row for row in departments(r) if "prod" in (row["department"] or "").lower()]


def best_of_departments(r: Receipted) -> Rows:
    found: Rows = []
    cents = r.revenue(lambda line: line.product)
    for department in r.by_department():
        sold = [product for product in cents if r.departments.get(product) == department]
        best = sorted(sold, key=lambda product: (-cents[product], product))[:3]
        found += [
            {"department": department, "place": place, "product_id": product, "revenue": money(cents[product])}
            for place, product in enumerate(best, 1)
        ]
    return found


def daily(r: Receipted) -> Rows:
    return [{"day": f"{day}", "total": money(cents)} for day, cents in r.revenue(lambda line: line.at.date()).items()]


def weekly(r: Receipted) -> Rows:
    return [{"week": f"{week}", "total": money(cents)} for week, cents in r.revenue(lambda line: line.week).items()]


def trend(r: Receipted) -> Rows:
    cents = r.revenue(lambda line: line.at.date(), lambda line: line.store == 330)
    there = sorted({basket.at.date() for basket in r.baskets if basket.store == 330})
    return [
        {
            "day": f"{day}",
            "revenue": money(cents.get(day, 0)),
            "revenue_7_days": money(sum(cents.get(day - timedelta(days=back), 0) for back in range(7))),
        }
        for day in there
    ]


def households_a_week(r: Receipted) -> Rows:
    found = Counter(week for weeks in r.weeks_of_households().values() for week in weeks)
    return [{"week": f"{week}", "households": count} for week, count in sorted(found.items())]


def rich_baskets(r: Receipted) -> Rows:
    totals = [basket.total for basket in r.paid if r.points.get(basket.household, 0) > 500]
    mean = Decimal(sum(totals)) / len(totals) / 100
    return [{"baskets": len(totals), "mean": str(mean.quantize(Decimal("1e-16"), ROUND_HALF_UP))}]


def percentiles(r: Receipted) -> Rows:
    totals = sorted(basket.total for basket in r.paid if basket.week == date(2017, 1, 8))
    return [
        {
            "baskets": len(totals),
            **{f"p{share}": money(totals[-(-share * len(totals) // 100) - 1]) for share in (50, 90, 99)},
        }
    ]


def shares(r: Receipted) -> Rows:
    found = r.by_department()
    whole = sum(cents for _, cents in found.values())
    best = sorted(found, key=lambda name: -found[name][1])
    return [{"department": name, "percent": part(found[name][1], whole)} for name in best]


def cohorts(r: Receipted) -> Rows:
    seen, spent = Counter[tuple[date, int]](), Counter[tuple[date, int]]()
    weeks = r.weeks_of_households()
    for own in weeks.values():
        seen.update((min(own), (week - min(own)).days // 7) for week in own)
    for basket in r.paid:
        first = min(weeks[basket.household])
        spent[first, (basket.week - first).days // 7] += basket.total
    return [
        {"first_week": f"{key[0]}", "weeks_since": key[1], "households": seen[key], "spent": money(spent[key])}
        for key in sorted(seen)
    ]


def baskets(r: Receipted) -> Rows:
    found = Counter("paid" if basket.lines else "open" for basket in r.baskets)
    return [{"status": status, "n": found[status]} for status in ("open", "paid")]


def open_baskets(r: Receipted) -> Rows:
    rows = [basket for basket in r.baskets if not basket.lines]
    return [
        {"basket_id": basket.id, "store_id": basket.store, "opened_at": shown(basket.at)}
        for basket in sorted(rows, key=lambda basket: (basket.at, basket.id))
    ]


def against_last_week(r: Receipted) -> Rows:
    cents = r.revenue(lambda line: line.week, lambda line: line.store == 330)
    now, before = cents[date(2017, 1, 15)], cents[date(2017, 1, 8)]
    return [
        {"revenue": money(now), "revenue_before": money(before), "change_percent": part(now - before, before, ".1")}
    ]


def by_discount(r: Receipted) -> Rows:
    found = Counter(
        None
        if basket.total + basket.discount == 0
        else 100 * basket.discount // (basket.total + basket.discount) // 10 * 10
        for basket in r.paid
    )
    bands = sorted(found, key=lambda band: (band is None, band or 0))
    return [{"discount_band": band, "baskets": found[band]} for band in bands]


def by_hour(r: Receipted) -> Rows:
    count, cents = Counter[int](), Counter[int]()
    for basket in r.baskets:
        if basket.store == 330:
            hour = basket.at.astimezone(CLOCK).hour
            count[hour] += 1
            cents[hour] += basket.total
    return [{"hour": hour, "baskets": count[hour], "sales": money(cents[hour])} for hour in sorted(count)]


def latest(r: Receipted) -> Rows:
    rows = sorted(sorted(r.paid, key=lambda basket: basket.id), key=lambda basket: basket.at, reverse=True)[:10]
    return [{"basket_id": basket.id, "total": money(basket.total), "closed_at": shown(basket.at)} for basket in rows]


def in_basket(r: Receipted) -> Rows:
    own = [line for line in r.lines if line.basket == "31198920207"]
    return [
        {"line": place, "product_id": line.product, "quantity": line.quantity, "amount": money(line.amount)}
        for place, line in enumerate(own, 2)
    ]


def bought_together(r: Receipted) -> Rows:
    products = defaultdict[str, set[int]](set)
    for line in r.lines:
        products[line.basket].add(line.product)
    found = Counter(other for own in products.values() if BANANAS in own for other in own - {BANANAS})
    best = sorted(found, key=lambda product: (-found[product], product))[:3]
    return [{"other_id": product, "baskets": found[product]} for product in best]


def product_weekly(r: Receipted) -> Rows:
    cents = r.revenue(
        lambda line: (line.week, line.store), lambda line: line.product == BANANAS and line.store in {330, 367}
    )
    return [{"week": f"{week}", "store_id": store, "revenue": money(found)} for (week, store), found in cents.items()]


def department_weekly(r: Receipted) -> Rows:
    cents = r.revenue(
        lambda line: (line.week, line.store),
        lambda line: r.departments.get(line.product) == "PRODUCE" and line.store in {330, 367},
    )
    return [{"week": f"{week}", "store_id": store, "revenue": money(found)} for (week, store), found in cents.items()]


def refused_by_store(r: Receipted) -> list[tuple[int, str, int]]:
    """Question 26, by SQL: store, reason and number, the most frequent first."""
    empty = Counter(basket.store for basket in r.baskets if not basket.lines)
    rows = [(store, "quantity-below-one", n) for store, n in r.refused.items()]
    rows += [(store, "basket-empty", n) for store, n in empty.items()]
    return sorted(rows, key=lambda row: (-row[2], row[0], row[1]))


def shown(at: datetime) -> str:
    """A time as the API prints it."""
    return at.isoformat()


ORACLE: Mapping[str, Callable[[Receipted], Rows]] = {
    "1": store_day, "2": store_week, "3": three_stores, "4": prod_departments, "5": best_of_departments, "6": daily,
    "7": weekly, "8": trend, "9": households_a_week, "10": rich_baskets, "11": percentiles, "12": shares, "13": cohorts,
    "23": baskets, "24": open_baskets, "25a": in_basket, "25b": bought_together, "27": departments,
    "28": against_last_week, "29": by_discount, "30": by_hour, "31": latest, "32a": product_weekly,
    "32b": department_weekly,
}  # fmt: skip
"""By the number of the question in the page."""
