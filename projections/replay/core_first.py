"""Filling an empty database in one pass: each batch goes through the core's fold, then what it lets pass into the builds."""

from collections.abc import Sequence

from refold.projections.replay.builder import Prepared, Target
from refold.streams.chunk import Chunk, Place
from refold.streams.errors import Lost
from refold.streams.worker.ports import ChunkFold


class CoreFirst:
    """A builder behind the core. A core worker may run too: whoever comes second to a position finds it moved."""

    def __init__(self, core: ChunkFold, builder: Target) -> None:
        self._core, self._builder = core, builder
        self._kept: dict[Place, Chunk] = {}

    def prepare(self, chunks: Sequence[Chunk]) -> Prepared:
        """Let the core fold what follows, as far as groups are whole, and decode what it let pass."""
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
        """What is kept now is the tail of a group that is still open: it belongs to the workers."""
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
                continue  # a core worker was here: look again
