"""PostgREST's language through a real server and a real Postgres: the page for analysts as it stands, and every kind of request."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from refold.projections.tables.serving import ServedColumn, ServedLink, ServedModel
from tests.api.shelf import HTTP, Site, serving

pytestmark = pytest.mark.usefixtures("servers")
PAGE = (Path(__file__).parents[2] / "docs/reading.md").read_text()
EXAMPLES = re.findall(r"^GET (\S.*)\n(\d{3}) (.*)$", PAGE, re.MULTILINE)
DAYS = {
    "store_id": "integer", "day": "date", "lines": "bigint", "revenue": "numeric(12,2)", "best": "text", "last_at": "timestamptz",
}  # fmt: skip
STORES = {"store_id": "integer", "town": "text", "region_id": "integer", "rent": "numeric(8,2)"}
STORE_ROWS = [(330, "Ghent", 1, "12.50"), (343, "Lille", 2, None), (400, "Paris", None, "3.00")]
REGIONS = {"region_id": "integer", "name": "text"}
REGION_ROWS = [(1, "Flanders"), (2, "North"), (2, "North again"), (3, "Nowhere")]
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
        key = ("store_id", "day")
        served(found, "store_daily", DAYS, key, link("store", "stores", "store_id", "store_id"))
        linked_tables(found)
        yield found


def linked_tables(site: Site) -> None:
    """Stores, of which one has no days and one of the days' is missing; regions are a view in which two rows have one key."""
    for name, columns, rows in (("stores", STORES, STORE_ROWS), ("regions", REGIONS, REGION_ROWS)):
        site.db.execute(f"CREATE TABLE retail.{name} ({', '.join(f'{n} {t}' for n, t in columns.items())})")
        for row in rows:
            site.db.execute(f"INSERT INTO retail.{name} VALUES ({', '.join(['%s'] * len(row))})", row)
    region = link("region", "regions", "region_id", "region_id")
    days = link("days", "store_daily", "store_id", "store_id", many=True)
    served(site, "stores", STORES, ("store_id",), days, region)
    back = link("stores", "stores", "region_id", "region_id", many=True)
    served(site, "regions", REGIONS, ("region_id",), back, reads=("stores",), categories=("retail.household",))


def link(name: str, to: str, own: str, theirs: str, *, many: bool = False) -> ServedLink:
    return ServedLink(name, to, ((own, theirs),), many, "", name)


def served(
    site: Site,
    name: str,
    columns: dict[str, str],
    key: tuple[str, ...],
    *links: ServedLink,
    reads: tuple[str, ...] = (),
    categories: tuple[str, ...] = ("retail.basket",),
) -> None:
    shown = tuple(ServedColumn(n, t, nullable=n not in key, doc="") for n, t in columns.items())
    site.models["retail", name] = ServedModel("retail", name, "", shown, key, categories, reads, links=links)


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


def look(site: Site, path: str, status: int = 200, **headers: str) -> httpx.Response:
    found = HTTP.get(f"{site.url}/v1/retail/{path}", headers={name.replace("_", "-"): v for name, v in headers.items()})
    assert found.status_code == status, found.text
    return found


