"""A replay decodes the columns that some declaration can ask for, and no others."""

from refold.projections.replay.wanted_columns import wanted_columns
from refold.projections.tables.declared import declared
from refold.schemas.columns import envelope as m
from refold.streams.domain import load_domains

RETAIL = load_domains(["refold.retail"])
EACH = {m.STREAM, m.VERSION, m.OCCURRED_AT}


def test_they_are_the_fields_that_stand_in_declarations_and_all_texts() -> None:
    found = wanted_columns(declared(["refold.retail"]).layouts.values(), RETAIL.catalog)
    fields = {"store_id", "product_id", "quantity", "amount", "discount"}
    assert found["retail.basket", "ItemScanned"] & {"lines", *fields, *EACH} >= {*fields, *EACH}
    assert m.RECORDED_AT not in found["retail.basket", "ItemScanned"]
    assert {"brand", "department"} <= found["retail.product", "ProductListed"]
