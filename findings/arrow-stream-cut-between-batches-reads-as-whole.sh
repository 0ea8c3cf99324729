#!/bin/sh
# Arrow IPC: a stream that ends between two batches reads as a whole table.
#
# The format has an end-of-stream marker, but readers take the end of the bytes for it too: of 1000 rows 500 are read, without an
# error, by pyarrow and Polars alike. A download that broke off is not noticed. What to do: send the number of rows along, or
# break the connection so that the transport fails.
# Seen on 2026-11-28 with pyarrow==26.0.1 polars==2.1.0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1 polars==2.1.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import io

import polars as pl
import pyarrow as pa

table = pa.table({"a": list(range(1000))})
out, ends = io.BytesIO(), []
with pa.ipc.new_stream(out, table.schema) as stream:
    for batch in table.to_batches(max_chunksize=100):
        stream.write_batch(batch)
        ends.append(out.tell())
cut = out.getvalue()[: ends[4]]
arrow, polars = pa.ipc.open_stream(cut).read_all().num_rows, pl.read_ipc_stream(cut).height
print("rows written", table.num_rows, "- read by pyarrow", arrow, "- by Polars", polars)
assert (arrow, polars) == (500, 500)
PY
