"""Where a column comes from, in words: the gather, the events, the field, the condition."""

import pytest

from refold.projections import BadDeclaration, Rollup, View, events, field, key
from refold.projections.tables.declared import declared_of
from refold.projections.tables.fingerprint import fingerprint, view_fingerprint
from refold.projections.tables.lineage import Lineage, Origin, lineages, lineages_of
from refold.projections.tables.serving import served_models
from refold.retail.schemas.basket import BASKET, ItemScanned
from tests.projections.sample import MODELS

SCANNED = "retail.basket.ItemScanned"


def test_each_column_of_the_retail_models_has_an_origin() -> None:
    found = lineages(("retail",))
    for model in served_models(["retail"]):
        lineage = found[model.domain, model.name]
        assert set(lineage.columns) == (set() if model.reads else {column.name for column in model.columns})
    daily = found["retail", "store_daily"].columns
    assert daily["revenue"] == Origin("sum", (SCANNED,), "amount")
    assert daily["lines"] == Origin("count", (SCANNED,))
    assert daily["day"].value == "day of envelope.occurred_at"
    assert found["retail", "baskets"].columns["status"].value == (
        "BasketOpened: open, BasketPaid: paid, BasketAbandoned: voided"
    )
    totals = found["retail", "store_totals"]
    assert (totals.reads, "GROUP BY store_id" in (totals.sql or "")) == (("store_daily",), True)


def test_the_sample_which_uses_everything_that_a_declaration_can_say_is_put_into_words() -> None:
    found = lineages_of(declared_of(MODELS))
    gathers = {origin.gather for lineage in found.values() for origin in lineage.columns.values()}
    assert gathers == {
        "key", "count", "sum", "min", "max", "first", "last", "value", "evolve", "distinct", "quantile", "most_common",
    }  # fmt: skip
    assert {lineage.deleted_by for lineage in found.values()} > {None}


def test_a_condition_is_written_as_sql_would_say_it() -> None:
    some = events(BASKET, ItemScanned).where(
        (field("quantity").ge(2) | field("m_actor").eq("it's")) & field("product_id").is_in(1, 2)
    )
    model = Rollup(
        name="some", domain="retail", description="Some.", key={"store": key("store_id", "Store.")},
        columns={"lines": some.count("Lines.")},
    )  # fmt: skip
    (lineage,) = lineages_of(declared_of([model])).values()
    assert lineage.columns["lines"].condition == "(quantity >= 2 or envelope.actor = 'it''s') and product_id in (1, 2)"


def test_a_unit_belongs_to_a_column_and_changes_no_table() -> None:
    def model(units: dict[str, str]) -> Rollup:
        return Rollup(
            name="some", domain="retail", description="Some.", key={"store": key("store_id", "Store.")},
            columns={"revenue": events(BASKET, ItemScanned).sum("amount", "Revenue.")}, units=units,
        )  # fmt: skip

    assert fingerprint(model({})) == fingerprint(model({"revenue": "USD"}))
    with pytest.raises(BadDeclaration, match="some: a unit is given for revenu, which is no column of it"):
        model({"revenu": "USD"})
    with pytest.raises(BadDeclaration, match="the unit of revenue is described by"):
        model({"revenue": "\0"})


def test_a_unit_of_a_view_makes_the_view_again() -> None:
    def view(units: dict[str, str]) -> View:
        return View(
            name="v", domain="retail", description="V.", columns={"a": ("bigint", "A.")}, key=("a",),
            reads=("baskets",), sql="SELECT 1 AS a", units=units,
        )  # fmt: skip

    assert view_fingerprint(view({})) != view_fingerprint(view({"a": "kg"}))


def test_a_model_of_other_code_has_no_lineage() -> None:
    assert lineages_of(declared_of([])) == {}
    assert Lineage({}).columns == {}
