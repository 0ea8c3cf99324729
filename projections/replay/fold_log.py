"""Folds the log into a target: one thread reads, one decodes, one folds."""

import sys
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from refold.projections.replay.builder import AHEAD, Progress, Target
from refold.projections.replay.decoding import Prepared
from refold.projections.replay.source import Source
from refold.streams.chunk import Chunk, Place

BATCH_RECORDS = 80_000
BATCH_BYTES = 24 << 20
"""Bytes of records in a batch, of which about four are in memory at once."""
_SWITCH_S = 0.0005
"""Seconds before a thread yields Python's lock.

Polars makes the folding thread wait for it hundreds of times a batch, which would otherwise take 5 ms each.
"""


def fold_log(
    source: Source,
    target: Target,
    upto: Mapping[Place, int],
    progress: Progress,
    ahead: Callable[[], int] = lambda: AHEAD,
    *,
    to_finish: bool = False,
) -> None:
    """Read, decode and fold the log up to given positions, all three at once; flush at the end.

    `to_finish`: leave the last flush to the builder's `finish`, which the caller calls.
    """
    fold_while(lambda: True, source, target, upto, progress, ahead)
    if not to_finish:
        target.flush()


def fold_while(
    go_on: Callable[[], bool],
    source: Source,
    target: Target,
    upto: Mapping[Place, int],
    progress: Progress,
    ahead: Callable[[], int] = lambda: AHEAD,
) -> None:
    """`fold_log` without a flush at the end; it also ends before a batch where `go_on` says no."""
    whole = source.left(upto)
    done = 0
    sys.setswitchinterval(_SWITCH_S)
    pending: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1, "decode") as decoding, ThreadPoolExecutor(1, "fold") as folding:
        while source.left(upto) and go_on():
            chunks = batch(source, upto)
            prepared = decoding.submit(target.prepare, chunks)
            pending.append(folding.submit(_add, target, prepared))
            while len(pending) > ahead():
                pending.popleft().result()
            done += sum(len(chunk.values) for chunk in chunks)
            progress(done, whole)
        for rest in pending:
            rest.result()


def _add(target: Target, prepared: Future[Prepared]) -> None:
    target.add(prepared.result())


def batch(source: Source, upto: Mapping[Place, int]) -> list[Chunk]:
    """About BATCH_RECORDS records or as many as the source says, or BATCH_BYTES if they are large; one chunk for each place."""
    found: dict[Place, Chunk] = {}
    records, size, most = 0, 0, source.batch_records or BATCH_RECORDS
    while records < most and size < BATCH_BYTES and source.left(upto):
        for chunk in source.read(upto, 0.5):
            found[chunk.place] = found[chunk.place].then(chunk) if chunk.place in found else chunk
            records += len(chunk.values)
            size += chunk.size
    return list(found.values())
