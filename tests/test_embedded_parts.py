"""The parts of the embedded servers that need no server."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from refold.api.embedded import jars, ports, servers, unprivileged
from refold.api.embedded.belonging import Mark
from refold.api.embedded.errors import DataInUse, DownloadFailed, EmbeddedFailed, NoPermission
from refold.api.embedded.processes import ServerProcess, recorded_process
from refold.api.embedded.removal import passing_data
from refold.api.embedded.servers import own
from refold.api.embedded.unprivileged import recorded_home

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)", "this-server"]


def server(folder: Path) -> ServerProcess:
    return ServerProcess(folder, folder / "log", lambda: Mark(folder, lambda words: "this-server" in words))


def launched(process: ServerProcess, cwd: Path, command: list[str] = SLEEP) -> ServerProcess:
    """Launch, and wait for the kernel: a program that has just begun shows no command line for a moment."""
    process.launch(command, cwd=cwd)
    assert process.pid is not None
    while not psutil.Process(process.pid).cmdline():
        pass
    return process


def test_ports_are_kept_while_they_are_free(tmp_path: Path) -> None:
    first = ports.kept_ports(tmp_path, ("a", "b"))
    assert ports.kept_ports(tmp_path, ("a", "b")) == first
    assert first["a"] != first["b"]


def test_a_taken_port_is_replaced(tmp_path: Path) -> None:
    first = ports.kept_ports(tmp_path, ("a",))
    with socket.create_server((ports.HOST, first["a"])):
        assert ports.kept_ports(tmp_path, ("a",)) != first


def test_a_process_is_found_again_and_stopped(tmp_path: Path) -> None:
    first = launched(server(tmp_path), tmp_path)
    second = server(tmp_path)
    assert second.adopt()
    assert second.pid == first.pid
    first.stop(signal.SIGTERM, 5)
    assert not second.alive()
    assert not second.adopt()


def test_a_process_that_ignores_the_polite_signal_is_killed(tmp_path: Path) -> None:
    process = server(tmp_path)
    process.launch(["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"], cwd=tmp_path)
    while "up" not in (tmp_path / "log").read_text():
        pass
    process.stop(signal.SIGTERM, 0.3)
    assert not process.alive()


def test_a_reused_pid_is_never_taken_for_the_server(tmp_path: Path) -> None:
    record = tmp_path / "pid.json"
    record.write_text(json.dumps({"pid": os.getpid(), "started": 1.0}))
    assert recorded_process(record) is None


@pytest.mark.parametrize(
    "record", [None, "", '{"pid": 1', "[7]", '{"pid": "x", "started": 1}', "[" * 5000, "of another program"]
)
def test_a_server_whose_record_is_lost_is_found_by_what_it_runs_and_where(tmp_path: Path, record: str | None) -> None:
    first, path = launched(server(tmp_path), tmp_path), tmp_path / "pid.json"
    path.unlink()
    if record == "of another program":
        record = json.dumps({"pid": os.getpid(), "started": psutil.Process().create_time()})
    if record is not None:
        path.write_text(record)
    second = server(tmp_path)
    assert second.adopt()
    assert second.pid == first.pid
    first.stop(signal.SIGTERM, 5)
    assert not second.adopt()


def test_the_same_program_of_another_folder_and_another_program_of_this_one_are_left_alone(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    other_folder, other_program = launched(server(there), there), launched(server(here), here, SLEEP[:-1])
    ours = server(here)
    assert not ours.adopt()
    ours.stop(signal.SIGTERM, 1)
    assert other_folder.alive()
    assert other_program.alive()
    for process in (other_folder, other_program):
        process.stop(signal.SIGTERM, 5)


def test_a_server_of_a_folder_that_was_deleted_and_made_again_is_not_of_this_one(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    old = launched(server(folder), folder)
    shutil.rmtree(folder)
    folder.mkdir()
    assert not server(folder).adopt()
    old.stop(signal.SIGTERM, 5)


def test_a_folder_that_was_moved_keeps_its_server(tmp_path: Path) -> None:
    folder, moved = tmp_path / "data", tmp_path / "moved"
    folder.mkdir()
    first = launched(server(folder), folder)
    (folder / "pid.json").unlink()
    folder.rename(moved)
    found = server(moved)
    assert found.adopt()
    first.stop(signal.SIGTERM, 5)
    assert not found.alive()


def test_the_last_words_are_the_telling_line(tmp_path: Path) -> None:
    process = server(tmp_path)
    (tmp_path / "log").write_text("ERROR of an earlier run\n")
    process.launch(["sh", "-c", "echo starting; echo FATAL: no room; echo bye"], cwd=tmp_path)
    process._wait(60)
    assert process.last_words() == "FATAL: no room"


def test_the_folder_has_one_owner_and_its_death_frees_it(tmp_path: Path) -> None:
    program = (
        f"from pathlib import Path; from refold.api.embedded.servers import own; own_ = own(Path({str(tmp_path)!r}))"
    )
    program += "; print('owned', flush=True); import time; time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"owned\n"
        with pytest.raises(DataInUse, match=f"Another process \\({other.pid}\\) runs the servers"):
            servers.own(tmp_path)
        other.kill()
    servers.own(tmp_path).close()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NoPermission, match="cannot be written"):
        servers.own(tmp_path / "file" / "data")


def test_a_full_disk_is_refused_before_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "FREE_BYTES", 10**18)
    with pytest.raises(EmbeddedFailed, match="MB left"):
        servers.require_space(tmp_path)


def test_the_list_of_jars_is_whole_and_pinned() -> None:
    listed = jars.listed_jars()
    assert len({jar.filename for jar in listed}) == len(listed) == 46
    assert all(len(jar.sha256) == 64 for jar in listed)
    assert f"kafka_2.13-{jars.VERSION}.jar" in {jar.filename for jar in listed}


def jar_of(content: bytes) -> jars.Jar:
    return jars.Jar(hashlib.sha256(content).hexdigest(), "org.example", "thing", "1")


class Maven:
    """Stands for jgo's context: every artifact is one file with this content."""

    def __init__(self, folder: Path, content: bytes) -> None:
        self._file = folder / "fetched"
        self._content = content
        self.asked = 0

    def project(self, *_: str) -> "Maven":
        return self

    at_version = artifact = project

    def resolve(self) -> Path:
        self.asked += 1
        self._file.write_bytes(self._content)
        return self._file


