#!/bin/sh
# uvicorn: after a graceful stop the process dies of the signal; nothing after `run` is executed.
#
# uvicorn catches SIGTERM, stops gracefully, and then raises the signal again with the default handler, so that a parent sees it.
# Code after `uvicorn.run`, in a `finally` too, never runs and the exit status is -15: counts are not written, files not closed.
# What to do: keep a handler of your own for the second signal, or drive `Server.serve` and install the handlers yourself.
# Seen on 2026-11-28 with uvicorn==0.54.0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uvicorn==0.54.0
cd "$folder"
cat > served.py <<'PY'
import uvicorn


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            await send({"type": f"{(await receive())['type']}.complete"})


try:
    uvicorn.run(app, port=0, log_level="info")
finally:
    print("after run", flush=True)
PY
"$folder/venv/bin/python" - <<'PY'
import signal
import subprocess
import sys

served = subprocess.Popen([sys.executable, "served.py"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
for line in served.stderr:
    if "running on" in line:
        break
served.send_signal(signal.SIGTERM)
out, err = served.communicate(timeout=20)
print("exit status:", served.returncode)
print("graceful:   ", "Application shutdown complete" in err)
print("printed:    ", repr(out))
assert "Application shutdown complete" in err
assert served.returncode == -signal.SIGTERM
assert out == ""
PY
