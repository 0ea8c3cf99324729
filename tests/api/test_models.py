"""Read models over HTTP, with a fake database: the queries that it gets, and the answers made of its rows."""

import json
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from refold.api.errors import CursorInvalid, FilterInvalid
from refold.api.http.reads.language.query_string import read_query
from refold.api.http.reads.language.tree import Condition, Query, Term
from refold.api.http.reads.planning.plan import Plan, plan_query, plan_row
from refold.api.http.reads.request import read_key
from refold.streams.errors import DatabaseUnavailable

PATH = "/v1/retail/store_daily"
Client = TestClient[Litestar]


def row(store: int, day: str = "2026-01-01") -> dict[str, Any]:
    return {"store_id": store, "day": day, "revenue": "1.10", "last_at": None, "note": "n", "open": True}


AT = 1769860800.0


def page(
    *rows: dict[str, Any],
    at: int = 10,
    behind: int = 0,
    parked: int = 0,
    detached: str | None = None,
    more: bool = False,
    age: float = 0.0,
) -> list[Any]:
    """As Postgres answers: `more` says that a row follows, and the last one's values are short."""
    last = [str(rows[-1]["store_id"]), rows[-1]["day"]] if more else None
    topic = "retail.basket.events"
    stands = [["core", topic, 0, at + behind, AT], ["models" if detached is None else "build:1", topic, 0, at, AT]]
    standing = json.dumps([stands, [[1, "f", 1.5, detached]], [parked, None], None, AT + age, AT + age])
    text = ",".join(json.dumps(row) for row in rows)
    return [(text, len(rows), standing, None, last, [], len(rows) + more, 1)]


def statement(plan: Plan) -> str:
    return plan.shape.tables().text


def filtered(column: str, text: str) -> Query:
    return Query(filters=(((), Condition(column, "eq", text)),))


def test_values_are_bound_and_names_come_from_the_declaration(model: Any) -> None:
    plan = plan_query(
        model, read_query(b"note=eq.%27;DROP%20TABLE%20x--&store_id=eq.7&last_at=is.null&order=revenue.desc&limit=7")
    )
    text = statement(plan)
    assert "DROP" not in text
    assert plan.values == ("';DROP TABLE x--", "7")
    assert '"_View"."note" = %s::text AND "_View"."store_id" = %s::integer AND "_View"."last_at" IS NULL' in text
    assert 'ORDER BY "_View"."revenue" DESC, "_View"."store_id", "_View"."day" LIMIT 8' in text
    assert '"_C2"::text AS "revenue"' in plan.shape.rows()


def test_a_cursor_goes_on_behind_its_row_in_one_comparison(model: Any) -> None:
    plan = plan_query(model, Query(limit=2))
    further = plan_query(model, Query(limit=2, cursor=plan.cursor_after(2, ["330", "2026-02-03"], [])))
    assert '("_View"."store_id", "_View"."day") > (%s::integer, %s::date)' in statement(further)
    assert further.values == ("330", "2026-02-03")


def test_a_cursor_over_mixed_directions_and_nulls_goes_term_by_term(model: Any) -> None:
    query = Query(order=(Term("last_at", descending=True),))
    plan = plan_query(model, query)
    for last_at, expected in [(None, "IS NOT NULL"), ("2026-01-01 00:00:00+00", '"last_at" < %s::timestamptz')]:
        cursor = plan.cursor_after(2, [last_at, "1", "2026-01-01"], [])
        assert expected in statement(plan_query(model, Query(order=query.order, cursor=cursor)))


@pytest.mark.parametrize(
    "other",
    [
        Query(order=(Term("day"),)),
        filtered("store_id", "1"),
        Query(order=(Term("store_id", descending=True),)),
    ],
)
def test_a_cursor_of_another_query_is_refused(model: Any, other: Query) -> None:
    cursor = plan_query(model, Query()).cursor_after(2, ["1", "2026-01-01"], [])
    with pytest.raises(CursorInvalid):
        plan_query(model, Query(filters=other.filters, order=other.order, cursor=cursor))


def test_a_cursor_with_more_values_than_the_order_has_is_refused(model: Any) -> None:
    plan = plan_query(model, Query())
    with pytest.raises(CursorInvalid):
        plan_query(model, Query(cursor=plan.cursor_after(2, ["1", "2026-01-01", "2"], [])))


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("last_at", '"last_at",'),
        ("last_at.desc", '"last_at" DESC,'),
        ("last_at.desc.nullslast", '"last_at" DESC NULLS LAST,'),
        ("last_at.nullsfirst", '"last_at" NULLS FIRST,'),
        ('"last_at".asc.nullslast', '"last_at",'),
        ("day.desc.nullslast", '"day" DESC,'),
    ],
)
def test_nulls_come_where_the_order_says(model: Any, order: str, expected: str) -> None:
    assert f'ORDER BY "_View".{expected}' in statement(plan_query(model, read_query(f"order={order}".encode())))


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (b"a,b", ("a", "b")),
        (b"a%2Cb", ("a", "b")),
        (b"a%2Cb,c", ("a,b", "c")),
        (b"%22a,b%22,c", ("a,b", "c")),
        (b"%22a%2Cb%22%2Cc", ("a,b", "c")),
        (b"%22a%2Cb%22,c", ("a,b", "c")),
        (b"%22say%20%5C%22x%5C%22%22%2C%5C", ('say "x"', "\\")),
        (b",", ("", "")),
        (b"a/b,/", ("a/b", "/")),
        (b"a%252Cb,c", ("a%2Cb", "c")),
    ],
)
def test_a_key_of_two_columns_is_read_as_each_client_writes_it(raw: bytes, key: tuple[str, ...]) -> None:
    assert read_key(raw, 2) == key


