"""Averages, spreads, any and all: the naive fold's, by rows, by columns and merged in any way. Shown columns: exact arithmetic."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refold.projections import BadDeclaration, column, computed, difference, field, ratio, share
from refold.projections.declaring.conditions import Condition
from refold.projections.declaring.declaration import Entity, Rollup
from refold.projections.declaring.formulas import Formula, ShownColumn, Term
from refold.projections.declaring.gathering import Column, events, key
from refold.projections.declaring.sql_types import decimal
from refold.projections.partials.batch import batch_of, counted_events
from refold.projections.partials.by_rows import partial_columns
from refold.projections.partials.partial import merged, partial_of
from refold.projections.partials.row_batch import RowReader
from refold.projections.partials.wide_sums import writable
from refold.projections.tables.declared import declared_of
from refold.projections.tables.derived import Derived, value_in
from refold.projections.tables.fingerprint import fingerprint
from refold.projections.tables.layout import Layout, layout_of
from refold.projections.tables.lineage import lineages_of
from refold.projections.tables.served import served_table
from refold.projections.tables.shown_rows import shown_in
from refold.schemas.columns.decoder import ColumnDecoder
from tests.projections.naive import Happened, naive_rows
from tests.projections.typed import CATALOG, CATEGORY, CONDITIONS, LOGS, TYPED, Typed, chunk_of, log_of

DECODER = ColumnDecoder(CATALOG, thin=True)
typed = events(CATEGORY, Typed)
NUMBERS = ("amount", "amount_or_none", "number", "number_or_none")
FLAGGED = field("flag_or_none").eq(value=True)


def aggregates(of: str, some: Any = typed, given: Condition = FLAGGED) -> dict[str, Column]:
    """Each aggregate of a field, over some events."""
    return {
        "rounded": some.avg(of, "To fewer places.", scale=1),
        "average": some.avg(of, "Average.", scale=6),
        "spread": some.stddev(of, "Spread.", scale=3),
        "variance": some.variance(of, "Variance.", scale=5),
        "some_flagged": some.any(given, "Any."),
        "all_flagged": some.all(given, "All."),
        "n": some.count("Events."),
    }


def rollup(columns: dict[str, Column], by: str = "text_or_none", **more: Any) -> Rollup:
    return Rollup(
        name="of_types", domain="typed", description="All.", key={"by": key(by, "Key.")}, columns=columns, **more
    )


def entity(columns: dict[str, Column]) -> Entity:
    return Entity(
        name="of_types",
        domain="typed",
        description="All.",
        category=CATEGORY,
        key_name="id",
        key_doc="Id.",
        columns=columns,
    )


def both(layout: Layout, log: Sequence[Happened]) -> pl.DataFrame:
    """The partial by columns, which is also the one by rows."""
    chunk = chunk_of(log)
    by_columns = partial_of(layout, counted_events(DECODER, [TYPED], batch_of("typed.row", [chunk]), {}, []).frames)
    read = RowReader(CATALOG, "typed.row", [TYPED]).read([chunk], {})
    assert read is not None
    assert shown(layout, partial_columns(layout, read)) == shown(layout, by_columns)
    return by_columns


def shown(layout: Layout, found: Any) -> list[dict[str, Any]]:
    """The rows that readers see; a wide sum is written as a text by columns, and as a number by rows."""
    (whole,) = writable(layout, found)
    cells = {name: values.to_list() if isinstance(values, pl.Series) else values for name, values in whole.items()}
    for part in layout.columns:
        if part.is_wide:
            cells[part.name] = list(map(Decimal, cells[part.name]))
    return [shown_in(layout, dict(zip(cells, row, strict=True))) for row in zip(*cells.values(), strict=True)]


@settings(max_examples=100, deadline=None)
@given(
    log=LOGS,
    condition=CONDITIONS,
    given_=CONDITIONS,
    of=st.sampled_from(NUMBERS),
    cut=st.integers(0, 12),
    keyed=st.booleans(),
)
def test_each_aggregate_is_the_naive_folds_however_events_are_cut(
    log: list[Any], condition: Condition, given_: Condition, of: str, cut: int, keyed: bool
) -> None:
    columns = aggregates(of, typed.where(condition), given_)
    model, happened = rollup(columns) if keyed else entity(columns), log_of(log)
    layout = layout_of(model)
    whole, left, right = (both(layout, piece) for piece in (happened, happened[:cut], happened[cut:]))
    assert shown(layout, whole) == naive_rows(model, happened)
    assert shown(layout, merged(layout, [right, left])) == shown(layout, whole)


@settings(max_examples=40, deadline=None)
@given(log=LOGS, of=st.sampled_from(["big", "big_or_none", "amount", "m_version"]))
def test_an_average_of_the_widest_numbers_is_exact(log: list[Any], of: str) -> None:
    columns: dict[str, Column] = {
        "average": typed.avg(of, "A.", scale=17),
        "whole": typed.avg(of, "A.", scale=0),
        "nothing": typed.where(field("m_version").lt(0)).avg(of, "N."),
    }
    model, happened = rollup(columns), log_of(log)
    assert shown(layout_of(model), both(layout_of(model), happened)) == naive_rows(model, happened)


@pytest.mark.parametrize(
    ("made", "places"),
    [
        (typed.avg("amount", "A."), 4), (typed.avg("number", "A."), 2), (typed.avg("precise", "A."), 18),
        (typed.stddev("amount", "S."), 4), (typed.variance("amount", "V."), 6), (typed.stddev("big", "S."), 2),
        (typed.avg("amount", "A.", scale=1), 1),
    ],
)  # fmt: skip
def test_without_a_scale_a_column_has_two_places_more_than_its_values_as_far_as_there_is_room(
    made: Column, places: int
) -> None:
    (derived,) = layout_of(rollup({"it": made})).derived
    assert derived.type.sql == f"numeric(38,{places})"


def derived(term: Term, scale: int, *, root: bool = False) -> Derived:
    return Derived("it", decimal(scale), "It.", Formula(term, scale, root))


@pytest.mark.parametrize(
    ("term", "scale", "value"),
    [
        (column("a") / 3, 4, "0.3333"),
        (column("a") * 2 / 3, 30, "0.666666666666666666666666666667"), (column("a") / 8, 2, "0.13"), (column("a") / -8, 2, "-0.13"),
        (column("b") / "zero", 2, None), (column("none") * 0, 2, None), (column("a") / (column("a") / "zero"), 2, None),
        (column("zero") / "a", 2, "0.00"), (2 - column("a"), 0, "1"), (column("b") * 10**36, 2, None), (1 / column("b"), 1, "0.1"),
    ],
)  # fmt: skip
def test_a_formula_is_exact_and_rounded_once(term: Term, scale: int, value: str | None) -> None:
    row = {"a": 1, "b": 7, "zero": 0, "none": None}
    found = value_in(derived(term, scale), row)
    assert (None if found is None else format(found, "f")) == value


def test_a_declaration_shows_columns_where_it_says_them_and_shown_ones_behind() -> None:
    columns = {
        "cheap": typed.avg("amount", "Average."),
        "revenue": typed.sum("amount", "Sum."),
        "n": typed.count("All."),
    }
    shown_columns = {
        "margin": ratio("revenue", "n", scale=2, doc="Ratio."),
        "less": difference("revenue", "n", scale=2, doc="Difference."),
        "part": share("n", ("n", "revenue"), scale=3, doc="Share."),
        "any": computed(column("revenue") * 2 - 1, scale=0, doc="Anything."),
    }
    model = rollup(columns, shown=shown_columns, units={"margin": "EUR"})
    found = served_table(layout_of(model)).columns
    assert [(one.name, one.sql_type, one.nullable, one.unit) for one in found] == [
        ("by", "text", True, ""), ("cheap", "numeric(38,4)", True, ""), ("revenue", "numeric(38,2)", False, ""),
        ("n", "bigint", False, ""), ("margin", "numeric(38,2)", True, "EUR"), ("less", "numeric(38,2)", True, ""),
        ("part", "numeric(38,3)", True, ""), ("any", "numeric(38,0)", True, ""),
    ]  # fmt: skip
    origins = lineages_of(declared_of([model]))["typed", "of_types"].columns
    assert (origins["cheap"].gather, origins["cheap"].value) == ("avg", "amount")
    assert (origins["any"].gather, origins["any"].value) == ("shown", "(revenue * 2) - 1")
    assert fingerprint(model) != fingerprint(rollup(columns))


@pytest.mark.parametrize(
    ("columns", "shown_columns", "said"),
    [
        ({"a": typed.avg("text", "A.")}, {}, r"of_types\.a: only whole numbers and decimals have avg\(\), not text"),
        ({"a": typed.avg("amount", "A.", scale=39)}, {}, r"of_types\.a: scale is a number of places, 0 to 38, not 39"),
        ({"a": typed.avg("precise", "A.", scale=19)}, {}, r"of_types\.a: .* 20 digits before the point and 19 behind it"),
        ({"a": typed.variance("big", "A.")}, {}, r"of_types\.a: .* 39 digits before the point"),
        ({"a": typed.stddev("precise", "A.")}, {}, r"of_types\.a: a result may have 76 digits"),
        ({"a": typed.any(field("nothing").eq(1), "A.")}, {}, r"of_types\.a: Typed has no field nothing"),
        ({"n": typed.count("N.")}, {"r": ratio("m", "n", scale=2, doc="R.")}, r"of_types\.r: m is no column of numbers"),
        ({"n": typed.avg("amount", "N.")}, {"r": ratio("n", "n", scale=2, doc="R.")}, "take its sum and its count"),
        ({"n": typed.count("N.")}, {"r": ratio(1, 2, scale=2, doc="R.")}, r"of_types\.r: it is computed from no column"),
        ({"n": typed.count("N.")}, {"n": ratio("n", "n", scale=2, doc="R.")}, "a column is declared twice"),
        ({"n": typed.count("N.")}, {"r": ratio("n", "n", scale=-1, doc="R.")}, r"of_types\.r: scale is a number of places"),
    ],
)  # fmt: skip
def test_what_cannot_be_computed_is_refused_at_its_place(
    columns: dict[str, Column], shown_columns: dict[str, ShownColumn], said: str
) -> None:
    with pytest.raises(BadDeclaration, match=said):
        layout_of(rollup(columns, shown=shown_columns))


def test_operands_and_conditions_that_are_none_are_refused() -> None:
    with pytest.raises(BadDeclaration, match="no column's name, no whole number and no Decimal"):
        column("a") + 0.5  # type: ignore[operator]  # what is refused
    with pytest.raises(BadDeclaration, match=r"any\(\) takes a condition"):
        typed.any("flag", "A.")  # type: ignore[arg-type]  # what is refused
    with pytest.raises(BadDeclaration, match="takes a tuple of the columns"):
        share("a", "b", 2, "S.")  # type: ignore[arg-type]  # what is refused
    deep = column("n")
    for _ in range(30):
        deep = deep + 1
    with pytest.raises(BadDeclaration, match="nested more than 20 deep"):
        rollup({"n": typed.count("N.")}, shown={"r": computed(deep, 2, "R.")})
