"""A replay decodes the columns that some declaration can ask for, and no others."""

import pytest

from refold.projections.declaring.declaration import Entity, Rollup
from refold.projections.declaring.expressions import fields_of
from refold.projections.declaring.field_types import CARRIED
from refold.projections.declaring.payload import payload_types
from refold.projections.replay.wanted_columns import wanted_columns
from refold.projections.tables.declared import declared
from refold.projections.tables.layout import layout_of
from refold.projections.tables.memories import read_types
from refold.schemas.columns import envelope as m
from refold.streams.domain import load_domains
from tests.projections import sample

RETAIL = load_domains(["refold.retail"])
EACH = {m.STREAM, m.VERSION, m.OCCURRED_AT}


def test_they_are_the_fields_that_stand_in_declarations_and_all_texts() -> None:
    found = wanted_columns(declared(["retail"]).layouts.values(), RETAIL.catalog)
    fields = {"store_id", "product_id", "quantity", "amount", "discount"}
    assert found["retail.basket", "ItemScanned"] & {"lines", *fields, *EACH} >= {*fields, *EACH}
    assert m.RECORDED_AT not in found["retail.basket", "ItemScanned"]
    assert {"brand", "department"} <= found["retail.product", "ProductListed"]


@pytest.mark.parametrize("name", [name for name, held in vars(sample).items() if isinstance(held, Rollup | Entity)])
def test_no_field_that_a_declaration_reads_is_missing(name: str) -> None:
    layout = layout_of(getattr(sample, name))
    keys = layout.model.key.values() if isinstance(layout.model, Rollup) else ()
    read = {field for key in keys for field in fields_of(key.value)}
    for column in layout.model.columns.values():
        read |= fields_of(column.value) | fields_of(column.of.condition)
    read = {name for name in read if not name.startswith(CARRIED)}
    found = wanted_columns([layout], sample.CATALOG)
    whole = read_types(layout.model) if layout.evolves else payload_types(layout.model)
    thin = set(read_types(layout.model)) - set(whole)
    assert set(found) == {(one.category.name, one.event.__name__) for one in thin}
    assert all(read | EACH <= wanted for wanted in found.values())
