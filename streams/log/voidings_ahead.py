"""Whether an operator has taken out the claim of newer rules at which a partition stands: the voiding lies further on in the log."""

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
from refold.streams.rules.judge import names

RECORDS = 50_000
_POLL_S = 1.0
_SILENCE_S = 10.0


@dataclass
class _Look:
    """What was seen behind one claim: how far, the voidings of its offset, and when to look again."""

    offset: int
    next: int
    found: list[Voiding] = field(default_factory=list)
    again_at: float = 0.0


class VoidingsAhead:
    """Looks from a claim to the end of its partition, and each 10 s at what has come since. One thread uses it.

    Invariant: no fold passes a claim of newer rules without its voiding, so each that passes it has seen the same.
    """

    def __init__(self, servers: str, *, at_once: int | None) -> None:
        """`at_once`: how many records one look goes through while others wait; None for all."""
        self._servers, self._at_once = servers, at_once
        self._looks: dict[Place, _Look] = {}

    def names(self, place: Place, offset: int, claim: Claim) -> bool:
        """Whether a voiding names the claim at `offset`. False while what lies behind it cannot be read."""
        look = self._looks.get(place)
        if look is None or look.offset != offset:
            look = self._looks[place] = _Look(offset, offset + 1)
        if not _is_named(look, claim) and time.monotonic() >= look.again_at:
            try:
                self._go_on(place, look)
            except (LogRefused, KafkaUnavailable):  # whoever reads these bytes, or waits for Kafka, says so
                look.again_at = time.monotonic() + AGAIN_S
        return _is_named(look, claim)

    def stands_at(self, place: Place) -> int:
        """The offset of the claim that was asked about last."""
        return self._looks[place].offset

    def _go_on(self, place: Place, look: _Look) -> None:
        with closing(LogReader(self._servers, {place: look.next}, records=RECORDS)) as reader:
            end = reader.ends()[place]
            stop = end if self._at_once is None else min(end, look.next + self._at_once)
            for chunk in read_until(reader, place, stop):
                found = (one for _, one in controls(chunk) if isinstance(one, Voiding))
                look.found += [voiding for voiding in found if voiding.offset == look.offset]
                look.next = chunk.end
            if stop == end:
                look.again_at = time.monotonic() + AGAIN_S


def _is_named(look: _Look, claim: Claim) -> bool:
    return any(names(voiding, look.offset, claim) for voiding in look.found)


def read_until(reader: LogReader, place: Place, stop: int) -> Iterator[Chunk]:
    """The chunks of a reader's only place before `stop`, and perhaps some behind it. Raises as `LogReader.poll`, KafkaUnavailable in silence."""
    heard = time.monotonic()
    while reader.next[place] < stop:
        for chunk in reader.poll(_POLL_S):
            heard = time.monotonic()
            yield chunk
        if time.monotonic() - heard > _SILENCE_S:
            raise KafkaUnavailable(f"{place[0]}/{place[1]}: no record for {_SILENCE_S:.0f} s")


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
