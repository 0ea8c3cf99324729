"""Looks for a voiding of the claim of newer rules at which a partition stops: it lies further on in the log."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

from refold.schemas.catalog import CLAIM_WRITER, VOIDING_WRITER
from refold.schemas.codec import read_envelope
from refold.schemas.columns.decoder import read_heads
from refold.schemas.errors import Undecodable
from refold.schemas.meta import Claim, Voiding
from refold.streams.chunk import Chunk, Place
from refold.streams.errors import KafkaUnavailable, LogRefused
from refold.streams.kafka.log_reader import LogReader
from refold.streams.kafka.stopped_places import AGAIN_S
from refold.streams.log.stretch import read_until
from refold.streams.rules.judge import names

RECORDS = 50_000
SILENCE_S = 10.0


@dataclass
class _Look:
    """The search after one claim: how far it came, the voidings of that offset, and the time of the next look."""

    offset: int
    next: int
    found: list[Voiding] = field(default_factory=list)
    again_at: float = 0.0


class VoidingsAhead:
    """Searches from a claim to the end of its partition, and every 10 s in new records. One thread uses it.

    Invariant: no fold passes a claim of newer rules without its voiding, so all that pass it have seen the same one.
    """

    def __init__(self, servers: str, *, at_once: int | None) -> None:
        """`at_once`: most records of one look while other places wait; None for all."""
        self._servers, self._at_once = servers, at_once
        self._looks: dict[Place, _Look] = {}

    def names(self, place: Place, offset: int, claim: Claim) -> bool:
        """Whether a voiding names the claim at `offset`. False while the records after it cannot be read."""
        look = self._looks.get(place)
        if look is None or look.offset != offset:
            look = self._looks[place] = _Look(offset, offset + 1)
        if not _is_named(look, claim) and time.monotonic() >= look.again_at:
            try:
                self._go_on(place, look)
            except (LogRefused, KafkaUnavailable):  # other readers of these bytes, or of Kafka, report it
                look.again_at = time.monotonic() + AGAIN_S
        return _is_named(look, claim)

    def stands_at(self, place: Place) -> int:
        """The offset of the claim that was asked about last."""
        return self._looks[place].offset

    def _go_on(self, place: Place, look: _Look) -> None:
        with closing(LogReader(self._servers, {place: look.next}, records=RECORDS)) as reader:
            end = reader.ends()[place]
            stop = end if self._at_once is None else min(end, look.next + self._at_once)
            for chunk in read_until(reader, {place: stop}, SILENCE_S):
                found = (one for _, one in controls(chunk) if isinstance(one, Voiding))
                look.found += [voiding for voiding in found if voiding.offset == look.offset]
                look.next = chunk.end
            if stop == end:
                look.again_at = time.monotonic() + AGAIN_S


def _is_named(look: _Look, claim: Claim) -> bool:
    return any(names(voiding, look.offset, claim) for voiding in look.found)


def controls(chunk: Chunk) -> Iterator[tuple[int, Claim | Voiding]]:
    """The readable claims and voidings of a chunk, with their offsets, in order."""
    heads = read_heads(chunk.values)
    rows = [row for writer in (CLAIM_WRITER, VOIDING_WRITER) for row in heads.rows_of(writer.id).tolist()]
    for row in sorted(rows):
        try:
            found = read_envelope(chunk.values[row])
        except Undecodable:  # a foreign record
            continue
        if isinstance(found, Claim | Voiding):
            yield chunk.start + row, found
