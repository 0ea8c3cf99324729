"""Downloads over HTTP: the page about them as it stands, formats by name and by media type, and what is refused."""

import csv
import gzip
import io
import json
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import cramjam
import duckdb
import httpx
import polars as pl
import psycopg
import pyarrow as pa
import pytest
from psycopg import sql
from pyarrow import parquet as pq

from refold.api.download_errors import FormatCannotHold
from refold.api.http.downloads import formats
from refold.projections.tables.serving import ServedColumn, ServedModel
from tests.api.downloaded import downloaded
from tests.api.shelf import HTTP, Site, serving
from tests.api.test_reading_language import DAYS, ROWS

pytestmark = pytest.mark.usefixtures("servers", "site")
PAGE = (Path(__file__).parents[2] / "docs/downloads.md").read_text()
EXAMPLES = re.findall(r"^```download\nGET (\S+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PARQUET = "application/vnd.apache.parquet"
VIEW = ("retail", "store_daily")
"""What a download of other rows holds meanwhile."""


@pytest.fixture(scope="module")
def site(module_database: str) -> Iterator[Site]:
    with serving(module_database) as found:
        found.db.execute("CREATE SCHEMA IF NOT EXISTS retail")
        found.db.execute(f"CREATE TABLE retail.store_daily ({', '.join(f'{n} {t}' for n, t in DAYS.items())})")
        for row in ROWS:
            found.db.execute("INSERT INTO retail.store_daily VALUES (%s, %s, %s, %s, %s, %s)", row)
        columns = tuple(ServedColumn(n, t, nullable=n in {"best", "last_at"}, doc="") for n, t in DAYS.items())
        found.models["retail", "store_daily"] = ServedModel(
            "retail", "store_daily", "", columns, ("store_id", "day"), ("retail.basket",)
        )
        yield found


def ask(site: Site, query: str, **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return HTTP.get(f"{site.url}/v1/retail/store_daily?{query}", headers=sent)


@pytest.mark.parametrize(("path", "body"), EXAMPLES)
def test_the_page_about_downloads_is_true(site: Site, path: str, body: str) -> None:
    answer = HTTP.get(site.url + path)
    assert (answer.status_code, answer.text) == (200, body)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_programs_of_the_page_run(site: Site, program: str) -> None:
    exec(program.replace("http://127.0.0.1:8080", site.url), {})  # the page's own text


@pytest.mark.parametrize("name", formats.FORMATS)
def test_each_format_is_there_by_name_with_its_headers(site: Site, name: str) -> None:
    answer = ask(site, f"format={name}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == formats.FORMATS[name].content_type
    assert re.fullmatch(
        rf'attachment; filename="retail\.store_daily-\d{{8}}T\d{{6}}Z\.{name}"', answer.headers["content-disposition"]
    )
    assert {"refold-position", "refold-lag", "vary"} <= set(answer.headers)
    assert HTTP.head(f"{site.url}/v1/retail/store_daily?format={name}").content == b""


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("name", formats.FORMATS)
def test_a_file_is_compressed_on_the_way_unless_it_is_compressed_inside(site: Site, name: str, coding: str) -> None:
    plain = ask(site, f"format={name}", accept_encoding="identity")
    with HTTP.stream("GET", str(plain.request.url), headers={"accept-encoding": coding}) as answer:
        sent = b"".join(answer.iter_raw())
    inside = name in {"parquet", "xlsx"}
    assert answer.headers.get("content-encoding") == (None if inside else coding)
    assert answer.headers["etag"] == plain.headers["etag"]
    assert all("Accept-Encoding" in one.headers["vary"] for one in (plain, answer))
    if not inside:
        assert (gzip.decompress(sent) if coding == "gzip" else bytes(cramjam.zstd.decompress(sent))) == plain.content


def test_a_media_type_asks_for_a_file_and_json_for_a_page(site: Site) -> None:
    assert len(pl.read_parquet(io.BytesIO(ask(site, "", accept=PARQUET).content))) == len(ROWS)
    assert ask(site, "", accept="application/x-ndjson").text.count("\n") == len(ROWS)
    assert "content-disposition" in ask(site, "", accept="text/csv").headers
    assert "content-range" in ask(site, "", accept="text/csv", prefer="count=exact").headers
    assert "content-disposition" not in ask(site, "", accept="application/json").headers
    assert ask(site, "", accept=f"{PARQUET};q=0.1, application/json").headers["content-type"] == "application/json"
    assert ask(site, "", accept="image/png").status_code == 406


def test_a_file_has_the_rows_of_its_query_in_order(site: Site) -> None:
    query = "select=store_id,total:revenue.sum()&order=store_id.desc&format=csv"
    assert ask(site, query).text == "store_id,total\n367,120.50\n343,99.90\n330,180.00\n"
    assert (
        ask(site, "select=day&order=day.desc,store_id&limit=2&offset=1&format=csv").text
        == "day\n2026-01-02\n2026-01-02\n"
    )
    assert (
        ask(site, 'select=store_id&or=(best.is.null,best.eq."Produce, organic")&format=csv').text
        == "store_id\n330\n343\n"
    )
    assert (
        ask(site, "select=store_id&store_id=in.(367,343)&best=like(any).{*say*,Pro*}&format=csv").text
        == "store_id\n343\n367\n"
    )


def test_a_file_has_more_rows_than_a_page(site: Site) -> None:
    path = site.make("long", {"n": "bigint"}, ["n"], [], view=False)
    site.db.execute("INSERT INTO shelf.long SELECT generate_series(1, 5000)")
    for query in ("format=csv", f"format=csv&limit={2**63 - 1}"):
        assert [int(line) for line in HTTP.get(f"{path}?{query}").text.split()[1:]] == list(range(1, 5001))


def test_a_file_that_the_client_has_already_is_not_sent_again(site: Site) -> None:
    first = ask(site, "format=csv")
    again = ask(site, "format=csv", if_none_match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["etag"] != ask(site, "format=ndjson").headers["etag"]


def test_a_time_zone_is_that_of_the_file(site: Site) -> None:
    query = "select=last_at&store_id=eq.330&day=eq.2026-01-01&format=csv"
    answer = ask(site, query, prefer="timezone=America/New_York")
    assert answer.text == "last_at\n2026-01-01 15:00:00-05\n"
    assert answer.headers["preference-applied"] == "timezone=America/New_York"
    file = ask(site, query.replace("csv", "arrow"), prefer="timezone=America/New_York").content
    instant = datetime(2026, 1, 1, 20, tzinfo=UTC)
    assert pa.ipc.open_stream(file).read_all().to_pylist() == [{"last_at": instant}], "an instant has no zone in Arrow"
    assert ask(site, query, prefer="timezone=Nowhere/At_All").json()["code"] == "preference-invalid"


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("format=xml", 400, "format-unknown"),
        ("format=", 400, "format-unknown"),
        ("format=csv&format=csv", 400, "filter-invalid"),
        ("format=csv&cursor=abc", 400, "cursor-invalid"),
        ("format=csv&nothing=eq.1", 400, "parameter-unknown"),
        ("format=csv&day=eq.2026-02-30", 400, "filter-invalid"),
        ("format=parquet&day=eq.2026-02-30", 400, "filter-invalid"),
        ("format=csv&limit=-1", 416, "range-unsatisfiable"),
        (f"format=csv&limit={2**63}", 400, "limit-invalid"),
        ("format=csv&select=nothing", 400, "select-invalid"),
    ],
)
def test_what_a_file_cannot_be_is_a_problem_and_no_file(site: Site, query: str, status: int, code: str) -> None:
    answer = ask(site, query)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "content-disposition" not in answer.headers


def test_a_value_that_a_format_cannot_hold_is_a_problem_that_names_the_column(site: Site) -> None:
    path = site.make("odd", {"id": "integer", "at": "timestamptz"}, ["id"], [[1, "infinity"]])
    answer = HTTP.get(f"{path}?format=parquet")
    assert (answer.status_code, answer.json()["code"]) == (422, "format-cannot-hold")
    assert "at" in answer.json()["detail"]
    assert HTTP.get(f"{path}?format=csv").text == "id,at\n1,infinity\n"


def test_without_the_extra_the_answer_is_406_with_the_remedy(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda _: None)
    for answer in (ask(site, "format=xlsx"), ask(site, "", accept=PARQUET)):
        assert (answer.status_code, answer.json()["code"]) == (406, "format-missing")
        assert "refold[downloads]" in answer.json()["remedy"]
    assert ask(site, "format=csv").status_code == 200


def test_columns_that_are_never_null_say_so_in_arrow_and_parquet(site: Site) -> None:
    query = "select=store_id,best,lines,day::text&limit=2&format="
    for schema in (
        pa.ipc.open_stream(ask(site, query + "arrow").content).schema,
        pq.read_table(io.BytesIO(ask(site, query + "parquet").content)).schema,
    ):
        assert [field.nullable for field in schema] == [False, True, False, True], schema


@pytest.mark.parametrize(
    ("value", "column"),
    [
        ("'infinity'::timestamptz", "timestamp"),
        ("'-infinity'::date", "date32"),
        ("'NaN'::numeric(38,2)", "decimal128"),
        ("'24:00'::time", "time64"),
        ("'0044-03-15 BC'::date", "date32"),
        ("'12000-01-01'::date", "date32"),
        ("ARRAY[[1,2],[3,4]]", "several dimensions"),
        ("ARRAY['infinity'::date]", "no place"),
    ],
)
@pytest.mark.parametrize("name", ["arrow", "parquet", "xlsx"])
def test_a_value_that_arrow_has_no_place_for_is_refused_by_name(
    module_database: str, name: str, value: str, column: str
) -> None:
    rows = sql.SQL("SELECT " + value + " AS odd").format()
    with pytest.raises(FormatCannotHold, match=column) as refused:
        downloaded(module_database, VIEW, name, rows)
    assert "odd" in refused.value.message


@pytest.mark.parametrize(
    "value", ["'infinity'::timestamptz", "'NaN'::numeric(38,2)", "'24:00'::time", "ARRAY[[1,2],[3,4]]"]
)
def test_texts_hold_what_arrow_does_not(module_database: str, value: str) -> None:
    rows = sql.SQL("SELECT " + value + " AS odd").format()
    with psycopg.connect(module_database) as db:
        ((printed,),) = db.execute(sql.SQL("SELECT ({})::text").format(sql.SQL(value))).fetchall()
    assert next(csv.reader([downloaded(module_database, VIEW, "csv", rows).decode().splitlines()[1]])) == [printed]
    assert "odd" in json.loads(downloaded(module_database, VIEW, "ndjson", rows))


def test_a_negative_zero_and_what_is_no_number_stay_apart(module_database: str) -> None:
    kinds = sql.SQL(
        "SELECT '-0'::float8 AS zero, 'NaN'::float8 AS nan, '-Infinity'::float8 AS low, '-0'::real AS short, 'NaN'::numeric AS free"
    ).format()
    for found in (
        pa.ipc.open_stream(downloaded(module_database, VIEW, "arrow", kinds)).read_all(),
        pq.read_table(io.BytesIO(downloaded(module_database, VIEW, "parquet", kinds))),
        pl.read_parquet(io.BytesIO(downloaded(module_database, VIEW, "parquet", kinds))).to_arrow(),
    ):
        (row,) = found.to_pylist()
        assert [math.copysign(1, row["zero"]), math.copysign(1, row["short"])] == [-1, -1]
        assert (row["zero"], row["short"], row["low"], row["free"]) == (0, 0, -math.inf, "NaN")
        assert math.isnan(row["nan"])
    assert downloaded(module_database, VIEW, "csv", kinds) == b"zero,nan,low,short,free\n-0,NaN,-Infinity,-0,NaN\n"
    expected = b'{"zero":-0,"nan":"NaN","low":"-Infinity","short":-0,"free":"NaN"}\n'
    assert downloaded(module_database, VIEW, "ndjson", kinds) == expected


@pytest.mark.parametrize("name", ["arrow", "parquet"])
def test_a_decimal_of_more_digits_than_readers_agree_on_is_an_exact_text(module_database: str, name: str) -> None:
    digits = "1" * 47 + ".25"
    rows = sql.SQL(
        "SELECT (%s::text)::numeric(50,2) AS wide, (%s::text)::numeric(39,0) AS next, (%s::text[])::numeric(50,2)[] AS many"
    ).format()
    found = downloaded(module_database, VIEW, name, rows, [digits, "9" * 39, [digits, None]])
    read = pl.read_ipc_stream if name == "arrow" else pl.read_parquet
    expected = {"wide": digits, "next": "9" * 39, "many": [digits, None]}
    assert read(io.BytesIO(found)).to_dicts() == [expected]
    with duckdb.connect() as db:
        table = pa.ipc.open_stream(found).read_all() if name == "arrow" else pq.read_table(io.BytesIO(found))
        assert db.from_arrow(table).fetchall() == [tuple(expected.values())]