FIRST = "store_id=eq.330&order=day&limit=1"
GHENT = {"store_id": 330, "town": "Ghent", "region_id": 1, "rent": "12.50"}
EMBEDDED: list[tuple[str, Any]] = [
    # to one: an object, or null
    (f"store_daily?select=day,store(*)&{FIRST}", [{"day": "2026-01-01", "store": GHENT}]),
    ("store_daily?select=lines,s:stores(town)&store_id=eq.367", [{"lines": 11, "s": None}]),
    (f"store_daily?select=store(t:town,rent::float8,region(name))&{FIRST}",
     [{"store": {"t": "Ghent", "rent": 12.5, "region": {"name": "Flanders"}}}]),
    ("stores?select=region(name)&order=store_id", [{"region": {"name": "Flanders"}}, {"region": {"name": "North"}}, {"region": None}]),
    # to many: an array, which may be empty
    ("stores?select=town,days(day)&order=town", [
        {"town": "Ghent", "days": [{"day": f"2026-01-0{n}"} for n in (1, 2, 3)]},
        {"town": "Lille", "days": [{"day": "2026-01-01"}, {"day": "2026-01-02"}]}, {"town": "Paris", "days": []}]),
    ("regions?select=name,stores(town,days(lines))&region_id=lt.3&stores.days.lines=gt.8", [
        {"name": "Flanders", "stores": [{"town": "Ghent", "days": [{"lines": 12}, {"lines": 9}]}]},
        {"name": "North", "stores": [{"town": "Lille", "days": []}]}, {"name": "North again", "stores": [{"town": "Lille", "days": []}]}]),
    ("stores?select=days(day,store(town))&store_id=eq.343&days.limit=1", [{"days": [{"day": "2026-01-01", "store": {"town": "Lille"}}]}]),
    # filters, order and bounds of what is embedded leave the rows around it alone
    ("stores?select=town,days(lines)&days.lines=gt.8&order=store_id",
     [{"town": "Ghent", "days": [{"lines": 12}, {"lines": 9}]}, {"town": "Lille", "days": []}, {"town": "Paris", "days": []}]),
    ("stores?select=days(lines)&store_id=eq.330&days.order=lines.asc", [{"days": [{"lines": 0}, {"lines": 9}, {"lines": 12}]}]),
    ("stores?select=days(lines)&store_id=eq.330&days.order=day.desc&days.limit=1&days.offset=1", [{"days": [{"lines": 9}]}]),
    ("stores?select=days(lines)&store_id=eq.330&days.limit=0", [{"days": []}]),
    ("stores?select=days(lines)&store_id=eq.330&days.or=(lines.eq.9,best.is.null)", [{"days": [{"lines": 9}, {"lines": 0}]}]),
    ("store_daily?select=lines,store(town)&store.town=eq.Lille&day=eq.2026-01-01&order=store_id",
     [{"lines": 12, "store": None}, {"lines": 7, "store": {"town": "Lille"}}, {"lines": 11, "store": None}]),
    ("store_daily?select=store(town)&store.limit=0&limit=1", [{"store": None}]),
    # !inner filters the rows around it, also from within
    ("store_daily?select=lines,store!inner(town)&store.town=eq.Lille&order=day",
     [{"lines": 7, "store": {"town": "Lille"}}, {"lines": 0, "store": {"town": "Lille"}}]),
    ("stores?select=town,days!inner(lines)&days.lines=gt.9", [{"town": "Ghent", "days": [{"lines": 12}]}]),
    ("store_daily?select=lines,store!inner(region!inner(name))&store.region.name=eq.Flanders&lines=gt.9",
     [{"lines": 12, "store": {"region": {"name": "Flanders"}}}]),
    ("store_daily?select=lines,store!left(town)&store_id=eq.367", [{"lines": 11, "store": None}]),
    # is.null and not.is.null, with resources that are not shown
    ("store_daily?select=store_id,store()&store=is.null", [{"store_id": 367}]),
    ("stores?select=town,days()&days=not.is.null&order=town", [{"town": "Ghent"}, {"town": "Lille"}]),
    ("stores?select=town,days()&days=is.not_null&days.lines=gt.9", [{"town": "Ghent"}]),
    ("stores?select=town,d:days(),region()&d.lines=eq.7&or=(d.not.is.null,region.is.null)&order=town", [{"town": "Lille"}, {"town": "Paris"}]),
    ("stores?select=town,days()&not.or=(days.is.null,town.eq.Ghent)", [{"town": "Lille"}]),
    ("store_daily?select=lines,store(region())&store.region=is.null&store=not.is.null", []),
    # order by a linked row
    ("store_daily?select=store_id,store(town)&day=eq.2026-01-01&order=store(town).desc",
     [{"store_id": 367, "store": None}, {"store_id": 343, "store": {"town": "Lille"}}, {"store_id": 330, "store": {"town": "Ghent"}}]),
    ("store_daily?select=store_id,store()&day=eq.2026-01-01&order=store(rent).nullsfirst,store_id.desc",
     [{"store_id": 367}, {"store_id": 343}, {"store_id": 330}]),
    ("stores?select=days(lines)&store_id=eq.330&days.order=lines.desc&days.limit=2", [{"days": [{"lines": 12}, {"lines": 9}]}]),
    ("stores?select=town,region()&region.name=eq.North&order=region(name),town.desc", [{"town": "Lille"}, {"town": "Paris"}, {"town": "Ghent"}]),
    # spread
    (f"store_daily?select=day,...store(town,rent)&{FIRST}", [{"day": "2026-01-01", "town": "Ghent", "rent": "12.50"}]),
    ("store_daily?select=...store(town)&store_id=eq.367", [{"town": None}]),
    (f"store_daily?select=...store(town,...region(region:name))&{FIRST}", [{"town": "Ghent", "region": "Flanders"}]),
    (f"store_daily?select=...store(town,region(name))&{FIRST}", [{"town": "Ghent", "region": {"name": "Flanders"}}]),
    ("store_daily?select=lines,...store!inner(town)&store.town=eq.Ghent&lines=eq.9", [{"lines": 9, "town": "Ghent"}]),
    ("regions?select=name,stores(town,...region(in:name))&region_id=eq.1",
     [{"name": "Flanders", "stores": [{"town": "Ghent", "in": "Flanders"}]}]),
    ("stores?select=town,days(lines,...store(at:town))&store_id=eq.343",
     [{"town": "Lille", "days": [{"lines": 7, "at": "Lille"}, {"lines": 0, "at": "Lille"}]}]),
    # aggregates within, of and beside what is embedded
    ("stores?select=town,days(count())&order=town", [
        {"town": "Ghent", "days": [{"count": 3}]}, {"town": "Lille", "days": [{"count": 2}]}, {"town": "Paris", "days": [{"count": 0}]}]),
    ("stores?select=town,days(count)&town=eq.Ghent", [{"town": "Ghent", "days": [{"count": 3}]}]),
    ("stores?select=town,days(sold:lines.sum(),best)&town=eq.Lille&days.order=sold",
     [{"town": "Lille", "days": [{"sold": "0", "best": ""}, {"sold": "7", "best": "Produce, organic"}]}]),
    ("stores?select=days(revenue.sum(),revenue.max()::float8)&town=neq.Ghent&order=town",
     [{"days": [{"sum": "99.90", "max": 99.9}]}, {"days": [{"sum": None, "max": None}]}]),
    ("store_daily?select=lines.sum(),store(town)&order=sum.desc",
     [{"sum": "21", "store": {"town": "Ghent"}}, {"sum": "11", "store": None}, {"sum": "7", "store": {"town": "Lille"}}]),
    ("store_daily?select=lines.sum(),...store(town)&order=town.nullsfirst",
     [{"sum": "11", "town": None}, {"sum": "21", "town": "Ghent"}, {"sum": "7", "town": "Lille"}]),
    ("store_daily?select=day,...store(rent.max(),n:count())&order=day", [
        {"day": "2026-01-01", "max": "12.50", "n": 2}, {"day": "2026-01-02", "max": "12.50", "n": 2}, {"day": "2026-01-03", "max": "12.50", "n": 1}]),
    ("store_daily?select=lines.max(),store(region(name))&lines=gt.7&store=not.is.null", [{"max": 12, "store": {"region": {"name": "Flanders"}}}]),
    ("stores?select=town,days(lines.sum(),store(town))&town=eq.Ghent", [{"town": "Ghent", "days": [{"sum": "21", "store": {"town": "Ghent"}}]}]),
    ("store_daily?select=n:count(),store!inner(town)&store.town=eq.Ghent", [{"n": 3, "store": {"town": "Ghent"}}]),
]  # fmt: skip


