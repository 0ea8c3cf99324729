#!/bin/sh
# Polars: group_by_dynamic by day loses a row where local midnight does not exist.
#
# In Sao Paulo the clocks went from 2018-11-03 23:59:59 to 2018-11-04 01:00. Of three times around it,
# group_by_dynamic(every='1d') gives one group of two rows, labelled 23:00 of the day before; the third row is in no group.
# Grouping by dt.date() has all three. What to do: group by dt.date() or dt.truncate().
# Seen on 2026-11-28 with polars==2.1.0 tzdata.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0 tzdata
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
from datetime import datetime

import polars as pl

times = [datetime(2018, 11, 3, 23, 30), datetime(2018, 11, 4, 1, 30), datetime(2018, 11, 4, 23, 30)]
frame = pl.DataFrame({"at": times}).with_columns(pl.col("at").dt.replace_time_zone("America/Sao_Paulo"))
dynamic = frame.group_by_dynamic("at", every="1d").agg(rows=pl.len())
by_date = frame.group_by(pl.col("at").dt.date()).agg(rows=pl.len()).sort("at")
print("dynamic", [(str(at), rows) for at, rows in dynamic.rows()])
print("by date", [(str(at), rows) for at, rows in by_date.rows()])
assert dynamic["rows"].to_list() == [2]
assert by_date["rows"].to_list() == [1, 2]
PY
