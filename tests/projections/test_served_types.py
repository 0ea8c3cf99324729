"""A declared view's types: the API serves them under any of their names; others are refused at the declaration."""

import pytest

from refold.projections.declaring.declaration import View
from refold.projections.declaring.served_types import ServedType, served_type
from refold.projections.errors import BadDeclaration


@pytest.mark.parametrize(
    ("declared", "name"),
    [
        ("numeric(38,2)", "numeric"),
        ("NUMERIC (10, -2)", "numeric"),
        ("Double  Precision", "double precision"),
        ("float(24)", "real"),
        ("float(25)", "double precision"),
        ("timestamp(3) with time zone", "timestamptz"),
        ("timestamp without time zone", "timestamp"),
        ("time(0) with time zone", "timetz"),
        ("interval day to second", "interval"),
        ("interval(3)", "interval"),
        ("character varying(20)", "text"),
        ("char(4)", "bpchar"),
        ("jsonb", "jsonb"),
    ],
)
def test_a_type_is_known_by_any_of_its_names(declared: str, name: str) -> None:
    assert served_type(declared) == ServedType(name)


@pytest.mark.parametrize("declared", ["text[]", "integer[3]", "numeric(10,2)[][]", "bigint array"])
def test_an_array_is_of_its_element(declared: str) -> None:
    assert served_type(declared).array


@pytest.mark.parametrize(
    "declared", ["json", "money", "xml", "point", "inet", "tsrange", "jsonb[]", "oid", "mood", "text; drop"]
)
def test_a_type_without_order_or_text_of_its_own_is_refused_when_it_is_declared(declared: str) -> None:
    with pytest.raises(BadDeclaration):
        served_type(declared)
    with pytest.raises(BadDeclaration, match=r"v\.c"):
        View(
            name="v",
            domain="retail",
            description="A view.",
            columns={"c": (declared, "A column.")},
            key=("c",),
            reads=("store_daily",),
            sql="SELECT 1 AS c",
        )
