"""docs/questions.md is true: each request over HTTP, each command and program, on the demo's receipts, against an oracle."""

import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import polars as pl
import psycopg
import pytest
import uvicorn

from benchmarks.log_writer import LogWriter
from benchmarks.receipts import Decided
from refold.api.cli import app as cli
from refold.api.cli.demo import closing_lines
from refold.api.demo.household_oracle import ROW, expected_households
from refold.api.demo.loyalty import open_loyalty
from refold.api.demo.receipts import open_receipts
from refold.api.http.resources import Resources
from refold.api.http.wire.listening import listening
from refold.retail.schemas.basket import BASKET, BasketOpened
from refold.streams.domain import load_domains
from refold.streams.log.topics import ensure_topics
from refold.streams.log.waiting import when_kafka_answers
from refold.streams.postgres.connection import connect
from refold.streams.settings import Settings
from tests.conftest import settings_for
from tests.demo.decided import decided
from tests.demo.question_oracle import ORACLE, refused_by_store
from tests.demo.receipted import Receipted
from tests.e2e.tables import until

pytestmark = [pytest.mark.usefixtures("servers"), pytest.mark.timeout(600)]
WEEKS = 4
PAGE = (Path(__file__).parents[2] / "docs/questions.md").read_text(encoding="utf-8")
ASKED = re.findall(r"^\| (\d+[ab]?) \| .* \| `([^`]*)` \| (.*) \|$", PAGE, re.MULTILINE)
BLOCKS = re.findall(r"^```([a-z]*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
(COMMAND,) = [text for kind, text in BLOCKS if not kind]
FILE = re.compile(r"# (\S+\.(?:py|toml))\n")


@dataclass
class Site:
    """The API over four weeks of receipts, the folder of the page's files, and the answers by the oracle."""

    url: str
    settings: Settings
    room: Path
    receipts: Receipted


@pytest.fixture(scope="module")
def site(kafka: str, module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    room = tmp_path_factory.mktemp("questions")
    for text in (text for _, text in BLOCKS if FILE.match(text)):
        path = room / text.split(maxsplit=2)[1]
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (room / "insight/__init__.py").touch()
    domains = tomllib.loads((room / "refold.toml").read_text())["domains"]
    settings = settings_for(kafka, module_database, room / "data", domains=domains, partitions=2)
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(room))
        for name, value in settings.environment().items():
            patched.setenv(name, value)
        found = filled(settings)
        patched.setenv("REFOLD_DOMAINS", "retail")
        assert cli.run(["replay", "rebuild", "--all", "--execute"]) == 0
        patched.setenv("REFOLD_DOMAINS", ",".join(domains))
        assert cli.run(COMMAND.split()[1:]) == 0
        listener = listening("127.0.0.1", 0)
        app = Resources(settings, load_domains(domains)).application()
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        until(lambda: "refold_rejections" in httpx.get(f"{url}/metrics").text, 60, "the API counts no rejections")
        yield Site(url, settings, room, found)
        server.should_exit = True
        thread.join()
    for name in [name for name in sys.modules if name.partition(".")[0] == "insight"]:
        del sys.modules[name]


def filled(settings: Settings) -> Receipted:
    """The log as the demo leaves it, with a basket of today, as its latency measurement opens them."""
    domains = load_domains(["retail"])
    with connect(settings.dsn(), application_name="test") as db:
        when_kafka_answers(lambda: ensure_topics(settings, domains, db))
    today = Decided(BASKET.name, "lat-1", datetime.now(UTC), BasketOpened(store_id=1))
    with open_receipts() as receipts, open_loyalty() as loyalty:
        LogWriter(settings, domains).write([*decided(domains, receipts, loyalty, WEEKS), today])
        households = expected_households(receipts, loyalty, WEEKS).rows
        points = {household: int(str(row[ROW.index("points")])) for household, row in households.items()}
        return Receipted(receipts, WEEKS, points)


def test_the_page_has_all_questions() -> None:
    told = {number.rstrip("ab") for number, _, _ in ASKED} | set(re.findall(r"\*\*(\d+)\*\*", PAGE))
    assert told == {str(number) for number in range(1, 33)}
    assert {number for number, _, _ in ASKED} == ORACLE.keys()


@pytest.mark.parametrize(("number", "request_", "said"), ASKED, ids=[number for number, _, _ in ASKED])
def test_each_request_has_the_answer_that_the_page_and_the_receipts_say(
    site: Site, number: str, request_: str, said: str
) -> None:
    domain = "insight" if number == "25b" else "retail"
    answer = httpx.get(f"{site.url}/v1/{domain}/{request_}")
    assert answer.status_code == 200, answer.text
    wanted = ORACLE[number](site.receipts)
    assert answer.json() == wanted
    told = [json.loads(row) for row in re.findall(r"`(\{.*?\})`", said)]
    counted = re.match(r"(\d+) rows: ", said)
    assert told == wanted[: len(told)]
    assert len(wanted) == (int(counted[1]) if counted else len(told))


def test_the_commands_of_the_page_run(site: Site) -> None:
    script = "set -euo pipefail\n" + "\n".join(text for kind, text in BLOCKS if kind == "sh")
    environment = os.environ | {"COLUMNS": "200", "REFOLD_ANALYST_URL": analyst_url(site)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script.replace("http://127.0.0.1:8080", site.url)],
        cwd=site.room, env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("refold-age: 0", '"revenue":"197.52"', '"adds_up":true', "BasketPaid", "quantity-below-one"):
        assert part in done.stdout.replace(": true", ":true"), (part, done.stdout)
    assert "they add up to the row" in done.stderr
    days = [pl.read_csv(site.room / "days.csv"), pl.read_parquet(site.room / "days.parquet")]
    assert days[0].height == days[1].height > 0
    assert (site.room / "days.xlsx").stat().st_size > 0


def test_the_demo_closes_with_requests_that_answer(site: Site) -> None:
    tries = re.findall(r"curl '(.*)'", closing_lines(site.url, "addresses"))
    answers = [httpx.get(address) for address in tries]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert [len(answer.json()) > 1 for answer in answers] == [True] * 3


def test_the_program_of_the_page_runs(site: Site) -> None:
    programs = [text for kind, text in BLOCKS if kind == "python" and not FILE.match(text)]
    assert len(programs) == 1
    exec(programs[0].replace("http://127.0.0.1:8080", site.url), {})  # the page's own text


def test_the_sql_of_the_page_counts_rejections(site: Site) -> None:
    (statement,) = re.findall(r'refold sql "(\n[^"]*) LIMIT 5"', PAGE)
    with psycopg.connect(analyst_url(site)) as db:
        assert db.execute(statement.encode()).fetchall() == refused_by_store(site.receipts)


def analyst_url(site: Site) -> str:
    """What the login of the analysts may read, and no more."""
    return f"{site.settings.dsn()}?options=-c%20role%3Drefold_analyst"


def test_every_block_of_the_page_is_run() -> None:
    """Files and the command without a language are the fixture's."""
    assert {kind for kind, _ in BLOCKS} == {"sh", "python", "toml", ""}
