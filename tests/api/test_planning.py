"""Plans of queries: a client's text is a value in every place where it may stand, and a statement depends on the shape of its query alone."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from refold.api.errors import ApiError, FilterInvalid, OrderInvalid, UnknownParameter
from refold.api.http.reads.asking import MOST_ASKED, Asked, asked_again
from refold.api.http.reads.language.preferences import Preferences, read_preferences
from refold.api.http.reads.language.query_string import read_query
from refold.api.http.reads.language.ranges import Rows, content_range, read_rows
from refold.api.http.reads.language.tree import Condition, Query
from refold.api.http.reads.planning.plan import Plan, Wanted, plan_query, plan_row
from refold.api.http.reads.planning.resources import check_name
from refold.api.http.wire.accepting import Media, accepted
from refold.api.reading_errors import (
    NotAcceptable,
    OperatorUnfit,
    PreferenceInvalid,
    QueryTooLarge,
    RangeUnsatisfiable,
    ResourceUnknown,
    SelectInvalid,
)
from refold.projections.tables.serving import ServedColumn, ServedModel, served_models
from tests.api.conftest import STORE_DAILY

MODEL = ServedModel(
    "shop",
    "tools",
    "Tools.",
    tuple(
        ServedColumn(name, kind, nullable=name != "nr", doc="")
        for name, kind in {
            "nr": "integer", "name": "text", "price": "numeric(10,2)", "sold": "boolean",
            "seen_at": "timestamptz", "tags": "text[]", "made_on": "date", "facts": "jsonb",
        }.items()
    ),
    ("nr",),
    ("shop.tool",),
)  # fmt: skip
HOSTILE = [
    "'",
    "''",
    "$$",
    "$1",
    "%s",
    "%(a)s",
    "--",
    "/*",
    ";",
    "\\",
    '"',
    "{}",
    "{0}",
    "\0",
    "x'); DROP TABLE t --",
]
IDENTIFIER = re.compile(r'"(?:[^"]|"")*"')
PLACES = [
    "name=eq.{}", "name=like.{}*", "name=match.{}", "name=in.({},b)", "name=not.in.(a,{})", "name=eq(any).{{}}",
    "name=fts.{}", "name=fts({}).a", "name=isdistinct.{}", "tags=cs.{{}}", "facts=cs.{}", "or=(name.eq.{},nr.eq.1)",
    "not.and=(name.in.({}),or(name.ilike.{},nr.gt.1))", "nr=eq.{}", "price=gt.{}", "seen_at=lt.{}", "sold=is.{}",
    "made_on=eq.{}", "order={}", "order=name.{}", "select={}", "select=a:{}", "select={}:name", "select=name::{}",
    "select={}.sum()", "limit={}", "offset={}", "cursor={}", "{}=eq.1", "{}.name=eq.1", "or=({}.eq.1)", "name={}.a",
]  # fmt: skip


QUESTIONS = re.findall(
    r"^\| \d+ \| .* \| `([a-z_]+)\?(\S+)` \|",
    (Path(__file__).parents[2] / "docs/questions.md").read_text(),
    re.MULTILINE,
)


def planned(text: str, **wanted: Any) -> Plan:
    return plan_query(MODEL, read_query(text.encode(), check=check_name(MODEL)), Wanted(**wanted))


def texts(plan: Plan) -> list[str]:
    shape = plan.shape
    return [shape.tables().text, shape.rows(), shape.ends(), shape.counted().text, shape.selection(None).text]


@given(
    st.sampled_from(PLACES),
    st.text(st.sampled_from("abc123.,()*"), max_size=3),
    st.sampled_from(HOSTILE),
    st.text(st.sampled_from("abc123.,()*"), max_size=3),
)
def test_a_clients_text_is_refused_or_bound_and_never_part_of_a_statement(
    place: str, before: str, bad: str, behind: str
) -> None:
    """The only names that a client gives are those of the answer's columns: they are quoted identifiers."""
    name, _, value = place.replace("{}", f"{before}zQz{bad}zQz{behind}").partition("=")
    try:
        plan = planned(f"{quote(name)}={quote(value)}")
    except ApiError as problem:
        assume(problem.status >= 400)
        return
    for text in texts(plan):
        assert "zQz" not in IDENTIFIER.sub("", text)
        assert "select" in place or "zQz" not in text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("name=eq.a&nr=gt.1&order=name.desc", "name=eq.'--&nr=gt.77&order=name.desc"),
        ("name=in.(a,b,c)", "name=in.(d)"),
        ("or=(name.like.a*,price.lt.3)", "or=(name.like.%25,price.lt.4)"),
        ("name=fts(simple).a", "name=fts(german).b"),
        ("offset=5", "offset=50"),
        ("price=gte(any).{1,2}", "price=gte(any).{3}"),
    ],
)
def test_queries_of_one_shape_have_one_statement(one: str, other: str) -> None:
    assert texts(planned(one)) == texts(planned(other))
    assert planned(one).shape == planned(other).shape
    assert planned(one).values != planned(other).values


