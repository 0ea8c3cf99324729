#!/bin/sh
# confluent_kafka: `KafkaError(code=1)` passes the type checker and fails when it runs.
#
# The package's own stub calls the first argument `code`; the C type calls it `error`. `KafkaError(error=1)` runs and is refused by
# mypy. The positional form satisfies both.
# What to do: pass the code by position.
# Seen on 2026-11-28 with confluent-kafka==2.16.1 mypy==1.19.0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check confluent-kafka==2.16.1 mypy==1.19.0
cd "$folder"
printf 'from confluent_kafka import KafkaError\n\nprint(KafkaError(code=1).code())\n' > by_code.py
printf 'from confluent_kafka import KafkaError\n\nprint(KafkaError(error=1).code())\n' > by_error.py
for name in by_code by_error; do
  if venv/bin/mypy "$name.py" > "$name.types" 2>&1; then types=pass; else types=fail; fi
  if venv/bin/python "$name.py" > "$name.out" 2>&1; then runs=yes; else runs=no; fi
  echo "$name: type check $types, runs $runs ($(tail -1 "$name.out"))"
  echo "$types $runs" > "$name.seen"
done
test "$(cat by_code.seen)" = "pass no"
test "$(cat by_error.seen)" = "fail yes"
