"""Links as authors declare them: what is refused, both directions of each, and what a link never changes."""

from dataclasses import replace
from typing import Any

import pytest

from refold.api.http.describe.docs_page import docs_page
from refold.api.http.describe.openapi import document
from refold.projections import STREAM, BadDeclaration, Entity, Link, Rollup, View, events, key
from refold.projections.tables.declared import declared_of
from refold.projections.tables.fingerprint import fingerprint, view_fingerprint
from refold.projections.tables.served import as_json, of_json
from refold.projections.tables.serving import ServedLink, served_models
from refold.retail.projections import BASKETS, HOUSEHOLDS
from refold.retail.schemas.basket import BASKET, ItemScanned
from refold.retail.views import STORE_TOTALS
from refold.streams.domain import load_domains
from tests.api.linked import TOOLS

scanned = events(BASKET, ItemScanned)


def rollup(name: str, kind: str, **links: Link) -> Rollup:
    keys: dict[str, dict[str, Any]] = {
        "whole": {"store_id": "store_id"},
        "text": {"id": STREAM},
        "two": {"one": "store_id", "two": "product_id"},
    }
    return Rollup(
        name=name,
        domain="retail",
        description="Lines.",
        key={column: key(field, "A key.") for column, field in keys[kind].items()},
        columns={"lines": scanned.count("Lines."), "last": scanned.last("product_id", "The last product.")},
        links=links,
    )


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ([rollup("a", "whole", b=Link("b", "store_id", "B."))], "the link b leads to b, which retail does not have; there are a"),
        ([rollup("a", "two", b=Link("b", "one", "B.")), rollup("b", "two")], "the link b has 1 columns, and the key of b has 2: one, two"),
        ([rollup("a", "whole", b=Link("b", "store_id", "B.")), rollup("b", "text")], "store_id is integer, and b.id is text; they are never equal"),
        ([rollup("a", "whole", x=Link("b", "store_id", "B.", reverse="last")), rollup("b", "whole")], "the link last has the name of a column"),
        ([rollup("a", "whole", x=Link("b", "store_id", ""), y=Link("b", "store_id", "")), rollup("b", "whole")], "the link a has the name of another link"),
    ],
)  # fmt: skip
def test_a_link_that_leads_nowhere_is_refused_when_the_domain_is_loaded(models: list[Any], said: str) -> None:
    with pytest.raises(BadDeclaration) as found:
        declared_of(models)
    assert said in found.value.message


@pytest.mark.parametrize(
    ("link", "said"),
    [
        (Link("b", "nothing", "B."), "the link b names 'nothing'; its columns are some of store_id, lines, last"),
        (Link("b", (), "B."), "has no column, or one twice"),
        (Link("b", ("last", "last"), "B."), "has no column, or one twice"),
        (Link("B", "last", "B."), "'B' is no name in lower case"),
        (Link("b", "last", "\0"), "no text that Postgres can hold"),
        ("b", "write Link(to, columns, doc)"),
    ],
)  # fmt: skip
def test_a_link_that_is_wrong_by_itself_is_refused_when_it_is_declared(link: Any, said: str) -> None:
    with pytest.raises(BadDeclaration) as found:
        rollup("a", "whole", b=link)
    assert said in found.value.message
    with pytest.raises(BadDeclaration, match="the link last has the name of a column"):
        rollup("a", "whole", last=Link("b", "last", "B."))


def test_links_change_no_fingerprint_and_are_not_kept_beside_a_build() -> None:
    bare, tied = rollup("a", "whole"), rollup("a", "whole", b=Link("b", "store_id", "B."))
    assert fingerprint(bare) == fingerprint(tied)
    assert fingerprint(replace(HOUSEHOLDS, links={"x": Link("baskets", "household_id", "")})) == fingerprint(HOUSEHOLDS)
    assert isinstance(STORE_TOTALS, View)
    assert view_fingerprint(replace(STORE_TOTALS, links={"x": Link("y", "store_id", "")})) == view_fingerprint(
        STORE_TOTALS
    )
    assert of_json(as_json(TOOLS)) == TOOLS


def test_each_link_of_retail_is_there_in_both_directions() -> None:
    assert isinstance(BASKETS, Entity)
    found = {(one.name, of.name): of for one in served_models(["retail"]) for of in one.links}
    assert set(found) == {
        ("baskets", "household"),
        ("baskets", "store"),
        ("households", "receipts"),
        ("store_totals", "receipts"),
        ("basket_lines", "basket"),
        ("baskets", "items"),
        ("coupons", "campaign"),
        ("campaigns", "coupons"),
    }
    assert not found["baskets", "household"].many
    assert found["households", "receipts"] == ServedLink(
        "receipts",
        "baskets",
        (("household_id", "household_id"),),
        True,
        found["households", "receipts"].doc,
        "household",
    )
    one_each = declared_of([rollup("a", "whole", b=Link("b", "store_id", "B.")), rollup("b", "whole")]).links
    assert [link.many for links in one_each.values() for link in links] == [False, False]


def test_openapi_shows_links_where_rows_and_select_are_described() -> None:
    found = document(load_domains(["retail"]), served_models(["retail"]))
    row = found["components"]["schemas"]["retail.households"]
    assert row["properties"]["receipts"]["items"] == {"$ref": "#/components/schemas/retail.baskets"}
    assert "receipts" not in row["required"]
    household = found["components"]["schemas"]["retail.baskets"]["properties"]["household"]
    assert household["anyOf"] == [{"$ref": "#/components/schemas/retail.households"}, {"type": "null"}]
    get = found["paths"]["/v1/retail/baskets"]["get"]
    (select,) = [one["description"] for one in get["parameters"] if one["name"] == "select"]
    assert "`household(columns)` embeds rows of households" in select
    assert "resource-ambiguous" in get["responses"]["300"]["description"]


def test_the_page_of_paths_shows_rows_once_that_are_linked_in_a_circle() -> None:
    def many(name: str, to: str) -> ServedLink:
        return ServedLink(name, to, (("household_id", "household_id"),), True, "Others.", name)

    served = [
        replace(one, links=(*one.links, many("same", one.name), many("others", "baskets" if one.name == "households" else "households")))
        if one.name in {"households", "baskets"} else one
        for one in served_models(["retail"])
    ]  # fmt: skip
    page = docs_page(document(load_domains(["retail"]), served))
    assert "array of retail.households" in page
    assert "retail.households or null" in page
    assert len(page) < 2 * len(docs_page(document(load_domains(["retail"]), served_models(["retail"]))))
