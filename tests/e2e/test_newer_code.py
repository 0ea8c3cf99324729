"""Commands under load while old and new code run side by side, forward and back.

Each is decided once, none is rejected, and nothing is parked.
"""

import json
import os
import shutil
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from refold.streams.settings import Settings
from tests.e2e import diaries
from tests.e2e.tables import until
from tests.e2e.versions import WELL, Versions

ROLES = ("handler", "core", "models", "api")
NOTES, EVERY_S = 24, 0.02


class Clients:
    """Send commands to the APIs of some versions for as long as a block lasts; `sent` counts those that were taken."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self.sent = Counter[str]()
        self.refused: list[str] = []
        self._number = 0
        self._lock = threading.Lock()

    @contextmanager
    def sending(self, **names: Sequence[str]) -> Iterator[None]:
        """`names`: which commands, by version."""
        done = threading.Event()
        threads = [threading.Thread(target=self._send, args=(v, commands, done)) for v, commands in names.items()]
        for thread in threads:
            thread.start()
        yield
        done.set()
        for thread in threads:
            thread.join()

    def _send(self, version: str, commands: Sequence[str], done: threading.Event) -> None:
        while not done.wait(EVERY_S):
            with self._lock:
                self._number += 1
                number = self._number
            command, _, mood = commands[number % len(commands)].partition("+")
            body = {"note": f"n{number % NOTES}"}
            body |= {} if command == "PinNote" else {"text": f"t{number % 7}"}
            body |= {"mood": mood} if mood else {}
            said = self._versions.post(
                version,
                f"/v1/commands/diary/notes/{command}",
                json.dumps(body).encode(),
                idempotency_key=f"k{number}",
                prefer="wait=0",
            )
            with self._lock:
                if said == WELL:
                    self.sent[command] += 1
                elif "/problems/not-prepared" not in said:  # the API has just started, and says so
                    self.refused.append(said)

    def outcomes(self) -> int:
        """How many were decided."""
        ((found,),) = self._versions.rows("SELECT count(*) FROM refold.outcomes")
        return int(str(found))

    def settled(self) -> None:
        """Until each that was taken is decided, and the read models stand where the core does."""
        until(lambda: self.outcomes() >= self.sent.total(), 60, f"{self.outcomes()} of {self.sent.total()} are decided")
        behind = """SELECT FROM refold.positions c JOIN refold.positions m USING (topic, part)
                     WHERE c.grp = 'core' AND m.grp = 'models' AND c.next_offset > m.next_offset"""
        until(lambda: not self._versions.rows(behind), 60, "the read models stay behind")


@pytest.fixture
def versions(settings: Settings, tmp_path: Path) -> Iterator[Versions]:
    """Both releases frozen, the later on top of the earlier."""
    diaries.write(tmp_path)
    found = Versions(settings, tmp_path, "diary")
    found.run("old", "schemas", "freeze")
    shutil.copytree(tmp_path / "old/diary/schemas/frozen", tmp_path / "new/diary/schemas/frozen")
    found.run("new", "schemas", "freeze")
    found.run("new", "schemas", "check")
    yield found
    found.kill()


def ready(versions: Versions, version: str) -> None:
    until(lambda: versions.get(version, "/livez") == WELL, 60, f"the {version} API does not answer")
    until(lambda: versions.get(version, "/v1/diary/lines") == WELL, 60, f"the {version} API does not serve")


@pytest.mark.e2e
@pytest.mark.skipif(
    "DEPLOYS" not in os.environ, reason="a minute of load: `make test-chaos` runs it; tests/streams has a short one"
)
@pytest.mark.timeout(420)
def test_every_command_is_decided_once_whatever_code_meets_it(versions: Versions) -> None:
    old, new = ("AddLine", "StrikeLine"), ("AddLine+merry", "PinNote", "StrikeLine", "AddLine")
    clients = Clients(versions)
    versions.start("old", *ROLES)
    ready(versions, "old")
    with clients.sending(old=old):
        until(lambda: clients.outcomes() > 50, 60, "the old code decides nothing")
        versions.start("new", *ROLES)  # in no order at all
        ready(versions, "new")
        with clients.sending(new=new):
            until(lambda: clients.sent["PinNote"] > 30, 60, "the new API takes nothing")
        versions.stop("old", "handler", "core", "models")
    clients.settled()
    versions.stop("old", "api")
    with clients.sending(new=new):
        versions.start("old", *ROLES)  # and back, with what the new code has written in the log
        ready(versions, "old")
        versions.stop("new", "handler", "core", "models")
        with clients.sending(old=old):
            until(lambda: clients.sent["PinNote"] > 80, 60, "the new API takes nothing")
    versions.start("new", "handler", "core", "models")
    versions.stop("old", *ROLES)
    clients.settled()
    assert clients.refused == []
    assert clients.outcomes() == clients.sent.total()
    assert versions.rows("SELECT code, count(*) FROM refold.outcomes WHERE code IS NOT NULL GROUP BY 1") == []
    assert versions.rows("SELECT * FROM refold.parked") == []
    assert versions.rows("SELECT sum(lines)::int FROM diary.lines") == [(clients.sent["AddLine"],)]
    assert versions.rows("SELECT sum(version)::int FROM refold.streams") == [(clients.sent.total(),)]
    versions.run("new", "replay", "rebuild", "--all", "--execute")
    assert versions.rows("SELECT sum(lines)::int FROM diary.lines") == [(clients.sent["AddLine"],)]
