"""Tests log lines: their two forms, values that they never hold, and one line per fault with counts that add up."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import psycopg_pool
import pytest
from confluent_kafka import KafkaError, KafkaException
from hypothesis import given
from hypothesis import strategies as st

from refold.schemas.errors import BadValue
from refold.streams.journal import setup
from refold.streams.journal.about import CONTEXT, code_of
from refold.streams.journal.formats import as_json, as_text, read
from refold.streams.journal.handler import Journal
from refold.streams.journal.line import MOST_MESSAGE, Line
from refold.streams.journal.masking import Masking
from refold.streams.journal.printed import Printed
from tests.streams.spoken import CORE, TEXT, Lines, record

AT = 1_700_000_000.25


@pytest.fixture
def lines() -> Iterator[Lines]:
    found = Lines()
    yield found
    found.journal.close()


def a_line(**fields: Any) -> Line:
    return Line(AT, logging.WARNING, "refold.x", **{"message": "m", **fields})


def test_text_has_date_zone_level_role_pid_logger_and_the_ids() -> None:
    line = a_line(fields={"topic": "t", "request_id": "r-1", "command_id": "c"})
    assert as_text(line, CORE) == "2023-11-14T22:13:20.250Z WARNING core[7] refold.x: m request_id=r-1 command_id=c"


def test_json_has_the_same_under_stable_names() -> None:
    line = a_line(
        code="log-shorter", fields={"topic": "t", "partition": 0, "offset": 9}, count=2, total=5, exception="E"
    )
    assert json.loads(as_json(line, CORE)) == {
        "time": "2023-11-14T22:13:20.250Z", "level": "WARNING", "role": "core", "pid": 7, "logger": "refold.x", "message": "m",
        "code": "log-shorter", "topic": "t", "partition": 0, "offset": 9, "count": 2, "total": 5, "exception": "E",
    }  # fmt: skip


@given(message=st.text(), exception=st.none() | st.text(), logger=st.text(min_size=1))
def test_whatever_is_said_each_line_has_its_form(message: str, exception: str | None, logger: str) -> None:
    line = Line(AT, logging.ERROR, logger, message, exception=exception)
    written = as_json(line, CORE)
    assert "\n" not in written
    assert written.isascii()
    assert json.loads(written)["message"] == message
    assert all(TEXT.fullmatch(text) for text in as_text(line, CORE).split("\n"))


def test_what_is_said_forges_no_line_and_moves_no_cursor() -> None:
    forged = "no\n2023-11-14T22:13:20.250Z ERROR core[7] refold.x: forged\x1b[2J"
    first, second = as_text(a_line(message=forged), CORE).split("\n")
    assert first.endswith(": no")
    assert second.startswith("    2023")
    assert "\x1b" not in second


@pytest.mark.parametrize("form", [as_text, as_json])
def test_a_supervisor_reads_both_forms(form: Any) -> None:
    found = read(form(a_line(message="a: b"), CORE))
    assert found is not None
    assert (found.time, found.level, found.logger, found.message) == (
        "2023-11-14T22:13:20.250Z",
        "WARNING",
        "refold.x",
        "a: b",
    )
    for other in ("", "    goes on", "{}", '{"time": 1}', "Fatal Python error: Aborted", "[1]"):
        assert read(other) is None


SECRETS = [
    "postgresql://u:hidden@h/d", "postgresql://u:hid@den@h:5/d",
    "host=h password=hidden user=u", "password='hidden too' x", "sslpassword = hidden", "PGPASSWORD=hidden", '{"password": "hidden"}',
    "sasl.password=hidden", "http://user:hidden@proxy:1", "kafka://u:hidden@a:1,b:2",
]  # fmt: skip


@pytest.mark.parametrize("said", SECRETS)
def test_no_password_of_an_address_is_written(lines: Lines, said: str) -> None:
    lines.logger.error("cannot: %s", said, exc_info=psycopg.OperationalError(said))
    (found,) = lines.all()
    assert "hid" not in json.dumps(found)
    assert "OperationalError" in found["exception"]


def test_the_passwords_of_the_settings_are_masked_wherever_they_stand() -> None:
    masking = Masking(["postgresql://user:s3cret%2Fword@h/d", "postgresql://refold:refold@h/refold"])
    assert masking.masked("bytes s3cret/word, s3cret%2Fword; refold") == f"bytes {'*' * 10}, {'*' * 10}; refold"


def test_a_long_message_keeps_its_begin_and_end_and_a_long_exception_its_end(lines: Lines) -> None:
    lines.logger.error("begin %s last", "y" * 50_000, exc_info=ValueError("x" * 50_000 + "the end"))
    (found,) = lines.all()
    assert found["message"].startswith("begin y")
    assert found["message"].endswith("y last")
    assert len(found["message"]) < MOST_MESSAGE + 100
    assert found["exception"].endswith("the end")
    assert len(lines.texts()[0]) < 16_000


def test_what_is_cut_is_masked_before(lines: Lines) -> None:
    for before in range(3_970, 4_001):
        address = "x" * before + " postgresql://u:hidden@h/d"
        lines.logger.info("%s", address, exc_info=ValueError("://u:" + "hid" * 20 + "@" + "y" * (before + 4_000)))
    assert "hid" not in "".join(lines.texts())


def test_codes_are_taken_from_whatever_failed() -> None:
    assert code_of(BadValue("x", "$")) == "bad-value"
    assert code_of(psycopg.errors.AdminShutdown("x")) == "database-unavailable"
    assert code_of(psycopg.errors.InsufficientPrivilege("x")) == "database-refused"
    assert code_of(KafkaException(KafkaError(KafkaError._TRANSPORT))) == "kafka-unavailable"
    assert code_of(ValueError("x")) is None
    assert code_of(None) is None


def test_the_ids_of_the_request_are_in_its_lines(lines: Lines) -> None:
    token = CONTEXT.set({"request_id": "r", "command_id": "c", "headers": "not these"})
    try:
        lines.logger.info("m")
    finally:
        CONTEXT.reset(token)
    (found,) = lines.all()
    assert (found["request_id"], found["command_id"]) == ("r", "c")
    assert "headers" not in found


def test_arguments_that_do_not_fit_are_a_line_all_the_same(lines: Lines) -> None:
    lines.journal.handle(record("%d of %s", "x"))
    assert lines.all()[0]["message"].startswith("%d of %s")


def test_what_is_printed_becomes_lines_whole_ones_and_the_last() -> None:
    heard = list[str]()

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    printed, ear = Printed("stdout", sys.stdout), Ear()
    logging.getLogger("stdout").addHandler(ear)
    logging.getLogger("stdout").setLevel(logging.INFO)
    try:
        print("one\ntwo\n\nthr", end="", file=printed)
        assert heard == ["one", "two"]
        print("ee", end="", file=printed)
        printed.finish()
    finally:
        logging.getLogger("stdout").removeHandler(ear)
    assert heard == ["one", "two", "three"]


def test_a_full_disk_ends_nothing_and_what_it_refused_is_counted() -> None:
    class Full(io.StringIO):
        full = True

        def write(self, text: str) -> int:
            if self.full:
                raise OSError(28, "No space left on device")
            return super().write(text)

    stream = Full()
    journal = Journal(stream, as_json, CORE)
    for _ in range(3):
        journal.handle(record("x", level=logging.INFO))
    stream.full = False
    journal.handle(record("y", level=logging.INFO))
    journal.close()
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first["message"] == "3 lines were dropped here: they were refused"
    assert second["message"] == "y"


PROGRAM = """
import asyncio, gc, logging, sys, threading, warnings
from refold.streams import journal
from refold.streams.settings import Settings
journal.set_up("core", Settings(log_format=sys.argv[1], log_level="info"))
print("printed")
print("to stderr", file=sys.stderr)
warnings.warn("a warning", stacklevel=1)
thread = threading.Thread(target=lambda: 1 / 0, name="divides")
thread.start(); thread.join()
class Bad:
    def __del__(self): raise KeyError("in del")
