"""The demo's loyalty card: sends its commands, waits for the reactors, and compares every household with the oracle."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid5

import polars as pl
from rich.console import Console

from refold.api.cli.stack import Stack
from refold.api.demo.analyst import show
from refold.api.demo.check import Difference
from refold.api.demo.client import Client
from refold.api.demo.commands import NAMESPACE
from refold.api.demo.folded import Watch
from refold.api.demo.household_oracle import ROW, ExpectedHouseholds, Row
from refold.api.demo.loyalty import Loyalty, wishes
from refold.api.demo.progress import advancing
from refold.api.demo.receipts import Receipts
from refold.api.demo.sending import household_marker, open_producer, send, send_markers
from refold.api.demo.tables import Tables
from refold.retail.schemas.basket import BASKET
from refold.retail.schemas.household import HOUSEHOLD
from refold.schemas.identity import outcome_key

HOUSEHOLDS = "/v1/retail/households?limit=1000"
BEST = "/v1/retail/households?order=points.desc&limit=8"
_KEYS = 20_000
_SHOWN = 20
_TIMES = ("last_redeemed_at", "last_basket_at")


@dataclass(frozen=True)
class CheckedHouseholds:
    """The commands sent for households, their outcomes, and the comparison."""

    commands: int
    rejections: Mapping[str, int]
    rows: int
    campaigns: int
    coupons: int
    points: int
    differences: list[Difference]

    def as_json(self) -> dict[str, Any]:
        """The part of `--json` about households."""
        rejected = sum(self.rejections.values())
        return {
            "commands": self.commands,
            "accepted": self.commands - rejected,
            "rejected": rejected,
            "rows_checked": self.rows,
            "campaigns": self.campaigns,
            "coupons": self.coupons,
            "points": self.points,
            "differences": len(self.differences),
        }


def ingest(stack: Stack, tables: Tables, loyalty: Loyalty) -> Watch:
    """Send the loyalty card's commands; wait until the reactors have answered every basket and the models show it."""
    answering = Watch(stack.settings, tables, stack.ended, (BASKET.name,))
    watch = Watch(stack.settings, tables, stack.ended, (HOUSEHOLD.name,))
    with open_producer(stack.settings) as producer:
        total = loyalty.enrolments.height + loyalty.redemptions.height
        with advancing("sending campaigns and coupons", total) as advance:
            send(producer, wishes(loyalty), advance)
        with advancing("reacting to baskets", answering.folded()) as advance:
            answering.wait_shown(advance, "reactors")
        markers = send_markers(producer, stack.settings.partitions, HOUSEHOLD, household_marker)
    watch.wait_marked(markers, lambda: None)
    with advancing("folding households", watch.folded()) as advance:
        watch.wait_shown(advance)
    return watch


def rows_of(client: Client, households: set[str]) -> dict[str, Row]:
    """The rows of some households."""
    return {name: _row(row) for row in client.rows(HOUSEHOLDS) if (name := row["household_id"]) in households}


def compare(
    wanted: ExpectedHouseholds, rows: Mapping[str, Row], outcomes: tuple[int, Mapping[str, int]]
) -> CheckedHouseholds:
    """Compare every row, and the outcome of each command sent."""
    names = wanted.rows.keys() | rows.keys()
    differences = [
        Difference(f"household {name}: {column}", expected, got)
        for name in sorted(names)
        for column, expected, got in _columns(wanted.rows.get(name), rows.get(name))
        if expected != got
    ]
    decided, rejections = outcomes
    counts = [("household commands", wanted.commands, decided)] + [
        (f"rejected as {code}", wanted.rejections.get(code, 0), rejections.get(code, 0))
        for code in sorted(wanted.rejections.keys() | rejections.keys())
    ]
    differences += [Difference(*count) for count in counts if count[1] != count[2]]
    campaigns, coupons, points = (
        sum(int(str(row[ROW.index(name)])) for row in rows.values()) for name in ("campaigns", "coupons", "points")
    )
    return CheckedHouseholds(decided, rejections, len(names), campaigns, coupons, points, differences)


def report(wanted: ExpectedHouseholds, checked: CheckedHouseholds, client: Client, out: Console) -> None:
    """Show the best households, and both sides next to each other."""
    show(out, f"Households with most points: GET {BEST}", client.get(BEST))
    names = ("campaigns", "coupons", "points")
    totals = [
        {"total": name, "from the Parquet": f"{wanted.total(name):,}", "from the API": f"{getattr(checked, name):,}"}
        for name in names
    ]
    show(out, f"Totals of {checked.rows:,} households, each compared in {len(ROW)} columns", totals)
    if checked.differences:
        show(out, f"{len(checked.differences)} differences", [vars(found) for found in checked.differences[:_SHOWN]])
    else:
        out.print("Every household is equal.", style="bold green")


def comparable(tables: Tables, receipts: Receipts, loyalty: Loyalty, weeks: int) -> set[str]:
    """The data set's households, except those that hold something of later weeks which an earlier, longer run sent."""
    end = receipts.end(weeks)
    later = receipts.lines.filter(pl.col("at") >= end).select("household_id", "basket_id").unique().collect()
    keys = {
        outcome_key(BASKET.name, str(basket), uuid5(NAMESPACE, f"basket/{basket}/open").bytes): str(household)
        for household, basket in later.iter_rows()
    }
    keys |= dict(_keys(loyalty.since(end)))
    every = receipts.lines.select(pl.col("household_id").cast(pl.String)).unique().collect().to_series().to_list()
    return set(every) - {keys[key] for key, _ in known(tables, keys)}


def outcomes(tables: Tables, loyalty: Loyalty) -> tuple[int, dict[str, int]]:
    """Number of decided commands among those sent, and rejections by code."""
    codes = [code for _, code in known(tables, [key for key, _ in _keys(loyalty)])]
    return len(codes), dict(Counter(code for code in codes if code is not None))


def _keys(loyalty: Loyalty) -> Iterator[tuple[bytes, str]]:
    for wish in wishes(loyalty):
        stream = HOUSEHOLD.stream_of(wish.command)
        yield outcome_key(HOUSEHOLD.name, stream, wish.command_id.bytes), stream


def known(tables: Tables, keys: Iterable[bytes]) -> Iterator[tuple[bytes, str | None]]:
    """Those of the commands, by the keys of their outcomes, that are decided, each with its code."""
    ordered = list(keys)
    for start in range(0, len(ordered), _KEYS):
        yield from (
            (bytes(key), code)
            for key, code in tables.rows(
                "SELECT key, code FROM refold.outcomes WHERE key = ANY(%s)", ordered[start : start + _KEYS]
            )
        )


def _columns(expected: Row | None, found: Row | None) -> Iterable[tuple[str, object, object]]:
    return zip(ROW, expected or [None] * len(ROW), found or [None] * len(ROW), strict=True)


def _row(row: Mapping[str, Any]) -> Row:
    return tuple(_value(name, row[name]) for name in ROW)


def _value(name: str, value: Any) -> int | datetime | None:
    if value is None:
        return None
    return datetime.fromisoformat(value) if name in _TIMES else int(value)
