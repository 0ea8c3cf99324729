"""Clients that others wrote for PostgREST, unmodified: every call that a newcomer would try."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from postgrest import CountMethod, SyncPostgrestClient
from postgrest.exceptions import APIError

from refold.projections.tables.serving import ServedLink
from tests.api.shelf import Site, serving
from tests.node import packages, run

pytestmark = pytest.mark.usefixtures("servers")
COLUMNS = {"nr": "integer", "name": "text", "price": "numeric(10,2)", "sold": "boolean", "made_on": "date"}
ROWS: list[list[Any]] = [
    [1, "hammer", "9.99", "true", "2026-01-01"],
    [2, "saw, long", "20.00", "false", "2026-01-02"],
    [3, 'nail "A"', None, None, "2026-01-03"],
    [4, None, "0.10", "true", None],
]
LOANS: list[list[Any]] = [[1, 1, 7], [2, 1, 2], [3, 2, 1], [4, None, 5]]


@pytest.fixture(scope="module")
def site(module_database: str) -> Iterator[Site]:
    with serving(module_database) as found:
        found.make("tools", COLUMNS, ["nr"], ROWS, view=False)
        found.make("loans", {"loan": "integer", "nr": "integer", "days": "integer"}, ["loan"], LOANS, view=False)
        tied = {
            "tools": ServedLink("loans", "loans", (("nr", "nr"),), True, "Its loans.", "tool"),
            "loans": ServedLink("tool", "tools", (("nr", "nr"),), False, "What was lent.", "tool"),
        }
        for name, link in tied.items():
            found.models["shelf", name] = replace(found.models["shelf", name], links=(link,))
        yield found


@pytest.fixture(scope="module")
def tools(site: Site) -> Iterator[Callable[..., Any]]:
    """A query of the tools by the Python client."""
    with SyncPostgrestClient(f"{site.url}/v1/shelf") as client:
        yield client.from_("tools").select


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (lambda q: q.eq("nr", 2), [2]),
        (lambda q: q.neq("nr", 2), [1, 3, 4]),
        (lambda q: q.gt("price", "0.1").lt("price", 20), [1]),
        (lambda q: q.gte("made_on", "2026-01-02").lte("made_on", "2026-01-03"), [2, 3]),
        (lambda q: q.like("name", "%,%"), [2]),
        (lambda q: q.ilike("name", "*NAIL*"), [3]),
        (lambda q: q.like_any_of("name", "h*,s*"), [1, 2]),
        (lambda q: q.ilike_all_of("name", "*A*,*M*"), [1]),
        (lambda q: q.is_("name", "null"), [4]),
        (lambda q: q.is_("sold", "true"), [1, 4]),
        (lambda q: q.in_("name", ["saw, long", 'nail "A"']), [2, 3]),
        (lambda q: q.in_("nr", [1, 4]), [1, 4]),
        (lambda q: q.not_.in_("nr", [1, 4]), [2, 3]),
        (lambda q: q.not_.is_("price", "null"), [1, 2, 4]),
        (lambda q: q.or_('name.eq."saw, long",price.lt.1'), [2, 4]),
        (lambda q: q.text_search("name", "nail", options={"config": "simple"}), [3]),
        (lambda q: q.wfts("name", "hammer or saw"), [1, 2]),
        (lambda q: q.filter("nr", "in", "(1,2)"), [1, 2]),
        (lambda q: q.match({"sold": "true", "nr": 4}), [4]),
        (lambda q: q.order("price", desc=True, nullsfirst=True), [3, 2, 1, 4]),
        (lambda q: q.order("sold").order("nr", desc=True), [2, 4, 1, 3]),
        (lambda q: q.range(1, 2), [2, 3]),
        (lambda q: q.offset(1).limit(1), [2]),
    ],
)
def test_filters_orders_and_pages(tools: Callable[..., Any], asked: Callable[[Any], Any], wanted: list[int]) -> None:
    assert [row["nr"] for row in asked(tools("nr")).execute().data] == wanted


def test_columns_sums_totals_and_single_rows(tools: Callable[..., Any]) -> None:
    assert tools("*").limit(1).execute().data == [
        {"nr": 1, "name": "hammer", "price": "9.99", "sold": True, "made_on": "2026-01-01"}
    ]
    assert tools("code:nr::text", "price::float8").eq("nr", 1).execute().data == [{"code": "1", "price": 9.99}]
    assert tools("sold,n:count(),price.sum()").order("sold").execute().data == [
        {"sold": False, "n": 1, "sum": "20.00"},
        {"sold": True, "n": 2, "sum": "10.09"},
        {"sold": None, "n": 1, "sum": None},
    ]
    counted = tools("*", count=CountMethod.exact).limit(2).execute()
    assert (len(counted.data), counted.count) == (2, 4)
    assert tools("*", count=CountMethod.exact, head=True).execute().count == 4
    assert tools("nr").eq("nr", 3).single().execute().data == {"nr": 3}
    assert tools("nr").eq("nr", 3).maybe_single().execute().data == {"nr": 3}
    assert tools("nr").eq("nr", 9).maybe_single().execute() is None
    assert tools("nr,name").eq("nr", 2).csv().execute().data == 'nr,name\n2,"saw, long"\n'


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (lambda c: c.from_("loans").select("days,tool(name)").eq("loan", 1), [{"days": 7, "tool": {"name": "hammer"}}]),
        (lambda c: c.from_("loans").select("loan,tool(*)").eq("loan", 4), [{"loan": 4, "tool": None}]),
        (lambda c: c.from_("tools").select("nr,loans(loan)").lt("nr", 4).gt("nr", 1), [{"nr": 2, "loans": [{"loan": 3}]}, {"nr": 3, "loans": []}]),
        (lambda c: c.from_("tools").select("nr,loans(count)").eq("nr", 1), [{"nr": 1, "loans": [{"count": 2}]}]),
        (lambda c: c.from_("tools").select("nr,loans!inner(days)").gt("loans.days", 5), [{"nr": 1, "loans": [{"days": 7}]}]),
        (lambda c: c.from_("tools").select("loans(loan)").eq("nr", 1).order("loan", desc=True, foreign_table="loans").limit(1, foreign_table="loans"), [{"loans": [{"loan": 2}]}]),
        (lambda c: c.from_("tools").select("nr,loans()").is_("loans", "null"), [{"nr": 3}, {"nr": 4}]),
        (lambda c: c.from_("tools").select("nr,lent:loans(days)").or_("days.eq.2,days.eq.1", reference_table="lent").lt("nr", 3), [{"nr": 1, "lent": [{"days": 2}]}, {"nr": 2, "lent": [{"days": 1}]}]),
        (lambda c: c.from_("loans").select("loan,...tool(name)").order("tool(name)", desc=True).limit(2).not_.is_("tool", "null"), [{"loan": 3, "name": "saw, long"}, {"loan": 1, "name": "hammer"}]),
    ],
)  # fmt: skip
def test_linked_rows_are_embedded(site: Site, asked: Callable[[Any], Any], wanted: list[Any]) -> None:
    with SyncPostgrestClient(f"{site.url}/v1/shelf") as client:
        assert asked(client).execute().data == wanted


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (lambda select: select("nr").eq("nr", 9).single(), "not-one-row"),
        (lambda select: select("colour"), "select-invalid"),
        (lambda select: select("nr").eq("colour", "red"), "parameter-unknown"),
        (lambda select: select("nr").eq("nr", "ten"), "filter-invalid"),
        (lambda select: select("nr").like("nr", "1*"), "operator-unfit"),
        (lambda select: select("nr,maker(name)"), "resource-unknown"),
    ],
)
def test_its_errors_are_told_in_its_own_words(
    tools: Callable[..., Any], asked: Callable[[Any], Any], code: str
) -> None:
    with pytest.raises(APIError) as refused:
        asked(tools).execute()
    assert refused.value.code == code
    assert refused.value.message
    assert refused.value.hint


@pytest.mark.timeout(400)
def test_the_javascript_client_reads_them_too(site: Site, tmp_path: Path) -> None:
    """Skipped where there is no Node, or no registry of its packages."""
    answers = _by_javascript(site, tmp_path)
    found = {name: [row["nr"] for row in one["data"]] for name, one in answers.items() if name in NUMBERS}
    assert found == NUMBERS
    assert answers["columns"]["data"] == [{"code": "1", "price": "9.99"}]
    assert answers["sums"]["data"][1] == {"sold": True, "n": 2, "sum": "10.09"}
    assert (answers["counted"]["status"], answers["counted"]["count"]) == (206, 4)
    assert (answers["head"]["data"], answers["head"]["count"]) == (None, 4)
    assert answers["single"]["data"] == {"nr": 3}
    assert (answers["no_single"]["status"], answers["no_single"]["code"]) == (406, "not-one-row")
    assert (answers["maybe_single"]["data"], answers["maybe_single"]["code"]) == (None, None)
    assert answers["csv"]["data"] == 'nr,name\n2,"saw, long"\n'
    assert answers["stripped"]["data"] == [{"nr": 4, "price": "0.10", "sold": True}]
    assert (answers["unknown"]["code"], bool(answers["unknown"]["hint"])) == ("select-invalid", True)
    assert answers["unlinked"]["code"] == "resource-unknown"
    assert answers["embedded"]["data"] == [{"nr": 1, "loans": [{"loan": 1, "tool": {"name": "hammer"}}]}]
    assert answers["inner"]["data"] == [{"loan": 3, "tool": {"nr": 2}}]
    assert answers["counts"]["data"] == [{"nr": 1, "loans": [{"count": 2}]}, {"nr": 3, "loans": [{"count": 0}]}]


NUMBERS = {
    "eq": [2], "range_of_days": [2, 3], "like": [2], "ilike": [3], "like_any": [1, 2], "is_null": [4], "is_true": [1, 4],
    "in_quoted": [2, 3], "not_in": [2, 3], "not_null": [1, 2, 4], "or": [2, 4], "match": [4], "text_search": [1, 2],
    "order": [3, 2, 1, 4], "range": [2, 3],
}  # fmt: skip


def _by_javascript(site: Site, folder: Path) -> dict[str, Any]:
    packages(folder, {"@supabase/postgrest-js": "^2"})
    program = (Path(__file__).parent / "stock_client.mjs").read_text()
    answers: dict[str, Any] = json.loads(run(folder, program, f"{site.url}/v1/shelf"))
    return answers
