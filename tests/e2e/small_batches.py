"""A replay command whose log takes long: `python -m tests.e2e.small_batches rebuild …` folds and flushes a few records at a time."""

import sys
import time
from collections.abc import Mapping

from refold.api.cli.app import main
from refold.projections.replay import builder, building, fold_log, together
from refold.projections.replay.source import Source
from refold.streams.chunk import Chunk, Place

_RECORDS = 150
_PAUSE_S = 0.3


def slow_batch(source: Source, upto: Mapping[Place, int]) -> list[Chunk]:
    time.sleep(_PAUSE_S)
    return _batch(source, upto)


_batch = fold_log.batch
fold_log.batch = slow_batch
fold_log.BATCH_RECORDS = building.READ_RECORDS = vars(together)["READ_RECORDS"] = _RECORDS
builder.FLUSH_S = together._LOOK_S = 0.5

if __name__ == "__main__":
    main(["replay", *sys.argv[1:]])