@pytest.mark.parametrize("text", ["a,b", '"x"', "/", "..", "%2F", "é/ü", "a b+c", '"', ""])
def test_a_key_of_one_column_is_what_it_is(text: str) -> None:
    assert read_key(quote(text, safe="").encode(), 1) == (text,)
    assert read_key(quote(text, safe="/,").encode(), 1) == (text,)


def test_a_key_is_one_row(model: Any) -> None:
    plan = plan_row(model, ("330", "2026-01-01"))
    assert plan.values == ("330", "2026-01-01")


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("open", "maybe"),
        ("revenue", "1e"),
        ("revenue", "1,5"),
        ("last_at", "2026-12-31T23:59:59.9999999Z"),
        ("last_at", "2026-12-31T23:59:60Z"),
        ("last_at", "2026-12-31T24:00:00Z"),
        ("store_id", "1.0"),
        ("store_id", "٣"),
    ],
)
def test_a_value_of_another_type_is_refused(model: Any, column: str, text: str) -> None:
    with pytest.raises(FilterInvalid):
        plan_query(model, filtered(column, text))


def test_a_page_says_its_position_and_where_the_next_one_is(client: Client, world: Any) -> None:
    world.pages = [page(row(1), row(2), behind=4, parked=2, more=True)]
    answer = client.get(f"{PATH}?limit=2&order=store_id")
    assert answer.headers["content-type"] == "application/json"
    assert [(found["store_id"], found["revenue"]) for found in answer.json()] == [(1, "1.10"), (2, "1.10")]
    assert answer.headers["refold-position"] == "retail.basket.events/0:10"
    assert answer.headers["content-range"] == "0-1/*"
    following = answer.links["next"]["url"]
    assert following.endswith(f"&cursor={answer.headers['refold-cursor']}")
    assert (answer.headers["refold-lag"], answer.headers["refold-parked"]) == ("4", "2")
    asked = parse_qs(urlsplit(following).query)
    assert (asked["limit"], asked["order"]) == (["2"], ["store_id"])
    world.pages = [page(row(3))]
    last = client.get(following)
    assert (last.headers["content-range"], last.links) == ("2-2/*", {})
    assert "refold-cursor" not in last.headers


def test_a_row_by_its_key(client: Client, world: Any) -> None:
    world.pages = [page(row(330))]
    assert client.get(f"{PATH}/330,2026-01-01").json()["store_id"] == 330
    world.pages = [page()]
    absent = client.get(f"{PATH}/331,2026-01-01")
    assert (absent.status_code, absent.json()["code"]) == (404, "row-absent")
    assert absent.headers["refold-position"] == "retail.basket.events/0:10"


def test_a_position_is_waited_for(client: Client, world: Any) -> None:
    world.pages = [page(at=10), page(at=10), page(row(1), at=12)]
    answer = client.get(PATH, headers={"Refold-Min-Position": "retail.basket.events/0:12"})
    assert answer.status_code == 200
    assert len(world.fetched) == 3
    assert world.wanted == [{("retail.basket.events", 0): 12}] * 2


def test_a_position_that_is_not_reached_is_412_never_stale_rows(client: Client, world: Any) -> None:
    world.pages = [page(row(1), at=10)]
    answer = client.get(PATH, headers={"Refold-Min-Position": "retail.basket.events/0:12", "Prefer": "wait=0"})
    assert (answer.status_code, answer.json()["code"]) == (412, "position-not-reached")
    assert (answer.headers["retry-after"], answer.headers["refold-position"]) == ("1", "retail.basket.events/0:10")


def test_a_detached_model_is_not_waited_for(client: Client, world: Any) -> None:
    world.pages = [page(row(1), at=10, detached="model-failed")]
    answer = client.get(PATH, headers={"Refold-Min-Position": "retail.basket.events/0:12", "Prefer": "wait=30"})
    assert (answer.status_code, len(world.fetched)) == (412, 1)
    assert "detached (model-failed)" in answer.json()["detail"]
    assert client.get(PATH).headers["refold-detached"] == "model-failed"


def test_positions_of_other_categories_do_not_concern_a_model(client: Client, world: Any) -> None:
    world.pages = [page(row(1))]
    assert client.get(PATH, headers={"Refold-Min-Position": "retail.product.events/0:99"}).status_code == 200


def test_postgres_away_is_503(client: Client, world: Any) -> None:
    world.fetch_error = DatabaseUnavailable("gone")
    answer = client.get(PATH)
    assert (answer.status_code, answer.json()["code"]) == (503, "database-unavailable")
    assert answer.headers["retry-after"]


@pytest.mark.parametrize(
    "said",
    ["2026-12-31T23:59:59.9999999Z", "2026-12-31T23:59:60Z", "2026-12-31T24:00:00Z", "9999-12-31T23:59:59-00:01"],
)
def test_a_time_that_would_be_rounded_is_no_filter(model: Any, said: str) -> None:
    with pytest.raises(FilterInvalid):
        plan_query(model, filtered("last_at", said))
    exact = plan_query(model, filtered("last_at", "2026-12-31T23:59:59.99999900Z"))
    assert exact.values == ("2026-12-31T23:59:59.999999+00:00",)
