"""Guards a build's decoding: the next run of a command finds and skips a record that killed it, as live models do."""

from collections.abc import Sequence
from dataclasses import replace

from refold.projections.replay.builder import Target
from refold.projections.replay.decoding import Prepared
from refold.streams.chunk import Chunk, Place
from refold.streams.guard.guard import Guard


class GuardedTarget:
    """A target, and the guard around its decoding."""

    def __init__(self, target: Target, guard: Guard) -> None:
        self._target, self._guard = target, guard

    def prepare(self, chunks: Sequence[Chunk]) -> Prepared:
        """Prepare the chunks, in as many parts as the guard divides them into."""
        parts: list[Prepared] = []

        def decode(some: Sequence[Chunk]) -> dict[Place, int]:
            parts.append(self._target.prepare(some))
            return {chunk.place: chunk.end for chunk in some}

        self._guard.attempt(chunks, decode)
        whole = None
        for part in reversed(parts):
            whole = replace(part, then=whole)
        return whole or self._target.prepare(chunks)

    def add(self, prepared: Prepared) -> None:
        """Add each part after the one before it."""
        part: Prepared | None = prepared
        while part is not None:
            self._target.add(part)
            part = part.then

    def flush(self) -> None:
        """Write what was added."""
        self._target.flush()
