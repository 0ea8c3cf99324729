"""Commands that share a rebuild, killed and stopped: the tables are those of one command, to the byte."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.log_writer import LogWriter
from benchmarks.receipts import decided
from refold.projections.replay.command import Replay
from refold.projections.tables.declared import Declared, declared
from refold.streams import exit_codes, failpoints
from refold.streams.domain import load_domains
from refold.streams.log.topics import ensure_topics
from refold.streams.log.waiting import when_kafka_answers
from refold.streams.postgres.connection import Database, connect
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.settings import Settings
from tests.e2e import results
from tests.projections.test_replay import fold_live, quiet, tables

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        "REPLAY_DEATHS" not in os.environ,
        reason="kills commands for minutes: REPLAY_DEATHS=all, as make test-chaos says it",
    ),
]
_PRODUCTS = 1_000
NOTHING: Mapping[str, str] = {}
_LED, _OPEN = 0x5EF0D4, 0x5EF0D5
_HELD = "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid::bigint = %s AND objsubid = 2"


class Commands:
    """Rebuilds in processes of their own, with a folder of failpoints each."""

    def __init__(self, settings: Settings, db: Database, folder: Path) -> None:
        self._settings, self._db, self._folder = settings, db, folder
        self.running: dict[str, subprocess.Popen[str]] = {}

    def begin(self, name: str, *options: str, armed: Mapping[str, str] = NOTHING) -> None:
        """Start one; `armed`: what happens at each failpoint."""
        folder = self._folder / name
        folder.mkdir()
        for place, action in armed.items():
            (folder / place).write_text(action)
        environment = {**os.environ, **self._settings.environment(), failpoints.VARIABLE: str(folder)}
        words = [sys.executable, "-m", "tests.e2e.small_batches", "rebuild", "--all", "--execute", *options]
        self.running[name] = subprocess.Popen(
            words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def until(self, kind: int) -> None:
        """Wait until a command holds a lock of a kind: it leads, or has let others work."""
        until = time.monotonic() + 60
        while self._db.execute(_HELD.encode(), (kind,)).fetchone() != (True,):
            assert time.monotonic() < until, "no command holds the lock"
            time.sleep(0.1)

    def until_stopped(self, name: str) -> None:
        """Wait until a command has stopped at its failpoint."""
        os.waitpid(self.running[name].pid, os.WUNTRACED)

    def ends(self, *names: str) -> list[int]:
        """The exit codes of some commands."""
        codes = []
        for name in names:
            _, said = self.running[name].communicate(timeout=200)
            (self._folder / f"{name}.said").write_text(said)
            codes.append(self.running[name].returncode)
        return codes


@pytest.fixture
def db(settings: Settings) -> Iterator[Database]:
    domains = load_domains(settings.domains)
    with connect(settings.dsn(), application_name="test") as connection:
        bootstrap(connection)
        when_kafka_answers(lambda: ensure_topics(settings, domains, connection))
        receipts = list(decided(1))
        baskets = [item for item in receipts if item.category == "retail.basket"]
        LogWriter(settings, domains).write([*receipts[:_PRODUCTS], *baskets])
        fold_live(settings)
        yield connection


@pytest.fixture
def commands(settings: Settings, db: Database, tmp_path: Path) -> Iterator[Commands]:
    found = Commands(settings, db, tmp_path)
    yield found
    for process in found.running.values():
        process.kill()


@contextmanager
def same_rows(settings: Settings, db: Database) -> Iterator[None]:
    """The tables after the block are those that one command rebuilt before it, and one command verifies them."""
    retail: Declared = declared(["retail"])
    with Replay(settings) as replay:
        replay.execute((), quiet)
    before = tables(db, retail)
    number = db.execute("SELECT max(build) FROM refold.builds").fetchone()
    yield
    served = db.execute("SELECT min(build) FROM refold.builds WHERE status = 'serving'").fetchone()
    assert served is not None
    assert number is not None
    assert served[0] > number[0], "a build of the shared rebuild serves"
    assert tables(db, retail) == before
    with Replay(settings) as replay:
        assert replay.verify((), quiet).equal


def begun(commands: Commands, others: Sequence[str], armed: Mapping[str, str] = NOTHING) -> None:
    commands.begin("leads")
    commands.until(_LED)
    for name in others:
        commands.begin(name, "--join", armed=armed if name == "victim" else NOTHING)
    commands.until(_OPEN)


def test_two_commands_give_the_rows_of_one(settings: Settings, db: Database, commands: Commands) -> None:
    with same_rows(settings, db):
        begun(commands, ["joins"])
        assert commands.ends("leads", "joins") == [0, 0]


def test_one_of_three_is_killed_in_its_flush(settings: Settings, db: Database, commands: Commands) -> None:
    with same_rows(settings, db):
        begun(commands, ["victim", "joins"], {"replay.within-turn": "kill"})
        assert commands.ends("victim", "leads", "joins") == [-signal.SIGKILL, 0, 0]
    results.note("a shared rebuild whose helper is killed", kills=1)


def test_one_of_three_is_stopped_until_others_have_its_work_and_goes_on(
    settings: Settings, db: Database, commands: Commands
) -> None:
    """It holds rows in memory that the others fold meanwhile."""
    with same_rows(settings, db):
        begun(commands, ["victim", "joins"])
        time.sleep(6)  # it joins, and folds
        commands.running["victim"].send_signal(signal.SIGSTOP)
        time.sleep(13)  # longer than Kafka waits for a silent member
        commands.running["victim"].send_signal(signal.SIGCONT)
        assert commands.ends("victim", "leads", "joins") == [0, 0, 0]
    results.note("a shared rebuild whose helper stands still", stops=1)


def test_one_is_stopped_within_its_flush_and_its_session_is_ended(
    settings: Settings, db: Database, commands: Commands
) -> None:
    with same_rows(settings, db):
        begun(commands, ["victim"], {"replay.within-turn": "stop"})
        commands.until_stopped("victim")
        assert commands.ends("leads") == [0]
        commands.running["victim"].send_signal(signal.SIGCONT)
        assert commands.ends("victim") == [exit_codes.UNREACHABLE]
    results.note("a shared rebuild whose helper stands still within a flush", stops=1)


def test_the_one_that_leads_is_killed_and_another_ends_the_rebuild(
    settings: Settings, db: Database, commands: Commands
) -> None:
    with same_rows(settings, db):
        begun(commands, ["joins", "too"])
        commands.running["leads"].kill()
        assert commands.ends("leads", "joins", "too") == [-signal.SIGKILL, 0, 0]
    results.note("a shared rebuild whose leader is killed", kills=1)


def test_the_one_that_leads_is_killed_after_its_builds_joined(
    settings: Settings, db: Database, commands: Commands
) -> None:
    with same_rows(settings, db):
        commands.begin("leads", armed={"replay.after-join": "kill"})
        commands.until(_LED)
        commands.begin("joins", "--join")
        assert commands.ends("leads", "joins") == [-signal.SIGKILL, 0]
    results.note("a shared rebuild whose leader is killed before it shows the tables", kills=1)
