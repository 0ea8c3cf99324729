"""A second terminal beside `refold dev`, in which nothing is set but the data folder: what it is told and may do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from refold.api.cli.app import run
from refold.api.embedded.postgres import ANALYST_SETTINGS
from refold.api.embedded.servers import Endpoints


def another_terminal(
    data: Path, endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is set there but the folder: addresses are told, secrets only where they are asked for, and nobody writes."""
    for name in [name for name in os.environ if name.startswith("REFOLD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("REFOLD_DATA", str(data))
    assert run(["config", "show", "--json"]) == 0
    text = capsys.readouterr().out
    shown = {row["setting"]: row for row in json.loads(text)}
    assert (shown["kafka"]["value"], shown["kafka"]["origin"]) == (endpoints.kafka, "embedded server, running")
    port = (endpoints.database_url or "").rpartition(":")[2].partition("/")[0]
    for name in ("database_url", "analyst_url"):
        assert f"port={port}" in shown[name]["value"]
        assert "password=**********" in shown[name]["value"]

    assert run(["sql"]) == 0
    address = capsys.readouterr().out.strip()
    secret = (data / "postgres/analyst-password").read_text()
    a_terminal_opens_psql(secret)
    assert run(["config", "show", "--sql", "--json"]) == 0
    login = json.loads(capsys.readouterr().out)
    assert login == {
        "host": "127.0.0.1", "port": port, "dbname": "refold", "user": "refold_analyst", "password": secret, "url": address,
    }  # fmt: skip
    assert secret in address
    assert secret not in text
    assert (data / "postgres/analyst-password").stat().st_mode & 0o777 == 0o600
    assert run(["sql", "SELECT current_user AS me, 1.50::numeric AS price", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"me": "refold_analyst", "price": "1.50"}]
    sql_prints_values_as_postgres_does(capsys)
    assert run(["sql", "SELECT 1; SELECT 2"]) == 1  # the first alone would be half an answer
    assert "refold: several-statements: " in capsys.readouterr().err
    assert run(["sql", "CREATE TABLE mine (a int)"]) == 1
    assert "refold: 25006: " in capsys.readouterr().err
    with psycopg.connect(address, autocommit=True) as db:
        shown_settings = [db.execute(f"SHOW {name}".encode()).fetchone() for name in ANALYST_SETTINGS]
        assert [value for (value,) in filter(None, shown_settings)] == list(ANALYST_SETTINGS.values())
        db.execute("SET default_transaction_read_only = off")
        for statement in ("CREATE TABLE mine (a int)", "CREATE SCHEMA mine", "ALTER ROLE refold PASSWORD 'x'"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                db.execute(statement.encode())


def a_terminal_opens_psql(secret: str) -> None:
    """The password is not among the arguments, which other users of the machine see."""
    ours, theirs = os.openpty()
    program = [str(Path(sys.executable).with_name("refold")), "sql"]
    with subprocess.Popen(
        program, stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | {"PAGER": "cat"}
    ) as psql:
        os.close(theirs)
        os.write(ours, b"SELECT 'I am ' || current_user;\n")
        heard = b""
        while b"I am refold_analyst" not in heard:
            piece = os.read(ours, 4096)
            assert piece, heard
            heard += piece
        arguments = [word for child in psutil.Process(psql.pid).children() for word in child.cmdline()]
        assert any("refold_analyst" in word for word in arguments)
        assert not any(secret in word for word in arguments)
        os.write(ours, b"\\q\n")
        assert psql.wait(60) == 0
    os.close(ours)


PRINTED = {
    "'infinity'::date": '"infinity"',
    "'-infinity'::timestamptz": '"-infinity"',
    "'0044-03-15 BC'::date": '"0044-03-15 BC"',
    "'24:00'::time": '"24:00:00"',
    "'1 mon'::interval": '"1 mon"',
    "'infinity'::interval": '"infinity"',
    "'NaN'::float8": '"NaN"',
    "0.1::float8": "0.1",
    "-0.00::numeric(38,2)": '"0.00"',
    "9223372036854775807": "9223372036854775807",
    """'{"a": 1.10, "é": []}'::jsonb""": r'{"a": 1.10, "\u00e9": []}',
    "true": "true",
    "NULL": "null",
    "''": '""',
    "'[/x]'": '"[/x]"',
}
REFUSED = {
    "SELECT 1 AS a, 2 AS a": "name-twice: two columns are called a",
    "SELECT $1": "08P01: ",
    "COPY (SELECT 1) TO STDOUT": "not-possible: COPY cannot be used",
    "SELECT chr(55296)": "54000: ",
}


def sql_prints_values_as_postgres_does(capsys: pytest.CaptureFixture[str]) -> None:
    """No value that Python lacks, no number by way of a float, and no column lost behind another of its name."""
    columns = ", ".join(f"{value} AS c{place}" for place, value in enumerate(PRINTED))
    assert run(["sql", f"SELECT {columns}", "--json"]) == 0
    lines = [line.strip().rstrip(",") for line in capsys.readouterr().out.splitlines()]
    assert lines[2:-2] == [f'"c{place}": {printed}' for place, printed in enumerate(PRINTED.values())]
    assert run(["sql", "SELECT 1 AS a, '[/x]' AS a"]) == 0
    assert "│ 1 │ [/x] │" in capsys.readouterr().out
    for statement, words in REFUSED.items():
        assert run(["sql", statement, "--json"]) == 1
        assert f"refold: {words}" in capsys.readouterr().err
