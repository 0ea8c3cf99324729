#!/bin/sh
# Litestar: gzip;q=0 is compressed all the same, and both variants of an answer bear one strong ETag.
#
# By RFC 9110 q=0 means 'not acceptable', and a strong ETag names bytes: the compressed and the plain answer are not the same
# bytes, so a cache may join ranges of both. What to do: weaken the ETag, and look at Accept-Encoding yourself.
# Seen on 2026-11-28 with litestar==2.25.0 httpx==0.28.1.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check litestar==2.25.0 httpx==0.28.1
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
from litestar import Litestar, Response, get
from litestar.config.compression import CompressionConfig
from litestar.testing import TestClient


@get("/")
async def page() -> Response[str]:
    return Response("x" * 5000, headers={"ETag": '"one"'})


with TestClient(Litestar([page], compression_config=CompressionConfig(backend="gzip"))) as client:
    seen = []
    for accepted in ("identity", "gzip", "gzip;q=0"):
        headers = client.get("/", headers={"Accept-Encoding": accepted}).headers
        seen.append((accepted, headers.get("content-encoding"), headers["etag"], headers.get("vary")))
for line in seen:
    print(line)
assert [encoding for _, encoding, _, _ in seen] == [None, "gzip", "gzip"]
assert {etag for _, _, etag, _ in seen} == {'"one"'}
assert [vary for _, _, _, vary in seen][0] is None
PY
