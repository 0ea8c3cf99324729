#!/bin/sh
# cyclopts: an int option takes 2.6 and means 3, 2.5 and means 2, and rounds above 2^53.
#
# Text with a decimal point goes through a float and round(). So --offset 9007199254740993.0 is another offset, and a typing
# error is a number. What to do: declare such options as str and read them yourself.
# Seen on 2026-11-28 with cyclopts==5.4.0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cyclopts==5.4.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import cyclopts

app = cyclopts.App(result_action="return_value")


@app.default
def main(*, number: int) -> int:
    return number


seen = {text: app(["--number", text]) for text in ("2.6", "2.5", "1_000", "0x10", "9007199254740993.0")}
print(seen)
assert seen == {"2.6": 3, "2.5": 2, "1_000": 1000, "0x10": 16, "9007199254740993.0": 9007199254740992}
PY
