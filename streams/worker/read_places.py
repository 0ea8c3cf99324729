"""The states of a reader's places. Pure but for its lock; the reading thread carries out what it says.

    assigned ──► HELD_BACK ──seek──► READING ◄──resume── PAUSED
        └─────────────────────────────►│ └─────pause──────►│
    revoked: from any state, the place is gone, and with it a seek that was asked for.

Lock discipline: every field is read and written under the lock; no method calls out while it is held. Lanes ask
(`seek`, `pause`, `resume`); only the reading thread tells what happened (`assigned`, `revoked`, `stamped`, `sought`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from threading import Lock

from refold.streams.chunk import Chunk, Place
from refold.streams.kafka.messages import follow


class ReadState(Enum):
    """The state of one place."""

    HELD_BACK = "held back: assigned, and a seek will say where to read"
    READING = "reading"
    PAUSED = "paused: its fold has no room"


@dataclass(frozen=True)
class Seek:
    """An offset to read on from, and the generation of the chunks read from there."""

    offset: int
    generation: int


@dataclass
class ReadPlace:
    """One place. `offset`: is read next. `wanted`: a seek not carried out yet. `asked`: a state that its fold wants."""

    offset: int
    generation: int
    assignment: int
    state: ReadState
    wanted: Seek | None = None
    asked: ReadState | None = None


class ReadPlaces:
    """All places of one reader."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._places: dict[Place, ReadPlace] = {}
        self._revoked: set[Place] = set()
        self._generation = 0

    def ours(self) -> list[Place]:
        """The places that are assigned now, sorted."""
        with self._lock:
            return sorted(self._places)

    def assignments(self) -> dict[Place, int]:
        """Our places, each with a number that changes with every new assignment of the place to this process."""
        with self._lock:
            return {place: at.assignment for place, at in self._places.items()}

    def is_current(self, chunk: Chunk) -> bool:
        """Whether the chunk's place is still ours, and the chunk was read after the newest seek of the place."""
        with self._lock:
            at = self._places.get(chunk.place)
            return at is not None and chunk.generation == (at.wanted.generation if at.wanted else at.generation)

    def position(self, place: Place) -> int | None:
        """The offset that is read next, or None if the place is not ours."""
        with self._lock:
            at = self._places.get(place)
            return None if at is None else at.wanted.offset if at.wanted else at.offset

    def offsets(self) -> dict[Place, int]:
        """The offset after the last record read, of each place."""
        with self._lock:
            return {place: at.offset for place, at in self._places.items()}

    def seek(self, place: Place, offset: int) -> int:
        """Read on from `offset`, even if paused. Chunks older than the returned generation are no longer current."""
        with self._lock:
            return self._seek(place, offset)

    def pause(self, place: Place) -> None:
        """Read nothing more of the place until `resume`."""
        self._ask(place, ReadState.PAUSED)

    def resume(self, place: Place) -> None:
        """Go on reading the place."""
        self._ask(place, ReadState.READING)

    def assigned(self, starts: Mapping[Place, int | None]) -> None:
        """Note newly assigned places with the offsets to read from; None if a later seek will say."""
        with self._lock:
            for place, offset in starts.items():
                self._generation += 1
                state = ReadState.HELD_BACK if offset is None else ReadState.READING
                self._places[place] = ReadPlace(offset or 0, self._generation, self._generation, state)

    def revoked(self, places: Iterable[Place]) -> None:
        """Note that the places are no longer ours."""
        with self._lock:
            for place in places:
                self._places.pop(place, None)
                self._revoked.add(place)

    def begin_read(self) -> None:
        """Begin a read: places revoked from now on were not ours during all of it, even if they are assigned again."""
        with self._lock:
            self._revoked.clear()

    def stamped(self, chunk: Chunk) -> Chunk | None:
        """The chunk with its generation, or None if it must be dropped or read again. Raises LogHole.

        It is dropped if its place is not ours or is held back, and read again if its place was revoked and given back
        during this read.
        """
        with self._lock:
            at = self._places.get(chunk.place)
            if at is None or at.state is ReadState.HELD_BACK:
                return None
            if chunk.place in self._revoked:
                self._seek(chunk.place, at.offset)
                return None
            follow(chunk, at.offset)
            at.offset = chunk.end
            return replace(chunk, generation=at.generation)

    def seeks(self) -> dict[Place, Seek]:
        """Seeks that are not carried out yet."""
        with self._lock:
            return {place: at.wanted for place, at in self._places.items() if at.wanted is not None}

    def sought(self, place: Place, seek: Seek) -> None:
        """Note that a seek was carried out: the place is read from there, whatever its state was."""
        with self._lock:
            at = self._places.get(place)
            if at is None:
                return
            at.offset, at.generation, at.state = seek.offset, seek.generation, ReadState.READING
            if at.wanted == seek:
                at.wanted = None

    def changes(self) -> dict[Place, ReadState]:
        """States that folds asked for, each returned once; the reading thread sets them. Only a seek ends HELD_BACK."""
        with self._lock:
            found = dict[Place, ReadState]()
            for place, at in self._places.items():
                asked, at.asked = at.asked, None
                if asked is not None and at.state is not ReadState.HELD_BACK:
                    found[place] = at.state = asked
            return found

    def is_paused(self, place: Place) -> bool:
        """Whether the place's fold has no room."""
        with self._lock:
            at = self._places.get(place)
            return at is not None and at.state is ReadState.PAUSED

    def _seek(self, place: Place, offset: int) -> int:
        self._generation += 1
        at = self._places.get(place)
        if at is not None:
            at.asked, at.wanted = None, Seek(offset, self._generation)
        return self._generation

    def _ask(self, place: Place, state: ReadState) -> None:
        with self._lock:
            at = self._places.get(place)
            if at is not None:
                at.asked = state
