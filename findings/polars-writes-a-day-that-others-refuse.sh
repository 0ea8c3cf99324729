#!/bin/sh
# polars: the end of time in a zone is a day in the year 10000, which Python cannot hold and DuckDB does not read.
#
# Many systems write 9999-12-31 23:59:59 UTC for "valid until further notice". In a zone east of Greenwich that is the first day of the year 10000.
# polars computes it and writes CSV with a plus sign. DuckDB refuses that text as a date, and where it guesses the types the whole column becomes text, so
# one such row changes how all others sort and compare. In polars itself, `to_list` raises ValueError.
# What to do: take such times by their day in UTC, or leave them out, before a zone is applied.
# Seen on 2026-11-28 with polars==2.1.0 duckdb==2.0.1.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0 duckdb==2.0.1
cd "$folder"
venv/bin/python - <<'PROGRAM'
from datetime import UTC, datetime

import duckdb
import polars as pl

times = pl.Series("valid_to", [datetime(2026, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)])
days = times.dt.convert_time_zone("Europe/Berlin").dt.date().alias("day").to_frame()
days.write_csv("days.csv")
text = open("days.csv").read()
print(repr(text))
assert text == "day\n2026-01-01\n+10000-01-01\n"

try:
    days["day"].to_list()
except ValueError as problem:
    print("to_list:", problem)
else:
    raise SystemExit("to_list gives a date now")

guessed = duckdb.sql("SELECT DISTINCT typeof(day) FROM 'days.csv'").fetchall()
print("DuckDB guesses", guessed)
assert guessed == [("VARCHAR",)]
try:
    duckdb.sql("SELECT day FROM read_csv('days.csv', types = {'day': 'DATE'})").fetchall()
except duckdb.ConversionException as problem:
    print("DuckDB:", str(problem).splitlines()[0])
else:
    raise SystemExit("DuckDB reads it now")
PROGRAM