@pytest.mark.parametrize(("path", "wanted"), EMBEDDED)
def test_linked_rows_are_embedded(site: Site, path: str, wanted: list[Any]) -> None:
    found = look(site, path)
    assert found.json() == wanted
    assert look(site, f"{path}&format=json").json() == wanted, "a download has the same rows"


def test_embedding_in_pages_totals_heads_files_and_single_rows(site: Site) -> None:
    asked = "store_daily?select=lines,store!inner(town)&store.town=eq.Ghent"
    counted = look(site, f"{asked}&limit=1", 206, Prefer="count=exact")
    assert (counted.json(), counted.headers["content-range"]) == ([{"lines": 12, "store": {"town": "Ghent"}}], "0-0/3")
    head = HTTP.head(f"{site.url}/v1/retail/{asked}", headers={"Prefer": "count=exact"})
    assert (head.status_code, head.headers["content-range"], head.content) == (200, "0-2/3", b"")
    planned = HTTP.get(f"{site.url}/v1/retail/{asked}", headers={"Prefer": "count=planned"})
    assert re.fullmatch("0-2/[0-9]+", planned.headers["content-range"])
    one = "application/vnd.pgrst.object+json"
    assert look(site, "stores?select=days(lines)&store_id=eq.343", Accept=one).json() == {
        "days": [{"lines": 7}, {"lines": 0}]
    }
    stripped = look(
        site, "store_daily?select=best,store(rent,town)&store_id=eq.343&best=not.eq.", Accept=f"{one};nulls=stripped"
    )
    assert stripped.json() == {"best": "Produce, organic", "store": {"town": "Lille"}}
    lines = 'town,days\nLille,"[{""lines"":7}, {""lines"":0}]"\nParis,[]\n'
    for headers in ({"Accept": "text/csv"}, {"Accept": "text/csv", "Range": "0-9"}):
        page = HTTP.get(
            f"{site.url}/v1/retail/stores?select=town,days(lines)&town=neq.Ghent&order=town", headers=headers
        )
        assert page.text == lines
    assert look(site, f"{asked}&limit=1&format=ndjson").text == '{"lines":12,"store":{"town":"Ghent"}}\n'
    spread = look(site, "store_daily?select=lines,...store(town)&order=lines.desc&limit=2&format=csv")
    assert spread.text == "lines,town\n12,Ghent\n11,\n"
    for name in ("arrow", "parquet", "xlsx"):
        refused = look(site, f"stores?select=town,days(lines)&format={name}", 422)
        assert (refused.json()["code"], "embedded rows of 'days'" in refused.json()["detail"]) == (
            "format-cannot-hold",
            True,
        )
        assert look(site, f"store_daily?select=lines,...store(town)&format={name}").content


