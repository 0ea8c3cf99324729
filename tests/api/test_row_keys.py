"""The path of an explanation names exactly its row: for each key, whatever characters, nulls or slashes it holds."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import TestClient

from refold.api.errors import FilterInvalid
from refold.api.http.reads.explained import explain_path
from refold.api.http.reads.row_keys import PARAMETERS, explained_key, key_of_parameters, key_of_path, key_of_text
from refold.projections.declaring.declaration import Rollup
from refold.projections.declaring.gathering import events, key
from refold.projections.explaining.explainer import Asked, Explanation
from refold.projections.explaining.unfolded import Unfolded
from refold.projections.tables.declared import declared
from refold.projections.tables.layout import Layout, layout_of
from refold.projections.tables.served import served_table
from tests.api.conftest import World
from tests.projections.sample import ACCOUNT, ACCOUNTS, Paid

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12) | st.sampled_from(
    ["", ".", "..", "a/b", "/", "/explain", "a/explain", "explain", "a,b", '"', '"x"', "\\", "%2F", "a+b", "null", "é"]
)
PAIRS = layout_of(
    Rollup(
        name="pairs",
        domain="sample",
        description="By two.",
        key={"owner": key("owner", "Who."), "limit": key("amount", "How much.")},
        columns={"payments": events(ACCOUNT, Paid).count("All.")},
    )
)


def read_back(layout: Layout, path: str) -> list[str | None]:
    """The key of a path, as the routes read it."""
    served, (target, _, query) = served_table(layout), path.partition("?")
    if query:
        assert target == f"/v1/explain/sample/{layout.name}"
        return key_of_parameters(served, query.encode(), PARAMETERS)
    base = f"/v1/sample/{layout.name}/"
    assert target.startswith(base)
    raw = explained_key(target.removeprefix(base).encode())
    assert raw is not None
    assert b"/" not in raw, "a slash of the key is percent-encoded"
    return key_of_path(served, raw)


@pytest.mark.parametrize("query", ['owner=eq.a&"limit"=eq.5', '"owner"=eq.a&"limit"=eq.5&limit=2'])
def test_a_column_of_the_key_may_stand_in_double_quotes(query: str) -> None:
    assert key_of_parameters(served_table(PAIRS), query.encode(), PARAMETERS) == ["a", "5"]


@pytest.mark.parametrize("query", ['owner=eq.a&"owner"=eq.b&"limit"=eq.5', "owner=eq.a&limit=eq.5", "owner=eq.a"])
def test_a_key_that_is_said_twice_or_not_whole_is_refused(query: str) -> None:
    with pytest.raises(FilterInvalid):
        key_of_parameters(served_table(PAIRS), query.encode(), PARAMETERS)


@settings(max_examples=300, deadline=None)
@given(text=TEXTS)
@example("a/explain")
def test_a_key_of_one_text_comes_back(text: str) -> None:
    assert read_back(layout_of(ACCOUNTS), explain_path(layout_of(ACCOUNTS), (text,))) == [text]
    assert key_of_text(served_table(layout_of(ACCOUNTS)), text) == [text]


@settings(max_examples=300, deadline=None)
@given(owner=st.none() | TEXTS, amount=st.none() | st.integers(-999, 999).map(lambda cents: Decimal(cents) / 100))
def test_a_key_of_two_columns_comes_back_even_if_one_is_null(owner: str | None, amount: Decimal | None) -> None:
    shown = None if amount is None else format(amount, "f")
    assert read_back(PAIRS, explain_path(PAIRS, (owner, amount))) == [owner, shown]


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/retail/baskets/a/explain", ["a"]),
        ("/v1/retail/baskets/a%2Fexplain/explain", ["a/explain"]),
        ("/v1/retail/baskets/a/b/explain", ["a/b"]),
        ("/v1/retail/baskets/explain/explain", ["explain"]),
        ("/v1/retail/baskets//explain", [""]),
        ("/v1/retail/store_daily/330,2026-01-31/explain?limit=3", ["330", "2026-01-31"]),
        ("/v1/explain/retail/baskets?basket_id=eq..", ["."]),
        ("/v1/explain/retail/store_daily?day=is.null&store_id=eq.330&order=desc", ["330", None]),
    ],
)
def test_a_path_asks_for_the_row_that_it_names(
    client: TestClient[Litestar], world: World, path: str, asked: list[Any]
) -> None:
    assert client.get(path).status_code == 503, "the fake explains nothing"
    assert [one.key for one in world.asked_why] == [asked]


@pytest.mark.parametrize("path", ["/v1/retail/store_daily/a%2Fexplain", "/v1/retail/store_daily/explain"])
def test_a_key_that_ends_with_explain_asks_for_the_row(client: TestClient[Litestar], world: World, path: str) -> None:
    client.get(path)
    assert world.asked_why == []


def test_a_search_of_several_requests_is_compared_with_the_row_of_the_first(
    client: TestClient[Litestar], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = declared(["retail"]).layouts["retail", "baskets"]
    row = {part.name: None for part in layout.columns if part.doc is not None} | {"lines": 3, "status": "open"}
    found = Explanation(
        layout=layout, key=("b1",), positions={("retail.basket.events", 0): 9}, row=row, folded=None, complete=False,
        by_stream=False, read=4, of=9, events=1, summed=0, totals={}, changes=[], following=None,
        unfolded=Unfolded([], []), is_first_page=True,
    )  # fmt: skip
    later: dict[str, Any] = {"complete": True, "is_first_page": False, "row": row | {"lines": 4}, "read": 9}
    answers = [found, replace(found, **later, folded=row), replace(found, **later, folded=row | {"lines": 2})]
    asked: list[Asked] = []

    async def explain(one: Asked) -> Explanation:
        asked.append(one)
        return answers[len(asked) - 1]

    monkeypatch.setattr(world, "explain_now", explain)
    first = client.get("/v1/retail/baskets/b1/explain")
    assert (first.json()["complete"], first.json()["adds_up"], first.headers["retry-after"]) == (False, None, "0")
    for adds_up in (True, False):
        more = client.get(first.json()["next"]).json()
        assert (more["complete"], more["adds_up"], more["next"]) == (True, adds_up, None)
    assert [one.positions for one in asked] == [None, found.positions, found.positions]
    other = client.get(first.json()["next"].replace("b1", "b2"))
    assert (other.status_code, other.json()["code"]) == (400, "cursor-invalid")
