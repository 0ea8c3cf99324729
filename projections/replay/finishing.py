"""Finishes builds after the last record: rows, positions and keys, one transaction for each table, several tables at once."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue

from refold.projections.replay.staging import Staging
from refold.streams.chunk import Place
from refold.streams.failpoints import failpoint
from refold.streams.postgres import positions
from refold.streams.postgres.connection import Database


@contextmanager
def finishing(
    staged: Sequence[Staging], connections: Collection[Database], position: Mapping[Place, int]
) -> Iterator[Callable[[Staging], None]]:
    """Finish tables, one through each connection at a time, the largest first; gives the step that waits for one."""
    free = SimpleQueue[Database]()
    for db in connections:
        free.put(db)
    largest_first = sorted(staged, key=lambda staging: -staging.size)
    with ThreadPoolExecutor(len(connections), "finish") as pool:
        done = {one.build.number: pool.submit(_finish, one, free, position) for one in largest_first}
        yield lambda staging: done[staging.build.number].result()


def _finish(staging: Staging, free: SimpleQueue[Database], position: Mapping[Place, int]) -> None:
    db = free.get()
    try:
        with db.transaction():
            staging.flush(db)
            positions.put(db, staging.build.group, position)
            failpoint("replay.within-flush")
            staging.finish(db)
    finally:
        free.put(db)