Bad()
async def lost():
    task = asyncio.ensure_future(fails()); await asyncio.sleep(0); await asyncio.sleep(0); del task; gc.collect()
async def fails(): raise LookupError("never retrieved")
asyncio.run(lost())
from confluent_kafka import Producer
from refold.streams.kafka import clients
client = clients.producer("127.0.0.1:1")
for _ in range(20): client.poll(0.1)
for _ in range(7): logging.getLogger("faust.x").warning("faust says %s", _)
print("begun", end="")
if sys.argv[2] == "leave": journal.leave(3)
raise RuntimeError("nobody caught this")
"""


@pytest.mark.parametrize("words", setup._FOLLOWS)
def test_what_only_follows_from_a_fault_is_what_psycopg_says_and_is_left_out(words: str) -> None:
    said = [
        source
        for package in (psycopg, psycopg_pool)
        for source in Path(str(package.__file__)).parent.glob("*.py")
        if f'"{words}' in source.read_text(encoding="utf-8")
    ]
    assert said, "the library has other words now"
    assert not setup._is_news(record(words + "%s"))
    assert setup._is_news(record("error connecting in 'pool-1': " + words))


def test_a_process_without_standard_streams_goes_on() -> None:
    closed = ["bash", "-c", 'exec >&- 2>&-; exec "$@"', "bash", sys.executable, "-c", PROGRAM, "json", "leave"]
    assert subprocess.run(closed, check=False, timeout=60).returncode == 3


def test_a_stream_that_cannot_be_written_to_ends_nobody() -> None:
    class Broken(io.StringIO):
        def write(self, _: str) -> int:
            raise ZeroDivisionError

    journal = Journal(Broken(), as_json, CORE)
    journal.handle(record("x"))
    journal.close()


@pytest.mark.parametrize("ends", ["leave", "raises"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_everything_that_a_service_says_has_its_form_to_the_last_line(form: str, ends: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, form, ends], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == ""
    if form == "text":
        assert [line for line in done.stderr.splitlines() if not TEXT.fullmatch(line)] == []
        assert "\n    ZeroDivisionError: division by zero\n" in done.stderr
        return
    found = [json.loads(line) for line in done.stderr.splitlines()]
    by_logger = {line["logger"]: line for line in found}
    said = " ".join(line["message"] for line in found)
    for words in ("printed", "to stderr", "a warning", "divides", "never retrieved", "in state CONNECT", "begun"):
        assert words in said, words
    assert any("in del" in line.get("exception", "") for line in found)
    assert {"stdout", "stderr", "py.warnings", "asyncio", "librdkafka", "faust.x", "refold"} <= by_logger.keys()
    assert sum(line.get("count", 1) for line in found if line["logger"] == "faust.x") == 7
    assert by_logger["faust.x"]["total"] == 7
    assert any("nobody caught this" in line.get("exception", "") for line in found) == (ends == "raises")
    assert done.returncode == (3 if ends == "leave" else 1)