def fetch_from(maven: Maven, jar: jars.Jar, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars, "_maven", lambda _: maven)
    jars.fetch_missing(folder, [jar], lambda _: None)


def test_a_jar_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maven, folder = Maven(tmp_path, b"good"), tmp_path / "cache"
    for _ in range(2):
        fetch_from(maven, jar_of(b"good"), folder, monkeypatch)
    assert maven.asked == 1
    assert (folder / "thing-1.jar").read_bytes() == b"good"


def test_a_damaged_jar_in_the_cache_is_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "thing-1.jar").write_bytes(b"half")
    fetch_from(Maven(tmp_path, b"good"), jar_of(b"good"), folder, monkeypatch)
    assert (folder / "thing-1.jar").read_bytes() == b"good"


def test_a_jar_with_another_hash_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cache"
    with pytest.raises(DownloadFailed, match="another SHA-256"):
        fetch_from(Maven(tmp_path, b"bad"), jar_of(b"good"), folder, monkeypatch)
    assert not (folder / "thing-1.jar").exists()


def test_a_failed_download_is_one_sentence_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Offline(Maven):
        def resolve(self) -> Path:
            raise RuntimeError("no route\nto host")

    with pytest.raises(DownloadFailed, match="could not be fetched: no route") as caught:
        fetch_from(Offline(tmp_path, b""), jar_of(b"good"), tmp_path / "cache", monkeypatch)
    assert "\n" not in caught.value.message
    assert caught.value.remedy


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user")
def test_as_root_the_home_is_reachable_and_no_existing_mode_changes(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    account = unprivileged.account_for_postgres()
    assert account
    home = unprivileged.home_for(closed, account)
    try:
        assert closed not in home.parents
        assert home.stat().st_uid == account.uid
        assert closed.stat().st_mode & 0o777 == 0o700
        assert unprivileged.home_for(closed, account) == home
    finally:
        home.rmdir()


def test_as_an_ordinary_user_the_home_is_inside(tmp_path: Path) -> None:
    assert unprivileged.home_for(tmp_path, None) == tmp_path / "home"


@pytest.mark.parametrize("record", [b"", b"\xff\xfe\x00", b"refold-postgres-gone"])
def test_a_record_of_a_home_that_is_damaged_or_of_one_that_is_gone_is_none(tmp_path: Path, record: bytes) -> None:
    (tmp_path / "home.path").write_bytes(record)
    assert recorded_home(tmp_path) is None


def test_an_abandoned_folder_is_removed_and_one_that_begins_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    abandoned, begins = tmp_path / "passing-1", tmp_path / "passing-2"
    with own(abandoned):
        begins.mkdir()
        with passing_data("passing-") as data:
            assert {abandoned, begins, data} == set(tmp_path.iterdir()), "its owner lives"
    with passing_data("passing-") as data:
        assert {begins, data} == set(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == [begins]