def test_a_file_has_no_two_columns_of_one_name_where_readers_find_them_by_name(site: Site) -> None:
    for query in (
        "store_daily?select=lines.sum(),revenue.sum()",
        "store_daily?select=*,day",
        "store_daily?select=store_id,...store(*)",
    ):
        for name in ("arrow", "parquet"):
            refused = look(site, f"{query}&format={name}", 422).json()
            assert (refused["code"], "two columns are named" in refused["detail"]) == ("format-cannot-hold", True)
        assert look(site, f"{query}&format=csv").text
        assert look(site, f"{query}&format=xlsx").content
    assert look(site, "store_daily?select=lines.sum(),total:revenue.sum()&format=parquet").content


def test_pages_of_rows_with_linked_rows_are_the_whole(site: Site) -> None:
    for query in (
        "store_daily?select=day,store(town)&order=store(town).desc.nullslast", "store_daily?select=*,store()&store=not.is.null",
        "store_daily?select=day,...store!inner(town)&order=store(rent)", "stores?select=*,days(lines)&days.limit=1",
        "store_daily?select=n:count(),store(town)&order=n.desc", "store_daily?select=lines.sum(),...store(town)",
    ):  # fmt: skip
        whole = look(site, query).json()
        assert len(whole) > 1
        for limit in ("1", "2"):
            assert site.all_pages(f"{site.url}/v1/retail/{query}&limit={limit}") == whole, (query, limit)
    first = look(site, "store_daily?select=*,store!inner(*)&limit=1").headers["refold-cursor"]
    refused = look(site, f"store_daily?select=*,store(*)&limit=1&cursor={first}", 400)
    assert refused.json()["code"] == "cursor-invalid"


