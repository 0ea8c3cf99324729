"""Data folders of embedded servers that nobody keeps: one for as long as a block runs, and the removal of those that are left."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from refold.api.embedded.errors import DataInUse
from refold.api.embedded.kafka import KafkaServer
from refold.api.embedded.postgres import PostgresServer
from refold.api.embedded.servers import LOCK, own
from refold.api.embedded.unprivileged import recorded_home


@contextmanager
def passing_data(prefix: str) -> Iterator[Path]:
    """A data folder until the block ends. Those of this prefix that killed processes left are removed before."""
    room = Path(tempfile.gettempdir())
    remove_abandoned(room, prefix)
    data = Path(tempfile.mkdtemp(prefix=prefix, dir=room))
    data.chmod(0o755)  # Postgres may run as another user
    try:
        yield data
    finally:
        remove_data(data)


def remove_data(data: Path) -> bool:
    """Stop orphaned servers of this folder and delete it with Postgres's own folder.

    Returns False if its owner lives.
    """
    try:
        lock = own(data)
    except DataInUse:
        return False
    with lock:
        for server in (KafkaServer(data), PostgresServer(data)):
            if server.process.adopt():
                server.stop()
        home = recorded_home(data / "postgres")
        if home:
            shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(data, ignore_errors=True)
    return True


def remove_abandoned(room: Path, prefix: str) -> None:
    """Remove every data folder with this prefix whose owner is gone. One that had no owner yet is of a process that begins."""
    for data in room.glob(f"{prefix}*"):
        if not (data / LOCK).exists():
            continue
        with suppress(OSError):
            remove_data(data)
