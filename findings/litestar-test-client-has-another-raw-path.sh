#!/bin/sh
# Litestar: under its TestClient a request's raw path has the query string behind it, under uvicorn it has not.
#
# ASGI says that raw_path excludes the query. A handler that reads keys from it (to tell %2F from /) works in one and not in the
# other. What to do: cut the raw path at the first question mark.
# Seen on 2026-11-28 with litestar==2.25.0 httpx==0.28.1 uvicorn==0.54.0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check litestar==2.25.0 httpx==0.28.1 uvicorn==0.54.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import logging
import socket
import threading
import time

import httpx
import uvicorn
from litestar import Litestar, Request, get
from litestar.testing import TestClient

logging.disable()


@get("/{rest:path}")
async def echo(request: Request) -> str:
    return request.scope["raw_path"].decode()


app = Litestar([echo])
with TestClient(app) as client:
    tested = client.get("/a%2Fb?x=1").text
listening = socket.create_server(("127.0.0.1", 0))
server = uvicorn.Server(uvicorn.Config(app, log_config=None))
threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True).start()
for _ in range(100):
    if server.started:
        break
    time.sleep(0.1)
served = httpx.get(f"http://127.0.0.1:{listening.getsockname()[1]}/a%2Fb?x=1").text
server.should_exit = True
print("TestClient:", tested)
print("uvicorn:   ", served)
assert (tested, served) == ("/a%2Fb?x=1", "/a%2Fb")
PY
