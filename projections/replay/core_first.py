"""Fills an empty database in one pass: the core folds each batch first, then the builds fold what the core let pass."""

from collections.abc import Sequence

from refold.projections.replay.builder import Target
from refold.projections.replay.decoding import Prepared
from refold.streams.chunk import Chunk, Place
from refold.streams.errors import Lost
from refold.streams.worker.ports import ChunkFold


class CoreFirst:
    """A builder after the core.

    A core worker may run too: the second one at a position finds it moved and reads it again.
    """

    def __init__(self, core: ChunkFold, builder: Target) -> None:
        self._core, self._builder = core, builder
        self._kept: dict[Place, Chunk] = {}

    def prepare(self, chunks: Sequence[Chunk]) -> Prepared:
        """Let the core fold the chunks up to the last whole group, and decode what it let pass."""
        for chunk in chunks:
            before = self._kept.get(chunk.place)
            self._kept[chunk.place] = chunk if before is None else before.then(chunk)
        stands = self._advance()
        ready = [cut for cut in (chunk.upto(stands[place]) for place, chunk in self._kept.items()) if cut.values]
        self._kept = {place: chunk.since(stands[place]) for place, chunk in self._kept.items()}
        self._kept = {place: chunk for place, chunk in self._kept.items() if chunk.values}
        return self._builder.prepare(ready)

    def add(self, prepared: Prepared) -> None:
        """Add what was prepared."""
        self._builder.add(prepared)

    def flush(self) -> None:
        """Write what was added. Records still kept belong to an open group, which the workers will finish."""
        if self._kept:
            self.add(self.prepare([]))
        self._builder.flush()

    def _advance(self) -> dict[Place, int]:
        places = sorted(self._kept)
        while True:
            stands = self._core.stored(places)
            offered = [cut for cut in (chunk.since(stands[place]) for place, chunk in self._kept.items()) if cut.values]
            if not offered:
                return stands
            try:
                return stands | self._core.apply(offered)
            except Lost:
                continue  # a core worker was faster: look again