@pytest.mark.parametrize(
    "text",
    [
        "seen_at=lt.now",
        "made_on=in.(2026-01-01,today)",
        "or=(seen_at.gt.Yesterday 10:00,nr.eq.1)",
        "seen_at=lt.12:00today",
    ],
)
def test_a_query_of_today_is_known_to_have_another_answer_tomorrow(text: str) -> None:
    assert planned(text).moving
    assert not planned("seen_at=lt.2026-01-01&name=eq.nowhere").moving


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("colour=eq.red", UnknownParameter, "there is no column 'colour'; there are: nr, name"),
        ("names=eq.x", UnknownParameter, "did you mean name?"),
        ("fields=nr", UnknownParameter, "choose columns with select=a,b"),
        ("sort=nr", UnknownParameter, "order with order=column.desc"),
        ("page=2", UnknownParameter, "next page"),
        ("group_by=name", UnknownParameter, "select=column,total:other.sum()"),
        ("colour=noop.1", UnknownParameter, "there is no column 'colour'"),
        ("or=(colour.eq.1)", UnknownParameter, "there is no column 'colour'"),
        ("select=colour", SelectInvalid, "there is no column 'colour'"),
        ("select=colour.sum()", SelectInvalid, "there is no column 'colour'"),
        ("select=nr::money", SelectInvalid, "there is no type 'money'"),
        ("select=*,count()", SelectInvalid, "not beside `*`"),
        ("order=colour", OrderInvalid, "there is no column 'colour'"),
        ("select=name,nr.sum()&order=nr", OrderInvalid, "'nr' is not grouped by"),
        ("nr=like.1*", OperatorUnfit, "nr is integer, and `like` takes texts"),
        ("nr=fts.1", OperatorUnfit, "texts and JSON"),
        ("tags=in.(a)", OperatorUnfit, "single values"),
        ("name=cs.{a}", OperatorUnfit, "arrays"),
        ("select=name.avg()", OperatorUnfit, "name.avg(): there is none of text"),
        ("select=sold.max()", OperatorUnfit, "there is none of boolean"),
        ("name=is.true", ApiError, "only booleans are true"),
        ("nr=eq.ten", ApiError, "'ten' is no integer (nr)"),
        ("name=match." + "a" * 501, ApiError, "at most 500 characters"),
        ("other.name=eq.1", ResourceUnknown, "no link from tools to 'other'; it has no links"),
        ("select=nr,other(nr)", ResourceUnknown, "no link from tools to 'other'; it has no links"),
        ("other.order=name", ResourceUnknown, "no link from tools to 'other'; it has no links"),
    ],
)
def test_an_error_names_what_is_wrong_and_what_is_right(text: str, error: type[ApiError], said: str) -> None:
    with pytest.raises(error) as found:
        planned(text)
    assert said in found.value.message


@pytest.mark.parametrize(("model", "query"), QUESTIONS)
def test_each_question_of_the_page_for_analysts_is_one_request(model: str, query: str) -> None:
    models = {(one.domain, one.name): one for one in served_models(["retail"])}
    served = models["retail", model]
    plan = plan_query(served, read_query(query.encode(), check=check_name(served, models)), models=models)
    assert plan.shape.tables().text


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, Media("application/json")),
        ("*/*", Media("application/json")),
        ("text/html, application/*;q=0.9", Media("application/json")),
        ("text/csv, application/json", Media("text/csv")),
        ("text/csv;q=0.2, application/json;q=0.8", Media("application/json")),
        ("application/json;q=0, text/csv", Media("text/csv")),
        ("Application/JSON; charset=utf-8", Media("application/json")),
        ("application/vnd.pgrst.object", Media("application/vnd.pgrst.object+json")),
        ("application/vnd.pgrst.array+json; nulls=stripped", Media("application/vnd.pgrst.array+json", stripped=True)),
    ],
)
def test_the_best_media_type_that_there_is_is_chosen(header: str | None, wanted: Media) -> None:
    there = ("application/json", "application/vnd.pgrst.array+json", "application/vnd.pgrst.object+json", "text/csv")
    assert accepted(header, there) == wanted


@pytest.mark.parametrize("header", ["image/png", "application/json;q=0", "text/*;q=0.0", "json", ","])
def test_what_cannot_be_accepted_is_refused(header: str) -> None:
    with pytest.raises(NotAcceptable):
        accepted(header, ("application/json", "text/csv"))


@given(st.text(max_size=40))
def test_any_accept_and_any_prefer_is_read_or_refused(header: str) -> None:
    for read in (lambda: accepted(header, ("application/json",)), lambda: read_preferences(header)):
        try:
            read()
        except ApiError as problem:
            assume(problem.status in {400, 406})