def test_a_row_of_more_linked_rows_than_a_page_is_refused_unless_they_are_bounded(site: Site) -> None:
    path = site.make("parts", {"nr": "integer", "whole": "integer"}, ["nr"], [], view=False)
    site.make("wholes", {"whole": "integer"}, ["whole"], [[1], [2]], view=False)
    site.db.execute("INSERT INTO shelf.parts SELECT n, 1 FROM generate_series(1, 1001) n UNION ALL SELECT 2000, 2")
    link_ = ServedLink("parts", "parts", (("whole", "whole"),), True, "", "whole")
    site.models["shelf", "wholes"] = replace(site.models["shelf", "wholes"], links=(link_,))
    wholes = path.replace("/parts", "/wholes")
    for more in ("", "&parts.limit=1001", "&format=json", "&whole=eq.1&parts.limit=5000"):
        refused = HTTP.get(f"{wholes}?select=*,parts(nr){more}")
        assert (refused.status_code, refused.json()["code"]) == (400, "query-too-large"), more
        assert "parts: a row has more than 1000 rows of it" in refused.json()["detail"]
    bounded = HTTP.get(f"{wholes}?select=*,parts(nr)&parts.limit=1000&parts.order=nr.desc").json()
    assert [(len(row["parts"]), row["parts"][0]["nr"]) for row in bounded] == [(1000, 1001), (1, 2000)]
    assert len(HTTP.get(f"{wholes}?select=*,parts(nr)&parts.nr=gt.1").json()[0]["parts"]) == 1000
    assert HTTP.get(f"{wholes}?select=*,parts!inner()").json() == [{"whole": 1}, {"whole": 2}], "none of them is shown"
    assert HTTP.get(f"{wholes}?select=parts(count())&whole=eq.1").json() == [{"parts": [{"count": 1001}]}]


def test_an_embedded_resource_hides_the_column_of_its_name_behind_a_star(site: Site) -> None:
    assert look(site, "store_daily?select=*,best:store(town)&store_id=eq.367").json()[0]["best"] is None
    assert list(look(site, "stores?select=*,town:days(day)&store_id=eq.400").json()[0].items())[-1] == ("town", [])
    assert len(look(site, "store_daily?select=*,best:store(town)&best=eq.MEAT").json()) == 1, (
        "a filter means the column"
    )
    assert len(look(site, "store_daily?select=*,best:store(town)&best=is.null").json()) == 1, "or whether it is there"


