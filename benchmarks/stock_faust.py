"""A stock Faust agent on the events, which decodes each by fastavro and drops it; `benchmarks.live` runs it.

Arguments: bootstrap servers, topics joined by commas, number of records. Prints records per second.
"""

import io
import os
import sys
import tempfile
import time
from typing import Any
from uuid import uuid4

import fastavro
import faust

from refold.streams.domain import load_domains

servers, topics, records = sys.argv[1], sys.argv[2].split(","), int(sys.argv[3])
schemas = {w.id: fastavro.parse_schema(w.schema, _force=True) for w in load_domains(["retail"]).catalog.by_id.values()}
app = faust.App(
    f"stock-{uuid4().hex[:8]}",
    broker=f"kafka://{servers}",
    value_serializer="raw",
    key_serializer="raw",
    web_enabled=False,
    topic_allow_declare=False,
    topic_disable_leader=True,
    datadir=tempfile.mkdtemp(),
)


@app.agent(app.topic(*topics, value_serializer="raw"))
async def decoding(stream: Any) -> None:
    seen, began = 0, 0.0
    async for value in stream:
        if seen == records // 10:  # the group's first rebalance and the imports are not the agent's speed
            began = time.perf_counter()
        schema = schemas.get(int.from_bytes(value[1:5]))
        if schema is not None:
            fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None)
        seen += 1
        if seen == records:
            rate = (records - records // 10) / (time.perf_counter() - began)
            os.write(1, f"records_per_s={rate:.1f}\n".encode())  # Faust makes log lines of what is printed
            os._exit(0)


if __name__ == "__main__":
    sys.argv = ["stock", "worker", "-l", "error", "--without-web"]
    app.main()
