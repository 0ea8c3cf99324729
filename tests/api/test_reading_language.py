"""PostgREST's language through a real server and a real Postgres: the page for analysts as it stands, and every kind of request."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from refold.projections.tables.serving import ServedColumn, ServedModel
from tests.api.shelf import HTTP, Site, serving

pytestmark = pytest.mark.usefixtures("servers")
PAGE = (Path(__file__).parents[2] / "docs/reading.md").read_text()
EXAMPLES = re.findall(r"^GET (\S.*)\n(\d{3}) (.*)$", PAGE, re.MULTILINE)
DAYS = {
    "store_id": "integer", "day": "date", "lines": "bigint", "revenue": "numeric(12,2)", "best": "text", "last_at": "timestamptz",
}  # fmt: skip
ROWS = [
    (330, "2026-01-01", 12, "100.00", "PRODUCE", "2026-01-01T20:00Z"),
    (330, "2026-01-02", 9, "80.00", "MEAT", "2026-01-02T18:00Z"),
    (330, "2026-01-03", 0, "0.00", None, None),
    (343, "2026-01-01", 7, "99.90", "Produce, organic", "2026-01-01T19:00Z"),
    (343, "2026-01-02", 0, "0.00", "", None),
    (367, "2026-01-01", 11, "120.50", r'say "50%" \o/', "2026-01-01T20:15:00Z"),
]


@pytest.fixture(scope="module")
def site(module_database: str) -> Iterator[Site]:
    with serving(module_database) as found:
        found.db.execute("CREATE SCHEMA IF NOT EXISTS retail")
        found.db.execute(f"CREATE TABLE retail.store_daily ({', '.join(f'{n} {t}' for n, t in DAYS.items())})")
        for row in ROWS:
            found.db.execute("INSERT INTO retail.store_daily VALUES (%s, %s, %s, %s, %s, %s)", row)
        columns = tuple(ServedColumn(n, t, nullable=n in {"best", "last_at"}, doc="") for n, t in DAYS.items())
        key = ("store_id", "day")
        model = ServedModel("retail", "store_daily", "", columns, key, ("retail.basket",))
        found.models["retail", "store_daily"] = model
        yield found


def ask(site: Site, query: str, method: str = "GET", **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return HTTP.request(method, f"{site.url}/v1/retail/store_daily?{query}", headers=sent)


def days(answer: httpx.Response) -> list[str]:
    assert answer.status_code in {200, 206}, answer.text
    return [f"{row['store_id']}/{row['day'][-1]}" for row in answer.json()]


@pytest.mark.parametrize(("path", "status", "body"), EXAMPLES)
def test_the_page_for_analysts_is_true(site: Site, path: str, status: str, body: str) -> None:
    found = HTTP.get(site.url + path)
    assert (found.status_code, found.json()) == (int(status), json.loads(body))


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("lines=gt.7&lines=lte.11", "330/2 367/1"),
        ("lines=neq.0&store_id=lt.343", "330/1 330/2"),
        ("best=eq.", "343/2"),
        ("best=is.null", "330/3"),
        ("best=not.is.null&store_id=eq.343", "343/1 343/2"),
        ("best=isdistinct.MEAT&store_id=eq.330", "330/1 330/3"),
        ("best=like.*, org*", "343/1"),
        ("best=like(any).{PR*,M*}", "330/1 330/2"),
        ("best=ilike(all).{*prod*,*org*}", "343/1"),
        (r"best=like.*\%25*", "367/1"),
        ("best=match.^P[a-z]", "343/1"),
        ("best=imatch.^p[a-z]", "330/1 343/1"),
        ("best=not.imatch.[a-z]", "343/2"),
        ("best=fts.organic", "343/1"),
        ("best=plfts(simple).organic produce", "343/1"),
        ("best=phfts.organic produce", ""),
        ("best=wfts.meat or organic", "330/2 343/1"),
        ("store_id=in.()", ""),
        ("store_id=not.in.()&day=eq.2026-01-01", "330/1 343/1 367/1"),
        ("store_id=eq(any).{343,367}&day=eq.2026-01-01", "343/1 367/1"),
        ("revenue=gte(all).{80,99.9}", "330/1 343/1 367/1"),
        ("revenue=eq.1e2", "330/1"),
        ("day=gte.2026-01-03", "330/3"),
        ("last_at=gte.2026-01-02", "330/2"),
        ("last_at=eq.2026-01-01T21:00:00+01:00", "330/1"),
        ("last_at=eq.2026-01-01 19:00:00%2B00", "343/1"),
        (r'or=(best.eq."say \"50%25\" \\o/",best.eq.)', "343/2 367/1"),
        ("and=(store_id.not.eq.330,or(lines.is.null,lines.lt.8))", "343/1 343/2"),
        ("not.or=(store_id.eq.330,lines.gt.7)", "343/1 343/2"),
        ('"best"=eq.MEAT', "330/2"),
        ("order=best.nullsfirst,lines&limit=3", "330/3 343/2 330/2"),
        ("order=lines.desc&offset=1&limit=2", "367/1 330/2"),
        ("limit=0", ""),
        ("offset=6", ""),
    ],
)
def test_rows_are_those_that_the_query_asks_for(site: Site, query: str, wanted: str) -> None:
    assert " ".join(days(ask(site, query))) == wanted


def test_pages_by_link_are_the_whole_whatever_the_order_and_the_groups(site: Site) -> None:
    for query in (
        "order=best.desc.nullslast,lines", "order=last_at.nullsfirst", "select=day,n:count(),revenue.sum()&order=n.desc",
        "select=best,count()&order=best.desc", "select=on:last_at::date,lines.max()", "best=not.is.null&select=revenue",
    ):  # fmt: skip
        whole = ask(site, query).json()
        for limit in ("1", "2", "4"):
            assert site.all_pages(f"{site.url}/v1/retail/store_daily?{query}&limit={limit}") == whole, (query, limit)
    by_range = ask(site, "", Range="1-2")
    assert (days(by_range), by_range.headers["content-range"]) == (["330/2", "330/3"], "1-2/*")
    following = HTTP.get(site.following(by_range))
    assert (days(following), following.headers["content-range"]) == (["343/1", "343/2"], "3-4/*")
    assert "offset" not in site.following(ask(site, "offset=2&limit=1"))


@pytest.mark.parametrize(
    ("query", "headers", "status", "content_range"),
    [
        ("limit=2", {}, 200, "0-1/*"),
        ("limit=2", {"Prefer": "count=exact"}, 206, "0-1/6"),
        ("", {"Prefer": "count=exact"}, 200, "0-5/6"),
        ("limit=0", {"Prefer": "count=exact"}, 206, "*/6"),
        ("store_id=eq.330&offset=1", {"Prefer": "count=exact"}, 206, "1-2/3"),
        ("offset=7", {"Prefer": "count=exact"}, 416, "*/6"),
        ("offset=7", {}, 200, "*/*"),
        ("select=store_id,count()&limit=1", {"Prefer": "count=exact"}, 206, "0-0/3"),
        ("limit=1", {"Prefer": "count=estimated"}, 206, "0-0/6"),
        ("", {"Range": "4-9", "Prefer": "count=exact"}, 206, "4-5/6"),
        ("", {"Range": "9-4"}, 416, None),
        ("limit=-1", {}, 416, None),
    ],
)
def test_ranges_and_totals(
    site: Site, query: str, headers: dict[str, str], status: int, content_range: str | None
) -> None:
    found = ask(site, query, **headers)
    assert (found.status_code, found.headers.get("content-range")) == (status, content_range)
    if "count" in headers.get("Prefer", "") and status != 416:
        assert found.headers["preference-applied"] == headers["Prefer"]
    if "Range" not in headers:
        head = ask(site, query, "HEAD", **headers)
        assert (head.status_code, head.headers.get("content-range"), head.content) == (status, content_range, b"")


def test_a_planned_total_is_the_planners(site: Site) -> None:
    found = ask(site, "store_id=eq.330&limit=1", Prefer="count=planned")
    assert re.fullmatch(r"0-0/[0-9]+", found.headers["content-range"])


def test_one_row_is_an_object_and_anything_else_is_406(site: Site) -> None:
    wanted = "application/vnd.pgrst.object+json"
    one = ask(site, "store_id=eq.367&select=lines", Accept=wanted)
    assert (one.json(), one.headers["content-type"]) == ({"lines": 11}, f"{wanted}; charset=utf-8")
    assert ask(site, "order=lines.desc&limit=1&select=lines", Accept=wanted).json() == {"lines": 12}
    for query, said in (("store_id=eq.1", "no rows"), ("store_id=eq.330", "more than one row")):
        none = ask(site, query, Accept=wanted)
        assert (none.status_code, none.json()["code"]) == (406, "not-one-row")
        assert none.headers["content-type"] == "application/json"
        assert said in none.json()["message"]
        assert none.json().keys() >= {"message", "details", "hint", "code"}
    stripped = ask(site, "store_id=eq.330&day=eq.2026-01-03", Accept=f"{wanted};nulls=stripped")
    assert "best" not in stripped.json()


def test_media_types(site: Site) -> None:
    text = ask(site, "store_id=neq.330&select=store:store_id,best,last_at,ok:best::text&order=day", Accept="text/csv")
    assert text.headers["content-type"] == "text/csv; charset=utf-8"
    assert text.text == (
        "store,best,last_at,ok\n"
        '343,"Produce, organic",2026-01-01 19:00:00+00,"Produce, organic"\n'
        '367,"say ""50%"" \\o/",2026-01-01 20:15:00+00,"say ""50%"" \\o/"\n'
        '343,"",,""\n'
    )
    assert ask(site, "store_id=eq.0&select=store_id,day", Accept="text/csv").text == "store_id,day\n"
    stripped = ask(site, "best=is.null", Accept="application/vnd.pgrst.array+json;nulls=stripped")
    assert stripped.json() == [{"store_id": 330, "day": "2026-01-03", "lines": 0, "revenue": "0.00"}]
    refused = ask(site, "", Accept="image/png")
    assert (refused.status_code, refused.json()["code"]) == (406, "not-acceptable")
    row = HTTP.get(f"{site.url}/v1/retail/store_daily/330,2026-01-01", headers={"Accept": "text/csv"})
    assert (row.status_code, row.json()["code"]) == (406, "not-acceptable")


def test_times_are_read_and_shown_in_the_preferred_zone(site: Site) -> None:
    found = ask(site, "last_at=gte.2026-01-01T21:00&select=last_at&order=last_at", Prefer="timezone=Europe/Berlin")
    assert found.status_code == 200, found.text
    assert [row["last_at"] for row in found.json()] == [
        "2026-01-01T21:00:00+01:00",
        "2026-01-01T21:15:00+01:00",
        "2026-01-02T19:00:00+01:00",
    ]
    assert found.headers["preference-applied"] == "timezone=Europe/Berlin"
    assert ask(site, "select=last_at&limit=1").json() == [{"last_at": "2026-01-01T20:00:00+00:00"}], (
        "of that answer alone"
    )
    for zone in ("Moon/Crater", "'; DROP"):
        refused = ask(site, "", Prefer=f"timezone={zone}")
        assert (refused.status_code, refused.json()["code"]) == (400, "preference-invalid")


def test_a_header_that_is_there_twice_is_one_list(site: Site) -> None:
    sent = [
        ("Prefer", "timezone=Asia/Tokyo"),
        ("Prefer", "count=exact"),
        ("Accept", "image/png"),
        ("Accept", "text/csv"),
    ]
    found = httpx.get(f"{site.url}/v1/retail/store_daily?select=last_at&limit=1", headers=sent)
    assert found.headers["preference-applied"] == "count=exact, timezone=Asia/Tokyo"
    assert found.text == 'last_at\n"2026-01-02 05:00:00+09"\n'


def test_an_answer_of_today_has_no_etag(site: Site) -> None:
    assert "etag" in ask(site, "last_at=lt.2026-01-02").headers
    moving = ask(site, "last_at=lt.yesterday", If_None_Match="*")
    assert (moving.status_code, moving.headers.get("etag")) == (200, None)


def test_a_row_whose_key_is_of_today_has_no_etag(site: Site) -> None:
    """Tomorrow it is another row: a tag of today would answer 304 for it."""
    known = HTTP.get(f"{site.url}/v1/retail/store_daily/330,2026-01-01", headers={"If-None-Match": "*"})
    assert known.status_code == 304
    moving = HTTP.get(f"{site.url}/v1/retail/store_daily/330,today", headers={"If-None-Match": "*"})
    assert (moving.status_code, moving.headers.get("etag")) == (404, None)


def test_options_and_head_of_rows(site: Site) -> None:
    told = ask(site, "", "OPTIONS")
    assert (told.status_code, told.content, told.headers["allow"]) == (200, b"", "OPTIONS,GET,HEAD")
    head = HTTP.head(f"{site.url}/v1/retail/store_daily/330,2026-01-01")
    assert (head.status_code, head.content) == (200, b"")
    assert HTTP.head(f"{site.url}/v1/retail/store_daily/1,2026-01-01").status_code == 404
    assert ask(site, "nope=eq.1", "HEAD").status_code == 400
    located = ask(site, "store_id=eq.1&best=eq.x")
    assert located.headers["content-location"] == "/v1/retail/store_daily?best=eq.x&store_id=eq.1"


@pytest.mark.parametrize(
    ("query", "status", "code", "said"),
    [
        ("best=match.(", 400, "filter-invalid", "best: Postgres cannot read the pattern '('"),
        ("best=fts.a b", 400, "filter-invalid", "best: Postgres cannot read the pattern 'a b'"),
        ("best=fts(klingon).a", 400, "filter-invalid", "no language 'klingon'"),
        ("best=like.a\\", 400, "filter-invalid", "Postgres cannot read the pattern"),
        ("store_id=eq(any).1,2", 400, "filter-invalid", "'1,2' is no integer (store_id)"),
        ("store_id=in.( ,3)", 400, "filter-invalid", "is no integer"),
        ("day=eq.soon", 400, "filter-invalid", "'soon' is no date (day)"),
        ("last_at=lt.noonish", 400, "filter-invalid", "'noonish' is no timestamptz (last_at)"),
        ("select=best::integer", 400, "select-invalid", "invalid input syntax for type integer"),
        ("best=match." + "(a{1,99}){1,99}" * 20, 400, "filter-invalid", "cannot read the pattern"),
    ],
)
def test_what_postgres_refuses_names_the_value_and_its_column(
    site: Site, query: str, status: int, code: str, said: str
) -> None:
    found = ask(site, query)
    assert (found.status_code, found.json()["code"]) == (status, code)
    assert said in found.json()["message"]
    assert days(ask(site, "limit=1")) == ["330/1"]


def test_every_hostile_text_in_a_filter_is_only_a_text(site: Site) -> None:
    texts = ["'", "''--", "$$", "$1", "%s", "%%", ";", "\\", '"', "{}", "/*", "x'); DROP TABLE retail.store_daily --"]
    for text in texts:
        for query in (
            {"best": f"eq.{text}"},
            {"best": f"in.({json.dumps(text)})"},
            {"or": f"(best.neq.{json.dumps(text)})"},
        ):
            found = HTTP.get(f"{site.url}/v1/retail/store_daily", params=query)
            assert (found.status_code, len(found.json())) == (200, 5 if "or" in query else 0), (query, found.text)
        shown = HTTP.get(
            f"{site.url}/v1/retail/store_daily", params={"select": f"{json.dumps(text)}:lines", "limit": "1"}
        )
        assert shown.json() == [{text: 12}], text
