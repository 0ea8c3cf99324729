"""Decodes batches of the log for builds: the events that count, and of these the ones that a command chooses."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from refold.projections.declaring.declaration import EventType
from refold.projections.live.limits import limits
from refold.projections.partials.batch import ALL_BUILDS, Batch, Counted, Park, batch_of, by_category, counted_events
from refold.projections.replay.sampling import Sample
from refold.projections.tables.builds import GROUP
from refold.schemas.columns.decoder import ColumnDecoder
from refold.streams.chunk import Chunk, Place
from refold.streams.core.limits import Voids
from refold.streams.postgres import set_aside
from refold.streams.postgres.connection import Database

Choice = Callable[[Counted], Counted]


@dataclass(frozen=True)
class Prepared:
    """Decoded events of chunks, by category, and the position after them in each place."""

    position: Mapping[Place, int]
    counted: Mapping[str, tuple[Batch, Counted]]
    then: "Prepared | None" = None
    """The next part, if the guard had the chunks decoded in parts."""


class Decoding:
    """Decodes consecutive batches, and remembers the streams that they park."""

    def __init__(
        self,
        db: Database,
        prefix: str,
        decoder: ColumnDecoder,
        types: Mapping[str, Sequence[EventType]],
        parked: Iterable[Park] = (),
        choices: Sequence[Choice] = (),
    ) -> None:
        """`db` only serves reads while the log is folded; rows are written through another connection at the same time.

        `parked`: by this decoding before a kill. `choices`: each leaves out some of the events that count.

        `sample`, which may be set: only its streams are decoded; chunks need keys then.
        """
        self.db, self._prefix, self._decoder, self._types = db, prefix, decoder, types
        self._parked = {(park.category, park.stream): park for park in parked}
        self.sample: Sample | None = None
        self._choices, self._aside = choices, set_aside.load(db, [GROUP])  # the live fold skips what is aside

    def prepare(self, chunks: Sequence[Chunk]) -> Prepared:
        """Decode chunks, all of which lie before the core's position."""
        chunks = [set_aside.masked(chunk, self._aside) for chunk in chunks]
        allowed = limits(self.db, chunks)
        self.remember(park for park in allowed.parked if park.build == ALL_BUILDS)
        found = {
            category: self._counted(batch_of(category, of_it), allowed.voids)
            for category, of_it in by_category(self._prefix, chunks).items()
        }
        return Prepared({chunk.place: chunk.end for chunk in chunks}, found)

    def _counted(self, batch: Batch, voids: Voids) -> tuple[Batch, Counted]:
        types = self._types[batch.category]
        chosen = None if self.sample is None else self.sample.of(chunk.keys or () for chunk in batch.chunks)
        counted = counted_events(self._decoder, types, batch, voids, list(self._parked.values()), chosen)
        self.remember(counted.parks)
        for choice in self._choices:
            counted = choice(counted)
        return batch, counted

    def remember(self, parks: Iterable[Park]) -> None:
        """Leave the streams out from where they are parked."""
        for park in parks:
            self._parked[park.category, park.stream] = park
