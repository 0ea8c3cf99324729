"""Rows of every served type, downloaded in each format and read back by polars, pandas, DuckDB, pyarrow and openpyxl."""

import csv
import io
import json
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import openpyxl
import pandas as pd
import polars as pl
import psycopg
import pyarrow as pa
import pytest
from psycopg import sql
from pyarrow import parquet as pq

from refold.api.download_errors import FormatCannotHold
from refold.api.http.downloads import xlsx
from tests.api.downloaded import downloaded
from tests.api.every_type import AS_TEXT, COLUMNS, EPOCH, MINUS_BIG, NAMES, NOON, ROWS, held, plain, sheet

VIEW = ("shop", "everything")


@pytest.fixture(scope="module")
def url(module_database: str) -> str:
    types = {name: kind for name, (kind, *_) in COLUMNS.items()} | {name: kind for name, (kind, _) in AS_TEXT.items()}
    columns = sql.SQL(", ").join(sql.SQL("{} " + kind).format(sql.Identifier(name)) for name, kind in types.items())
    with psycopg.connect(module_database) as db:
        db.execute("CREATE SCHEMA shop")
        db.execute(sql.SQL("CREATE TABLE shop.rows ({})").format(columns))
        for row in ROWS:
            places = sql.SQL(", ").join(sql.SQL("%s::" + types[name]) for name in NAMES)
            db.execute(sql.SQL("INSERT INTO shop.rows VALUES ({})").format(places), [row[name] for name in NAMES])
        db.execute(
            "CREATE VIEW shop.everything AS SELECT * FROM shop.rows ORDER BY array_position(ARRAY[1, 9223372036854775807, 3, 4], id)"
        )
    return module_database


@pytest.fixture(scope="module")
def files(url: str) -> dict[str, bytes]:
    return {name: downloaded(url, VIEW, name) for name in ("json", "ndjson", "csv", "arrow", "parquet", "xlsx")}


def test_arrow_read_by_pyarrow_has_every_value_and_the_declared_scales(files: dict[str, bytes]) -> None:
    table = pa.ipc.open_stream(files["arrow"]).read_all()
    assert table.to_pylist() == [held(row) for row in ROWS]
    assert table.schema.field("amount").type == pa.decimal128(38, 2)
    assert table.schema.field("share").type == pa.decimal128(18, 18)
    assert table.schema.field("free").type == pa.string()
    assert table.schema.field("at").type == pa.timestamp("us", "UTC")
    assert table.schema.field("sums").type == pa.list_(pa.decimal128(38, 2))


def test_parquet_read_by_pyarrow_has_every_value_and_the_declared_scales(files: dict[str, bytes]) -> None:
    table = pq.read_table(io.BytesIO(files["parquet"]))
    assert table.to_pylist() == [held(row) for row in ROWS]
    assert table.schema.field("amount").type == pa.decimal128(38, 2)
    assert table.schema.field("at").type == pa.timestamp("us", "UTC")


@pytest.mark.parametrize("name", ["arrow", "parquet"])
def test_polars_reads_the_same_values(files: dict[str, bytes], name: str) -> None:
    read = pl.read_ipc_stream if name == "arrow" else pl.read_parquet
    found = read(io.BytesIO(files[name]))
    assert found.to_dicts() == [held(row) for row in ROWS]
    assert found.schema["amount"] == pl.Decimal(38, 2)
    assert found.schema["at"] == pl.Datetime("us", "UTC")