def test_preferences_are_read_and_applied_in_one_order() -> None:
    found = read_preferences(
        "timezone=Europe/Berlin ,handling=strict, count=exact,count=planned, wait=5, max-affected=1"
    )
    assert found == Preferences("exact", "strict", "Europe/Berlin")
    assert found.applied() == "count=exact, handling=strict, timezone=Europe/Berlin"
    assert read_preferences("respond-async, count=all").applied() == ""
    for refused in ("handling=strict, count=all", "handling=strict,respond-async", "timezone='x'"):
        with pytest.raises(PreferenceInvalid):
            read_preferences(refused)


@pytest.mark.parametrize(
    ("text", "header", "wanted"),
    [
        ("", None, Rows(0, None)),
        ("limit=5&offset=2", None, Rows(2, 5)),
        ("", "3-7", Rows(3, 5)),
        ("", "3-", Rows(3, None)),
        ("limit=5", "3-20", Rows(3, 2)),
        ("offset=4", "0-9", Rows(4, 6)),
        ("limit=0", "0-9", Rows(0, 0)),
        ("limit=3", "bytes=0-9", Rows(0, 3)),
        ("offset=-4", None, Rows(0, None)),
    ],
)
def test_limit_and_offset_meet_the_range_header(text: str, header: str | None, wanted: Rows) -> None:
    assert read_rows(read_query(text.encode()), header) == wanted
    assert read_rows(read_query(text.encode()), header, get=False) == read_rows(read_query(text.encode()), None)


@pytest.mark.parametrize(
    ("text", "header"), [("limit=-1", None), ("", "5-2"), ("limit=3", "10-19"), ("limit=-1", "0-5")]
)
def test_rows_that_cannot_be_there_are_416(text: str, header: str | None) -> None:
    with pytest.raises(RangeUnsatisfiable):
        read_rows(read_query(text.encode()), header)


@pytest.mark.parametrize("first", ["10000001", "9223372036854775808", "9" * 5000])
def test_a_range_that_begins_too_far_away_is_refused_and_one_may_end_anywhere(first: str) -> None:
    with pytest.raises(QueryTooLarge):
        read_rows(read_query(b""), f"{first}-")
    assert read_rows(read_query(b""), f"0002-{first}").offset == 2


@pytest.mark.parametrize(
    ("first", "rows", "total", "wanted"),
    [
        (0, 25, None, ("0-24/*", 200)),
        (0, 0, None, ("*/*", 200)),
        (0, 3, 7, ("0-2/7", 206)),
        (0, 7, 7, ("0-6/7", 200)),
        (5, 2, 7, ("5-6/7", 206)),
        (7, 0, 7, ("*/7", 206)),
        (8, 0, 7, ("*/7", 416)),
        (0, 0, 0, ("*/0", 200)),
        (1, 0, 0, ("*/0", 416)),
    ],
)
def test_the_content_range_says_which_rows_of_how_many(
    first: int, rows: int, total: int | None, wanted: tuple[str, int]
) -> None:
    assert content_range(first, rows, total) == wanted


def test_a_row_is_found_by_the_statement_of_its_keys_filters() -> None:
    """Its shape is made once for each model, so it must be the one that any query has."""
    key = ("3", "2026-01-01")
    filters = tuple(((), Condition(name, "eq", value)) for name, value in zip(STORE_DAILY.key, key, strict=True))
    query, row = plan_query(STORE_DAILY, Query(filters=filters, limit=1)), plan_row(STORE_DAILY, key)
    assert row.shape == query.shape
    assert row.values == query.values
    assert [(one.value, one.probe, one.refused().message) for one in row.given] == [
        (one.value, one.probe, one.refused().message) for one in query.given
    ]


def test_a_question_that_was_planned_for_another_table_is_planned_again() -> None:
    known: dict[Any, Asked] = {}
    first = asked_again(known, STORE_DAILY, {}, "GET", b"limit=1", {})
    assert asked_again(known, STORE_DAILY, {}, "GET", b"limit=1", {}) is first
    assert asked_again(known, STORE_DAILY, {}, "GET", b"limit=1", {"prefer": "count=exact"}) is not first
    other = replace(STORE_DAILY, columns=STORE_DAILY.columns[:3])
    found = asked_again(known, other, {}, "GET", b"limit=1", {})
    assert (found.plan.model, len(found.plan.shape.shown)) == (other, 3)
    for number in range(2 * MOST_ASKED):
        asked_again(known, STORE_DAILY, {}, "GET", b"limit=%d" % (number % 900 + 1), {"prefer": f"wait={number % 10}"})
    assert len(known) <= MOST_ASKED
    with pytest.raises(FilterInvalid):
        asked_again(known, STORE_DAILY, {}, "GET", b"store_id=eq.x", {})