def test_an_answer_of_several_models_is_as_fresh_as_all_of_them(site: Site) -> None:
    """The day's and the store's rows come from one category, those of the region from another one, which is behind."""
    put = "INSERT INTO refold.positions (grp, topic, part, next_offset, last_at) VALUES (%s, %s, 0, %s, now()) ON CONFLICT (grp, topic, part) DO UPDATE SET next_offset = excluded.next_offset"
    for topic, core, models in (("retail.basket.events", 9, 9), ("retail.household.events", 7, 4)):
        site.db.execute(put, ("core", topic, core))
        site.db.execute(put, ("models", topic, models))
    near, far = "stores?select=town,days(day)", "stores?select=town,region(name)"
    told, of_both = look(site, near).headers, look(site, far).headers
    assert (told["refold-position"], told["refold-lag"]) == ("retail.basket.events/0:9", "0")
    assert of_both["refold-position"] == "retail.basket.events/0:9,retail.household.events/0:4"
    assert of_both["refold-lag"] == "3"
    assert look(site, f"{far}&format=csv").headers["refold-position"] == of_both["refold-position"]
    for query in (far, f"{far}&format=csv"):
        wait = {"Refold_Min_Position": "retail.household.events/0:5", "Prefer": "wait=0"}
        assert look(site, query, 412, **wait).json()["code"] == "position-not-reached"
    assert look(site, near, Refold_Min_Position="retail.household.events/0:5", Prefer="wait=0")
    known = {query: look(site, query).headers["etag"] for query in (near, far, f"{far}&format=csv")}
    assert [look(site, query, 304, If_None_Match=tag).content for query, tag in known.items()] == [b"", b"", b""]
    site.db.execute(put, ("models", "retail.household.events", 5))
    look(site, near, 304, If_None_Match=known[near])
    assert look(site, far, If_None_Match=known[far]).headers["refold-lag"] == "2"
    look(site, f"{far}&format=csv", If_None_Match=known[f"{far}&format=csv"])
    look(site, near, Refold_Max_Age="0")
    site.db.execute("UPDATE refold.positions SET last_at = now() - interval '1 hour' WHERE grp = 'models'")
    assert look(site, far, 412, Refold_Max_Age="5", Prefer="wait=0").json()["code"] == "too-old"


def test_a_fault_of_an_embedded_view_names_it(site: Site) -> None:
    site.db.execute("ALTER TABLE retail.regions RENAME TO regions_away")
    try:
        assert look(site, "stores?select=town,region(name)", 503).json()["code"] == "not-prepared"
        assert look(site, "stores?select=town").json()
    finally:
        site.db.execute("ALTER TABLE retail.regions_away RENAME TO regions")
    assert look(site, "stores?select=town,region(name)&limit=1").json() == [
        {"town": "Ghent", "region": {"name": "Flanders"}}
    ]


def test_hostile_texts_in_what_is_embedded_are_only_texts(site: Site) -> None:
    for text in ("'", "$$", "%s", "%%", '"', "\\", "{}", "x'); DROP TABLE retail.stores --", "_TooMany0/5"):
        quoted = json.dumps(text)
        for query in (
            {"select": "days(*),town", "days.best": f"eq.{text}"},
            {"select": f"{quoted}:days(*),town", f"{quoted}.or": f"(best.eq.{quoted})"},
            {"select": f"town,days!inner({quoted}:lines)", "days.best": f"neq.{text}", "days.lines": "eq.7"},
            {"select": f"town,days(...store({quoted}:town))", "store_id": "eq.343", "days.limit": "1"},
        ):
            found = HTTP.get(f"{site.url}/v1/retail/stores", params=query)
            assert found.status_code == 200, (query, found.text)
            assert found.json()[0]["town"] in {"Ghent", "Lille"}
    refused = look(site, "stores?select=town,days(*)&days.day=eq.soon", 400)
    assert (refused.json()["code"], "'soon' is no date (day)" in refused.json()["detail"]) == ("filter-invalid", True)


def test_a_page_of_large_embedded_rows_ends_early_and_goes_on(site: Site) -> None:
    site.make("texts", {"nr": "integer", "body": "text"}, ["nr"], [], view=False)
    site.db.execute("INSERT INTO shelf.texts SELECT n, repeat('x', 1000000) FROM generate_series(1, 20) n")
    path = site.make("pages", {"nr": "integer"}, ["nr"], [[n] for n in range(1, 21)], view=False)
    link_ = ServedLink("text", "texts", (("nr", "nr"),), False, "", "text")
    site.models["shelf", "pages"] = replace(site.models["shelf", "pages"], links=(link_,))
    first = HTTP.get(f"{path}?select=nr,text(body)")
    assert (first.status_code, len(first.json())) == (200, 8)
    assert [row["nr"] for row in site.all_pages(f"{path}?select=nr,text(body)")] == list(range(1, 21))
    assert len(HTTP.get(f"{path}?select=nr,text()").json()) == 20
