"""The sets of read models that benchmarks measure, whatever else `retail` declares by now."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from refold.projections import OCCURRED_AT, EventTable, Rollup, View, cell, events, key, week
from refold.projections.declaring.declaration import ReadModel
from refold.retail import projections as retail
from refold.retail.schemas.basket import BASKET, ItemScanned
from refold.retail.views import DEPARTMENT_WEEKS, PRODUCT_WEEKS, VIEWS

VARIABLE = "BENCH_MODELS"
"""Environment of processes in which `benchmarks/chosen/sitecustomize.py` calls `only`. Its name does not begin with REFOLD_, so that a supervisor
hands it on."""

scanned = events(BASKET, ItemScanned)
STORE_WEEKS = Rollup(
    name="store_weeks",
    domain="retail",
    description="One row for each store and week.",
    key={"store_id": key("store_id", "Number of the store."), "week": key(week(OCCURRED_AT), "Its Monday (UTC).")},
    columns={
        "lines": scanned.count("Accepted lines."),
        "quantity": scanned.sum("quantity", "Units."),
        "revenue": scanned.sum("amount", "Amount of the lines."),
        "largest": scanned.max("amount", "Amount of the largest line."),
    },
)
LINES = EventTable(
    name="basket_lines",
    domain="retail",
    description="The table of this name without its link, so that it can be declared alone.",
    of=retail.BASKET_LINES.of,
    stream=("basket_id", "Number on the receipt."),
    version=("line", "Place on the receipt."),
    columns={name: cell(one.value, one.doc) for name, one in retail.BASKET_LINES.columns.items() if one.value},
)
_VIEWS: tuple[View, ...] = tuple(view for view in VIEWS if view not in (PRODUCT_WEEKS, DEPARTMENT_WEEKS))
_FOUR: tuple[ReadModel, ...] = (retail.BASKETS, retail.STORE_DAILY, retail.PRODUCT_SALES, retail.HOUSEHOLDS, *_VIEWS)
SETS: Mapping[str, tuple[ReadModel, ...]] = {
    "four": _FOUR,
    "five": (*_FOUR, STORE_WEEKS),
    "rollups": (retail.STORE_DAILY, retail.PRODUCT_SALES),
    "lines": (LINES,),
}
"""`four` are the tables that all figures of earlier builds are of, and the views over them."""


def only(name: str) -> None:
    """Let `retail` declare one set of read models, in this process alone."""
    retail.READ_MODELS = SETS[name]  # type: ignore[assignment]  # fewer than there are


@contextmanager
def chosen(name: str) -> Iterator[None]:
    """Let `retail` declare one set, here and in each Python process that begins while the block runs."""
    only(name)
    here = Path(__file__).parent
    before = {variable: os.environ.get(variable) for variable in (VARIABLE, "PYTHONPATH")}
    os.environ[VARIABLE] = name
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(here / "chosen"), str(here.parent), *filter(None, [before["PYTHONPATH"]])]
    )
    try:
        yield
    finally:
        for variable, value in before.items():
            if value is None:
                del os.environ[variable]
            else:
                os.environ[variable] = value