@pytest.mark.parametrize("name", ["arrow", "parquet"])
def test_duckdb_reads_the_same_values(files: dict[str, bytes], tmp_path: Path, name: str) -> None:
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        if name == "parquet":
            (tmp_path / "rows.parquet").write_bytes(files[name])
            source = db.read_parquet(str(tmp_path / "rows.parquet"))
        else:
            source = db.from_arrow(pa.ipc.open_stream(files[name]).read_all())
        kept = [
            name for name in NAMES if name not in {"at", "times"}
        ]  # zones are read apart: DuckDB needs pytz for them
        columns = ", ".join(f'"{name}"' for name in kept)
        found = [dict(zip(kept, row, strict=True)) for row in source.select(columns).fetchall()]
        micros = source.select('epoch_us("at")').fetchall()
    expected = [{name: held(row)[name] for name in kept} for row in ROWS]
    assert found == expected
    assert micros == [
        (None if row["at"] is None else (row["at"] - EPOCH) // timedelta(microseconds=1),) for row in ROWS
    ]


@pytest.mark.parametrize("name", ["arrow", "parquet"])
def test_pandas_reads_the_same_values(files: dict[str, bytes], name: str) -> None:
    if name == "arrow":
        found = pa.ipc.open_stream(files[name]).read_all().to_pandas(types_mapper=pd.ArrowDtype)
    else:
        found = pd.read_parquet(io.BytesIO(files[name]), dtype_backend="pyarrow")
    for column in NAMES:
        assert pa.array(found[column]).to_pylist() == [held(row)[column] for row in ROWS], column


def test_json_and_ndjson_hold_the_rows_as_a_page_shows_them(files: dict[str, bytes]) -> None:
    rows = json.loads(files["json"])
    assert rows == [json.loads(line) for line in files["ndjson"].splitlines()]
    for row, expected in zip(rows, ROWS, strict=True):
        for name in COLUMNS:
            assert row[name] == plain(expected[name]), name
    assert rows[0]["doc"] == {"a": [1, "x"]}
    assert rows[0]["uid"] == AS_TEXT["uid"][1]


def test_ndjson_decimals_read_by_duckdb_as_declared_are_the_same(files: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "rows.ndjson").write_bytes(files["ndjson"])
    with duckdb.connect() as db:
        read = "SELECT amount::DECIMAL(38,2), share::DECIMAL(18,18), id::BIGINT FROM read_json(?, columns={amount: 'VARCHAR', share: 'VARCHAR', id: 'BIGINT'})"
        found = db.execute(read, [str(tmp_path / "rows.ndjson")]).fetchall()
    assert found == [(row["amount"], row["share"], row["id"]) for row in ROWS]


def test_csv_is_what_postgres_prints_with_words_for_booleans(url: str, files: dict[str, bytes]) -> None:
    with (
        psycopg.connect(url) as db,
        db.cursor().copy("COPY (SELECT * FROM shop.everything) TO STDOUT (FORMAT csv)") as copy,
    ):
        expected = b"".join(bytes(row) for row in copy)
    found = files["csv"].split(b"\n", 1)
    assert found[0] == ",".join(NAMES).encode()
    assert found[1].replace(b",true,", b",t,").replace(b",false,", b",f,") == expected


def test_csv_read_by_pythons_own_reader_has_the_same_texts(files: dict[str, bytes]) -> None:
    header, *rows = csv.reader(io.StringIO(files["csv"].decode(), newline=""))
    assert header == NAMES
    for row, expected in zip(rows, ROWS, strict=True):
        found = dict(zip(header, row, strict=True))
        assert found["note"] == (expected["note"] or "")
        assert found["amount"] == ("" if expected["amount"] is None else format(expected["amount"], "f"))
        assert found["yes"] == {True: "true", False: "false", None: ""}[expected["yes"]]


def test_csv_keeps_null_and_empty_text_apart_for_polars_and_pyarrow(files: dict[str, bytes]) -> None:
    found = pl.read_csv(io.BytesIO(files["csv"]), infer_schema=False)
    assert found["note"].to_list() == [row["note"] for row in ROWS]
    assert found["code"].to_list() == [row["code"] for row in ROWS]
    parse = pa.csv.ParseOptions(newlines_in_values=True)
    convert = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(NAMES, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    table = pa.csv.read_csv(io.BytesIO(files["csv"]), parse_options=parse, convert_options=convert)
    assert table["note"].to_pylist() == [row["note"] for row in ROWS]


def test_csv_read_by_pandas_and_duckdb_as_declared_has_the_same_values(files: dict[str, bytes], tmp_path: Path) -> None:
    frame = pd.read_csv(io.BytesIO(files["csv"]), dtype=str, keep_default_na=False, lineterminator="\n")
    assert [Decimal(text) for text in frame["amount"][:2]] == [row["amount"] for row in ROWS[:2]]
    assert frame["note"].tolist() == [row["note"] or "" for row in ROWS]
    (tmp_path / "rows.csv").write_bytes(files["csv"])
    with duckdb.connect() as db:
        options = dict.fromkeys(NAMES, "VARCHAR") | {"amount": "DECIMAL(38,2)", "big": "BIGINT", "day": "DATE"}
        found = db.read_csv(str(tmp_path / "rows.csv"), header=True, columns=options, quotechar='"', escapechar='"')
        assert found.select("amount, big, day").fetchall() == [(r["amount"], r["big"], r["day"]) for r in ROWS]


def test_xlsx_has_numbers_where_excel_keeps_each_digit_and_text_elsewhere(files: dict[str, bytes]) -> None:
    header, one, two, three, four = sheet(files["xlsx"])
    assert header == NAMES
    first, second = dict(zip(header, one, strict=True)), dict(zip(header, two, strict=True))
    assert first["id"] == 1
    assert second["id"] == str(2**63 - 1)
    assert first["amount"] == 3.3
    assert second["amount"] == str(MINUS_BIG)
    assert first["double"] == 0.1
    assert first["big"] == "9007199254740993"
    assert first["yes"] is True
    assert first["day"] == datetime(2026, 2, 28)  # noqa: DTZ001 - as the reader shows a day
    assert first["at"] == NOON.isoformat()  # microseconds are not Excel's
    assert second["local"] == "0001-01-01T00:00:00"
    assert first["raw"] == "\\x00ff2c0a"
    assert three == [3, *[None] * (len(NAMES) - 1)]
    assert dict(zip(header, four, strict=True))["id"] == 4


def test_xlsx_text_that_looks_like_a_formula_stays_text(url: str) -> None:
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "http://example.org", "{=1}", "00123", "1e5", " "]
    rows = sql.SQL("SELECT * FROM unnest(%s::text[]) AS t(note)").format()
    book = openpyxl.load_workbook(io.BytesIO(downloaded(url, VIEW, "xlsx", rows, [texts])))
    cells = [row[0] for row in book.active.iter_rows(min_row=2)]
    assert [cell.value for cell in cells] == texts
    assert {cell.data_type for cell in cells} <= {"s", "inlineStr"}
    assert all(cell.hyperlink is None for cell in cells)


def test_xlsx_refuses_more_rows_than_a_sheet_has(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert xlsx.MOST_ROWS == 1_048_576
    monkeypatch.setattr(xlsx, "MOST_ROWS", 1000)
    rows = "SELECT 1 AS one FROM generate_series(1, %s)"
    assert len(sheet(downloaded(url, VIEW, "xlsx", sql.SQL(rows).format(), [999]))) == 1000
    with pytest.raises(FormatCannotHold, match="1,000 rows at most"):
        downloaded(url, VIEW, "xlsx", sql.SQL(rows).format(), [1000])


def test_xlsx_refuses_a_text_that_no_cell_holds(url: str) -> None:
    rows = sql.SQL("SELECT repeat('x', 32768) AS note").format()
    with pytest.raises(FormatCannotHold, match="32,767 letters, and a value of note"):
        downloaded(url, VIEW, "xlsx", rows)


@pytest.mark.parametrize("name", ["csv", "ndjson", "json", "arrow", "parquet", "xlsx"])
def test_no_rows_are_a_whole_file_with_the_columns(url: str, name: str) -> None:
    rows = sql.SQL("SELECT * FROM shop.everything WHERE false").format()
    found = downloaded(url, VIEW, name, rows)
    match name:
        case "csv":
            assert found == ",".join(NAMES).encode() + b"\n"
        case "ndjson":
            assert found == b""
        case "json":
            assert found == b"[]"
        case "arrow":
            table = pa.ipc.open_stream(found).read_all()
            assert (table.num_rows, table.schema.names) == (0, NAMES)
        case "parquet":
            assert pq.read_table(io.BytesIO(found)).schema.names == NAMES
        case "xlsx":
            assert sheet(found) == [NAMES]


@pytest.mark.parametrize("name", ["csv", "ndjson", "json", "arrow", "parquet"])
def test_many_rows_over_many_pieces_are_all_there_and_in_order(url: str, name: str) -> None:
    rows = sql.SQL(
        "SELECT n::bigint AS n, repeat('x', 60) AS note FROM generate_series(1, 150000) n ORDER BY n"
    ).format()
    found = downloaded(url, VIEW, name, rows)
    match name:
        case "csv":
            numbers = pl.read_csv(io.BytesIO(found))["n"].to_list()
        case "ndjson":
            numbers = [json.loads(line)["n"] for line in found.splitlines()]
        case "json":
            numbers = [row["n"] for row in json.loads(found)]
        case "arrow":
            numbers = pa.ipc.open_stream(found).read_all()["n"].to_pylist()
        case _:
            numbers = pq.read_table(io.BytesIO(found))["n"].to_pylist()
    assert numbers == list(range(1, 150001))


def test_one_column_of_nulls_keeps_its_rows(url: str) -> None:
    rows = sql.SQL("SELECT NULLIF(n, 2)::text AS n FROM generate_series(1, 3) n").format()
    assert downloaded(url, VIEW, "csv", rows) == b"n\n1\n\n3\n"
    table = pa.ipc.open_stream(downloaded(url, VIEW, "arrow", rows)).read_all()
    assert table["n"].to_pylist() == ["1", None, "3"]


@pytest.mark.parametrize("name", ["csv", "ndjson", "arrow", "parquet", "xlsx"])
def test_two_columns_of_one_name_and_names_of_any_letters_are_written(url: str, name: str) -> None:
    rows = sql.SQL('SELECT 1 AS "a,""b%", 2 AS "a,""b%", 3 AS "\u00fc", 4 AS "_C0"').format()
    escaped = sql.SQL(rows.as_string().replace("%", "%%")).format()
    assert downloaded(url, VIEW, name, escaped)
