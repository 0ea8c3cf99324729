"""Each command on an empty, older, newer, altered or half restored database: a sentence, an exit code, no traceback."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from refold.api.cli import exits
from refold.api.cli.app import run
from refold.api.error_page import status_of
from refold.api.http.commands import preparation
from refold.streams.errors import DatabaseNewer
from refold.streams.handler.tables import PostgresTables
from refold.streams.log.history import History
from refold.streams.postgres.connection import Database, connect
from refold.streams.postgres.control_tables import bootstrap, look
from refold.streams.postgres.tables_version import known
from refold.streams.settings import Settings
from tests.streams.broker import DOMAINS, append, claimed, encoded, prepare
from tests.streams.logs import claim, record
from tests.streams.test_core import OPENED

GOLDEN = Path(__file__).parents[1] / "golden/tables"
SEND = ["send", "retail.basket.OpenBasket", "--data", '{"basket_id": "7", "store_id": 330}', "--wait", "0"]
WRITING = {
    "send": SEND,
    "plan": ["replay", "rebuild", "--all"],
    "rebuild": ["replay", "rebuild", "store_daily", "--execute"],
    "release": ["replay", "release", "--all"],
    "drop": ["replay", "drop", "--all", "--execute"],
}
READING = (["schemas", "log-check"], ["schemas", "list"], ["sql", "SELECT 1"], ["config", "show"])
LATER = "INSERT INTO refold.migrations (number, name, served_from, applied_by) VALUES (99, 'later', {}, '9')"
Told = tuple[int, str, str]


def earlier(number: int) -> str:
    return "DROP SCHEMA refold CASCADE;" + (GOLDEN / f"layout_{number}.sql").read_text()


STATES = {
    "empty": "DROP SCHEMA refold CASCADE",
    "the first layout": earlier(1),
    "a layout with other columns": earlier(5),
    "the last before versions": earlier(7),
    "newer, and served": LATER.format(1),
    "newer, and not served": LATER.format(99),
    "without a table": "DROP TABLE refold.positions CASCADE",
    "without a column": "ALTER TABLE refold.processes DROP COLUMN trouble",
    "without a column that nothing makes": "ALTER TABLE refold.claims DROP COLUMN rules",
    "without a key": "ALTER TABLE refold.outcomes DROP CONSTRAINT outcomes_pkey",
}
SAYS = {
    "the first layout": "database-older",
    "a layout with other columns": "database-older",
    "the last before versions": "database-older",
    "newer, and not served": "database-newer",
    "without a table": "database-refused",
    "without a column": "database-refused",
    "without a column that nothing makes": "database-refused",
    "without a key": "database-unavailable",
}
"""What `refold status` finds, and what a command is refused by that may not make it right."""
NOT_MENDED = {
    name: SAYS[name] for name in ("newer, and not served", "without a column that nothing makes", "without a key")
}


@pytest.fixture
def db(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """Of a log with one basket. Nobody works on it."""
    prepare(settings)
    append(settings, "retail.basket", 0, [claimed(claim("A", 1)), encoded(record("A", 0, "A0", "A-0", 0), OPENED)])
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    with closing(connect(settings.dsn(), application_name="test")) as connection:
        yield connection


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    def command(*arguments: str) -> Told:
        capsys.readouterr()
        code = run(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def put(db: Database, state: str) -> None:
    db.execute("DROP SCHEMA IF EXISTS refold CASCADE")
    bootstrap(db)
    db.execute(STATES[state].encode())


@pytest.mark.timeout(300)
@pytest.mark.parametrize("state", STATES)
def test_every_command_has_a_sentence_for_every_database(db: Database, told: Callable[..., Told], state: str) -> None:
    put(db, state)
    code, out, _ = told("status", "--json")
    found = json.loads(out)
    codes = {each["code"] for each in found["findings"]} & set(SAYS.values())
    assert (code, codes) == (exits.DIFFERENT, {SAYS[state]} if state in SAYS else set())
    assert found["tables"]["code"] == known().version
    for reading in READING:
        code, _, err = told(*reading)
        assert code in {exits.DONE, exits.DIFFERENT} or one_sentence(err), (reading, err)
    assert look(db).is_served == (state in {"newer, and served", "without a key"}), "reading has changed something"
    for name, writing in WRITING.items():
        put(db, state)
        code, _, err = told(*writing)
        if state in NOT_MENDED:
            assert (code in {exits.PRECONDITION, exits.UNREACHABLE}, one_sentence(err)) == (True, NOT_MENDED[state]), (
                name,
                err,
            )
        elif name == "send":
            assert (code, "is in the log, but not decided yet" in err, look(db).is_served) == (exits.FAILED, True, True)
        else:
            assert code == exits.DONE or one_sentence(err) == "nothing-folded", (name, err)
            assert look(db).is_served


def one_sentence(err: str) -> str:
    """The code of the one line that a refusal is; progress is not counted."""
    lines = [line for line in err.splitlines() if line.startswith("refold: ")]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    return lines[0].split(": ")[1]


def test_status_says_that_a_restore_runs_and_others_wait_for_its_end(
    settings: Settings, db: Database, told: Callable[..., Told]
) -> None:
    with psycopg.connect(settings.dsn(), application_name="pg_restore", autocommit=True):
        db.execute("DROP TABLE refold.voids")
        code, out, err = told("status")
        assert (code, "database-unavailable" in err, "there is no refold.voids" in err) == (exits.DIFFERENT, True, True)
        assert f"tables: version {known().version}, this code: {known().version}" in out
        for writing in WRITING.values():
            code, _, err = told(*writing)
            assert (code, one_sentence(err)) == (exits.UNREACHABLE, "database-unavailable")
        assert not look(db).is_served


def test_an_api_that_runs_refuses_commands_under_tables_that_it_cannot_serve_and_takes_them_again(
    settings: Settings, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "_LOOK_S", 0.05)
    prepared = preparation.Preparation(settings, DOMAINS)

    def becomes(code: str | None) -> None:
        end = time.monotonic() + 60
        while getattr(prepared.problem, "code", None) != code:
            assert time.monotonic() < end
            time.sleep(0.02)

    async def seen() -> None:
        await prepared.open()
        await asyncio.to_thread(becomes, None)
        db.execute(LATER.format(99).encode())
        await asyncio.to_thread(becomes, "database-newer")
        assert prepared.problem is not None
        assert status_of(prepared.problem) == 503
        db.execute("DELETE FROM refold.migrations WHERE number = 99")
        await asyncio.to_thread(becomes, None)
        await prepared.close()

    asyncio.run(seen())


def test_a_handler_decides_nothing_on_tables_that_it_cannot_serve(settings: Settings, db: Database) -> None:
    history = History(settings.kafka_servers(), settings.topic_prefix, DOMAINS)
    with closing(PostgresTables(settings.dsn(), DOMAINS, history)) as tables:
        tables.claims([("retail.basket", 0)])
        db.execute(LATER.format(99).encode())
        tables._looked = 0.0
        with pytest.raises(DatabaseNewer):
            tables.claims([("retail.basket", 0)])
