"""Rows of every type under every name, through a real server and a real Postgres: read, filtered, ordered and paged."""

import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
import requests

from refold.api.http.reads.language.query_string import RESERVED
from refold.api.http.reads.planning.keyset import ROWS_NAMED
from tests.api.shelf import HTTP, Site, serving

pytestmark = pytest.mark.usefixtures("servers")

VALUES: dict[str, list[str]] = {
    "text": ["", "a,b", '"x"', "null", "/", "é", "\\", "a+b"],
    "character(4)": ["ab", "c"],
    "boolean": ["true", "false"],
    "bigint": ["-9223372036854775808", "9007199254740993"],
    "numeric": ["NaN", "Infinity", "-Infinity", "1.10", "0." + "1" * 60, "1" * 60],
    "numeric(38,2)": ["1.10", "NaN", "-3.00"],
    "real": ["0.1", "NaN", "-Infinity", "1e+30"],
    "double precision": ["0.1", "NaN", "Infinity", "1e+300", "5e-324", "0.30000000000000004"],
    "date": ["infinity", "-infinity", "2024-02-29", "0044-03-15 BC", "12024-01-01"],
    "time": ["24:00:00", "00:00:00.000001"],
    "time with time zone": ["12:00:00+00", "24:00:00-05:30"],
    "timestamp": ["infinity", "2026-12-31T23:59:59.999999"],
    "timestamptz": ["infinity", "-infinity", "2026-12-31T23:59:59.999999+00:00", "0044-03-15T00:00:00+00:00 BC"],
    "interval": ["infinity", "1 mon", "-1 days +02:03:04.000005", "29 days"],
    "uuid": ["6f0d3c9e-5a3b-5d59-9f0e-0a5a6d3c7b11"],
    "bytea": ["\\x", "\\x00ff"],
    "jsonb": ['{"a": 1.10}', "[1.000, 123456789012345678901234567890]", '"x"', "null"],
    "text[]": ['["a", "b,c", "\\"", "NULL", null]', "[]"],
    "numeric(10,2)[]": ['["1.10", "NaN"]'],
    "timestamptz[]": ['["2026-01-01T00:00:00+00:00"]'],
}


@pytest.fixture(scope="module")
def site(module_database: str) -> Iterator[Site]:
    with serving(module_database) as found:
        yield found


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_is_filtered_by_as_it_is_printed_and_paged_over(site: Site, kind: str) -> None:
    name = "of_" + "".join(c for c in kind if c.isalnum()) + str(len(kind))
    rows = [[str(place), value] for place, value in enumerate(VALUES[kind])]
    given = [[n, pg_text(kind, value)] for n, value in rows] + [["98", None], ["99", None]]
    path = site.make(name, {"n": "integer", "page": kind}, ["n"], given)
    shown = {row["n"]: row["page"] for row in HTTP.get(path).json()}
    raw = HTTP.get(path).text
    for n, value in rows:
        if kind == "jsonb":
            assert f'"page":{value}' in raw
            printed = value
        else:
            printed = shown[int(n)] if isinstance(shown[int(n)], str) else json.dumps(shown[int(n)], ensure_ascii=False)
            if kind not in {"character(4)", "bigint", "double precision", "real"}:
                assert printed == value
        for asked in {printed, value}:
            found = HTTP.get(f"{path}?{urlencode({'page': f'eq.{asked}'})}")
            assert found.status_code == 200, found.text
            assert int(n) in [row["n"] for row in found.json()], asked
    for order in ("page", "page.desc", "page.nullsfirst", "page.desc.nullslast"):
        whole = HTTP.get(f"{path}?order={order}").json()
        assert [row["n"] for row in site.all_pages(f"{path}?order={order}&limit=1")] == [row["n"] for row in whole]
        assert (whole[0]["page"] is None) == (order in {"page.desc", "page.nullsfirst"}) or kind == "jsonb"


def pg_text(kind: str, value: str) -> str:
    """An array's JSON as Postgres writes it."""
    if not kind.endswith("[]"):
        return value
    parts = ["NULL" if part is None else json.dumps(part) for part in json.loads(value)]
    return "{" + ",".join(parts) + "}"


KEYS = [
    "/",
    "a/b",
    "a//b",
    "",
    ",",
    '"',
    '"x"',
    "%2F",
    "?q#f",
    "é ü",
    "a+b",
    "null",
    "\\",
    "~",
    "...",
    "/a/",
    "x" * 800,
]
DOTS = [".", ".."]


def test_every_key_is_read_by_every_ordinary_client(site: Site) -> None:
    path = site.make("keys", {"k": "text", "n": "integer"}, ["k"], [[k, n] for n, k in enumerate([*KEYS, *DOTS])])
    clients: list[Callable[[str], Any]] = [
        lambda url: httpx.get(url).json(),
        lambda url: requests.get(url, timeout=60).json(),
        lambda url: json.load(urllib.request.urlopen(url)),
        lambda url: json.loads(subprocess.check_output(["curl", "-sg", url])),
    ]
    for get in clients:
        for n, key in enumerate(KEYS):
            assert get(f"{path}/{quote(key, safe='')}") == {"k": key, "n": n}
            assert get(f"{path}?{urlencode({'k': f'eq.{key}'})}") == [{"k": key, "n": n}]
        for n, key in enumerate(DOTS, len(KEYS)):
            assert get(f"{path}?{urlencode({'k': f'eq.{key}'})}") == [{"k": key, "n": n}]
    assert HTTP.get(f"{path}/a/b").json()["k"] == "a/b", "as a proxy decodes it"


