"""What differs is found: in a row, a missing row, a row too many, a count."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

from refold.api.demo.check import Difference, compare
from refold.api.demo.folded import Outcomes
from refold.api.demo.oracle import expected
from tests.demo.tiny import tiny

WANTED = expected(tiny(), 1)
OUTCOMES = Outcomes(dict(WANTED.rejections), WANTED.size.commands - WANTED.rejected, 0)
REFUSALS = WANTED.refusals
FIRST = (330, date(2017, 1, 1))


def test_equal_is_equal() -> None:
    checked = compare(WANTED, dict(WANTED.store_daily), OUTCOMES, REFUSALS)
    assert checked.differences == []
    assert (checked.rows, checked.lines, checked.revenue) == (2, 3, Decimal("87.37"))


def test_a_cent_is_found() -> None:
    row = WANTED.store_daily[FIRST]
    found = dict(WANTED.store_daily) | {FIRST: (*row[:2], Decimal("2.99"), *row[3:])}
    (difference,) = compare(WANTED, found, OUTCOMES, REFUSALS).differences
    assert difference == Difference("store 330 on 2017-01-01: revenue", Decimal("2.98"), Decimal("2.99"))


def test_missing_and_surplus_rows_are_found() -> None:
    rows = dict(WANTED.store_daily)
    row = rows.pop(FIRST)
    rows[(9, date(2017, 1, 1))] = row
    found = {difference.what for difference in compare(WANTED, rows, OUTCOMES, REFUSALS).differences}
    assert {"store 330 on 2017-01-01: lines", "store 9 on 2017-01-01: lines"} <= found


def test_other_rejections_are_found() -> None:
    other = replace(OUTCOMES, rejections={**OUTCOMES.rejections, "basket-empty": 0, "basket-not-open": 1})
    found = {difference.what for difference in compare(WANTED, WANTED.store_daily, other, REFUSALS).differences}
    assert found == {"rejected as basket-empty", "rejected as basket-not-open"}


def test_another_row_of_rejections_is_found() -> None:
    (first, number), *rest = sorted(REFUSALS.items())
    found = {**dict(rest), first: number + 1}
    command, code, day = first
    differences = compare(WANTED, WANTED.store_daily, OUTCOMES, found).differences
    assert differences == [Difference(f"rows of rejections: {command} as {code} on {day}", number, number + 1)]
