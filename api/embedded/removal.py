"""Removes the data folders that embedded servers of tests and finished runs left."""

import shutil
from contextlib import suppress
from pathlib import Path

from refold.api.embedded.errors import DataInUse
from refold.api.embedded.kafka import KafkaServer
from refold.api.embedded.postgres import PostgresServer
from refold.api.embedded.servers import own
from refold.api.embedded.unprivileged import recorded_home


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
    """Remove every data folder with this prefix whose owner is gone."""
    for data in room.glob(f"{prefix}*"):
        with suppress(OSError):
            remove_data(data)