def test_a_key_of_two_columns_is_read_by_every_client(site: Site) -> None:
    path = site.make(
        "pairs", {"a": "text", "b": "text"}, ["a", "b"], [["a,b", "c"], ["a", "b"], ["x/y", ""], ["z", None]]
    )
    for text in ("a,b", "a%2Cb"):
        assert HTTP.get(f"{path}/{text}").json() == {"a": "a", "b": "b"}
    for text in ('"a,b",c', "a%2Cb,c", quote('"a,b",c', safe="")):
        assert HTTP.get(f"{path}/{text}").json() == {"a": "a,b", "b": "c"}
    assert HTTP.get(f"{path}/x%2Fy%2C").json() == {"a": "x/y", "b": ""}
    assert HTTP.get(f"{path}?a=eq.z&b=is.null").json() == [{"a": "z", "b": None}]
    assert [row["a"] for row in HTTP.get(f"{path}?b=is.not_null").json()] == ["a", "a,b", "x/y"]


def test_a_column_of_any_name_is_read_filtered_and_ordered(site: Site) -> None:
    ours = ["page", "t", "m", "n", "p", "b", "c", "reached", "serving", "topic", "part", "next_offset", "build", "grp"]
    names = sorted({*ours, *RESERVED, "domain", "model", "category", "detached_code", "key", "version", "at", "stream"})
    names = [name for name in names if name.replace("_", "").isalpha()]
    path = site.make("page", dict.fromkeys(names, "integer"), [names[0]], [list(range(len(names))), [9] * len(names)])
    for place, name in enumerate(names):
        column = f'"{name}"' if name in RESERVED else name
        (row,) = HTTP.get(f"{path}?{urlencode({column: f'eq.{place}'})}").json() if place != 9 else [None]
        assert row is None or row == {name: n for n, name in enumerate(names)}
        for asked in (f'"{name}"', name):
            first = HTTP.get(path, params={"order": f"{asked}.desc", "limit": 1}).json()[0]
            assert first[name] == max(place, 9)


def test_a_key_that_is_null_or_there_twice_loses_no_row_to_paging(site: Site) -> None:
    rows: list[list[Any]] = [[None, 1], [None, 2], ["a", 3], ["a", 4], ["b", None]]
    path = site.make("nulls", {"k": "text", "v": "integer"}, ["k"], rows)
    for order in ("", "&order=k.desc", "&order=v", "&order=v.desc.nullslast,k"):
        found = site.all_pages(f"{path}?limit=1{order}")
        assert sorted((row["k"] or "", row["v"] or 0) for row in found) == sorted((k or "", v or 0) for k, v in rows)
    top = HTTP.get(f"{path}?order=v.desc.nullslast&limit=1").json()
    assert top == [{"k": "a", "v": 4}]


def test_a_cursor_over_long_texts_is_short_and_right_while_rows_change(site: Site) -> None:
    long = "x" * 50_000
    rows = [[f"{long}{n:03}", n] for n in range(30)]
    path = site.make("long", {"k": "text", "n": "integer"}, ["n"], rows, view=False)
    assert [row["n"] for row in site.all_pages(f"{path}?order=k&limit=7")] == list(range(30))
    assert [row["n"] for row in site.all_pages(f"{path}?order=k.desc&limit=7")] == list(reversed(range(30)))
    page = site.following(HTTP.get(f"{path}?order=k&limit=10"))
    assert len(page) < 1000
    site.db.execute("UPDATE shelf.long SET k = 'moved' WHERE n IN (9, 8, 7, 10)")
    assert [row["n"] for row in HTTP.get(page).json()] == list(range(11, 21))
    assert site.following(HTTP.get(f"{path}?order=k&limit=1&n=eq.20")) == ""
    page = site.following(HTTP.get(f"{path}?order=k&limit=15"))
    site.db.execute("DELETE FROM shelf.long")
    gone = HTTP.get(page)
    assert (gone.status_code, gone.json()["code"]) == (410, "cursor-expired")
    assert ROWS_NAMED > 4


def test_a_value_that_only_postgres_refuses_is_told_and_a_view_that_fails_is_no_fault_of_the_client(site: Site) -> None:
    columns = {"k": "integer", "j": "jsonb", "d": "double precision", "t": "text[]", "i": "interval[]"}
    path = site.make("odd", columns, ["k"], [[1, "{}", 1.0, "{}", "{}"]])
    half = r'["\ud800"]'
    for column, value in [("j", "{"), ("d", "1e400"), ("j", "[" * 10_000), ("t", half), ("i", half), ("j", half)]:
        refused = HTTP.get(f"{path}?{urlencode({column: f'eq.{value}'})}")
        assert (refused.status_code, refused.json()["code"]) == (400, "filter-invalid"), value[:20]
    site.db.execute("CREATE VIEW shelf.broken AS SELECT k, j, d / 0 AS d, t, i FROM shelf.odd")
    site.models["shelf", "broken"] = replace(site.models["shelf", "odd"], name="broken")
    failed = HTTP.get(f"{site.url}/v1/shelf/broken")
    assert (failed.status_code, failed.json()["code"]) == (503, "read-model-failed")
