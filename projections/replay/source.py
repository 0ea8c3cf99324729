"""The log as a replay reads it: up to given positions; records that arrive beyond them are kept for later."""

from collections.abc import Mapping

from refold.streams.chunk import Chunk, Place
from refold.streams.kafka.log_reader import LogReader


class Source:
    """A reader and the records that it read too far. `position`: the next offsets to hand out.

    `batch_records`: of a batch that is folded at once; None for as many as is fastest.
    """

    def __init__(
        self,
        servers: str,
        positions: Mapping[Place, int],
        *,
        records: int,
        keys: bool = False,
        stream_keys: bool = False,
        batch_records: int | None = None,
    ) -> None:
        self._reader = LogReader(servers, positions, records=records, keys=keys, stream_keys=stream_keys)
        self._kept: dict[Place, Chunk] = {}
        self.position = dict(positions)
        self.batch_records = batch_records

    def read(self, upto: Mapping[Place, int], seconds: float) -> list[Chunk]:
        """Some records before `upto`, one chunk for each place. Waits up to `seconds` for the first one."""
        found = self._take(upto)
        if not found:
            for chunk in self._reader.poll(seconds):
                before = self._kept.get(chunk.place)
                self._kept[chunk.place] = chunk if before is None else before.then(chunk)
            found = self._take(upto)
        return found

    def seek(self, position: Mapping[Place, int]) -> None:
        """Go on at other positions."""
        for place, at in position.items():
            if self.position[place] != at:
                self._reader.seek(place, at)
                self._kept.pop(place, None)
                self.position[place] = at

    def left(self, upto: Mapping[Place, int]) -> int:
        """Number of records from the position up to `upto`."""
        return sum(max(0, upto.get(place, 0) - at) for place, at in self.position.items())

    def ends(self) -> dict[Place, int]:
        """The log's ends now."""
        return self._reader.ends()

    def close(self) -> None:
        self._reader.close()

    def _take(self, upto: Mapping[Place, int]) -> list[Chunk]:
        """The kept records before `upto`. A chunk without records is dropped."""
        found = []
        for place, chunk in list(self._kept.items()):
            cut = chunk if chunk.end <= upto.get(place, 0) else chunk.upto(upto.get(place, 0))
            if cut.values:
                found.append(cut)
                self.position[place] = cut.end
                del self._kept[place]
                if cut.end < chunk.end:
                    self._kept[place] = chunk.since(cut.end)
        return found
