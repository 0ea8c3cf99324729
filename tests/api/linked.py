"""Tools, people and bosses, who are linked: what tests of embedded resources plan queries of."""

from typing import Any

from refold.api.http.reads.language.query_string import read_query
from refold.api.http.reads.planning.plan import Plan, Wanted, plan_query
from refold.api.http.reads.planning.resources import check_name
from refold.projections.tables.serving import ServedColumn, ServedLink, ServedModel

COLUMNS = {"nr": "integer", "name": "text", "price": "numeric(10,2)", "maker": "integer", "owner": "integer"}


def model(name: str, *links: ServedLink, reads: tuple[str, ...] = ()) -> ServedModel:
    columns = tuple(ServedColumn(c, t, nullable=c != "nr", doc="") for c, t in COLUMNS.items())
    return ServedModel("shop", name, "", columns, ("nr",), (f"shop.{name}",), reads, links=links)


def link(name: str, to: str, column: str, *, many: bool = False, declared: str = "") -> ServedLink:
    pairs = (("nr", column),) if many else ((column, "nr"),)
    return ServedLink(name, to, pairs, many, "", declared or name)


MODELS = {
    ("shop", one.name): one
    for one in (
        model("tools", link("made_by", "people", "maker"), link("owned_by", "people", "owner"), link("kin", "tools", "owner"),
              link("tools", "tools", "owner", many=True, declared="kin")),
        model("people", link("made", "tools", "maker", many=True, declared="made_by"),
              link("owns", "tools", "owner", many=True, declared="owned_by"), link("boss", "bosses", "owner")),
        model("bosses", reads=("people",)),
    )
}  # fmt: skip
TOOLS, PEOPLE, BOSSES = MODELS.values()


def planned(text: str, of: ServedModel = TOOLS, **wanted: Any) -> Plan:
    query = read_query(text.encode(), check=check_name(of, MODELS))
    return plan_query(of, query, Wanted(**wanted), MODELS)
