"""The records of embedded servers on a disk that is really full: a small tmpfs in a namespace of its own."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from refold.streams.private_files import write_private

FILL = """
import errno
import sys
from pathlib import Path
from refold.api.embedded.belonging import Mark
from refold.api.embedded.processes import ServerProcess
from refold.streams.private_files import write_private
from refold.api.embedded.servers import own
from refold.api.embedded.errors import EmbeddedFailed

disk = Path(sys.argv[1])
(disk / "log").touch()
write_private(disk / "pid.json", "the old record")
(disk / "servers.lock").touch()
with open(disk / "ballast", "wb", buffering=0) as ballast:
    try:
        while True:
            ballast.write(bytes(4096))
    except OSError as error:
        assert error.errno == errno.ENOSPC
"""


def on_a_full_disk(folder: Path, program: str, size: str = "256k", seconds: float = 100) -> str:
    """Run the program after FILL, on a tmpfs mounted at the folder; what it printed."""
    unshare = shutil.which("unshare")
    probe = f"mount -t tmpfs -o size={size} none {folder}"
    if (
        unshare is None
        or subprocess.run([unshare, "-rm", "sh", "-c", probe], capture_output=True, check=False).returncode
    ):
        pytest.skip("no small disk of its own: this user may not mount a tmpfs with `unshare -rm`")
    command = f'{probe} && exec "$@"'
    script = [unshare, "-rm", "sh", "-c", command, "sh", sys.executable, "-c", FILL + program, str(folder)]
    done = subprocess.run(script, capture_output=True, text=True, check=False, timeout=seconds)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_record_that_does_not_fit_leaves_the_old_one_whole_and_nothing_beside_it(tmp_path: Path) -> None:
    program = """
try:
    write_private(disk / "pid.json", "x" * 100_000)
except OSError as error:
    print(error.errno == errno.ENOSPC, (disk / "pid.json").read_text(), sorted(p.name for p in disk.iterdir()))
"""
    assert on_a_full_disk(tmp_path, program) == ("True the old record ['ballast', 'log', 'pid.json', 'servers.lock']")


def test_a_server_that_cannot_be_recorded_is_stopped_again_and_says_why(tmp_path: Path) -> None:
    program = """
process = ServerProcess(disk, disk / "log", lambda: Mark(disk, lambda words: False))
try:
    process.launch([sys.executable, "-c", "import time; time.sleep(60)"], cwd=disk)
except EmbeddedFailed as problem:
    print(process.alive(), problem.message)
"""
    said = on_a_full_disk(tmp_path, program)
    assert said.startswith("False The server was started and stopped again: ")
    assert said.endswith("pid.json cannot be written (No space left on device).")


def test_the_folder_is_owned_though_its_lock_cannot_be_signed(tmp_path: Path) -> None:
    assert on_a_full_disk(tmp_path, "print(own(disk).fileno() > 0)") == "True"


def test_a_record_is_private_and_whole(tmp_path: Path) -> None:
    write_private(tmp_path / "pid.json", json.dumps({"pid": 1}))
    assert json.loads((tmp_path / "pid.json").read_text()) == {"pid": 1}
    assert (tmp_path / "pid.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["pid.json"]
