"""Forged claims and voidings in the simulation, and the operator who voids them."""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from refold.schemas.codec import encode_claim, encode_voiding
from refold.schemas.meta import LAST_EPOCH, RULES, Claim, Voiding
from refold.streams.rules.claims_past import Controls, claims_past
from refold.streams.rules.judge import FAR_EPOCH
from tests.simulation.world import World

_FORGED_AT = datetime(2026, 1, 1, tzinfo=UTC)


class Outsiders:
    """Whoever writes to the log without being a handler."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world, self._rng = world, rng
        for value in out_of_reach(rng) if rng.random() < 0.3 else []:
            world.land(value)
        self._means_to_void = rng.random() < 0.3

    def moves(self) -> Sequence[tuple[str, Callable[[], object]]]:
        """An operator's, where a claim has to be taken out; and a forger's who voids it first, with the least epoch."""
        record = _operators(self._rng, self._world.controls())
        voids: list[tuple[str, Callable[[], object]]] = []
        if self._means_to_void and self._world.reference[-1].epoch >= FAR_EPOCH:
            voids = [("forger voids", self._void_first)] * 2
        return voids if record is None else [*voids, ("operator voids", partial(self._void, record))]

    def faults(self) -> Sequence[tuple[str, Callable[[], object]]]:
        """What a forger does."""
        return [("forged claim", self._forge), ("forged voiding", self._forge_voiding)]

    def _forge(self) -> None:
        """A claim of nobody; sometimes with a voiding that names it, or half of it."""
        self._world.land(_forged_claim(self._rng, self._world.reference[-1].epoch))
        if self._rng.random() < 0.5:
            self._forge_voiding()

    def _forge_voiding(self) -> None:
        self._world.land(_forged_voiding(self._rng, self._world.controls()))

    def _void_first(self) -> None:
        """Handlers whose claims landed since are passed over, and the tables may never show them an epoch like theirs."""
        self._world.land(_voiding(self._rng, 0, UUID(int=0), 0))
        self._means_to_void = False

    def _void(self, record: bytes) -> None:
        """The record lands; some do it twice, at once or much later."""
        self._world.land(record)
        again = self._rng.random()
        if again < 0.1:
            self._world.land(record)
        elif again < 0.3:
            self._world.late.append(record)


def _forged_claim(rng: random.Random, epoch: int) -> bytes:
    """A claim that no handler wrote, on a partition at this epoch: a takeover by nobody, one far beyond, or one of newer rules."""
    rules = rng.choice((1, RULES, RULES + 1)) if epoch else RULES
    ahead = 1 if rules > RULES else rng.choice((1, 2, 999, 1000, 1001, 10**6, LAST_EPOCH - epoch))
    return _forged(rng, min(epoch + ahead, LAST_EPOCH), rules)


def out_of_reach(rng: random.Random) -> list[bytes]:
    """The past of a partition that stood under rules 1: claims of old, and one that was forged to leave no epochs for others."""
    far = rng.choice((FAR_EPOCH - 1, FAR_EPOCH, *[LAST_EPOCH - 10] * 3, LAST_EPOCH))
    return [_forged(rng, epoch, 1) for epoch in (*range(1, rng.randint(1, 3)), far)]


def _forged(rng: random.Random, epoch: int, rules: int) -> bytes:
    writer = UUID(int=rng.getrandbits(128), version=4)
    return encode_claim(Claim(writer=writer, epoch=epoch, rules=rules, claimed_at=_FORGED_AT, host="forger"))


def _operators(rng: random.Random, controls: Controls) -> bytes | None:
    """What an operator appends who takes a claim out; None where no claim needs it."""
    ways = claims_past(controls).ways()
    if not ways:
        return None
    way = rng.choice(ways)
    return _voiding(rng, way.counted.offset, way.counted.claim.writer, way.epoch)


def _forged_voiding(rng: random.Random, controls: Controls) -> bytes:
    """A voiding that no operator wrote: of half a claim's name, or all of it; its epoch may lie below any that counted before."""
    past = claims_past(controls)
    claims = [(at, record.writer) for at, record in controls if isinstance(record, Claim)] or [(0, UUID(int=0))]
    offset, writer = (past.newer.offset, past.newer.claim.writer) if past.newer else rng.choice(claims)
    match rng.randrange(3):
        case 0:
            offset = rng.randrange(offset + 2)
        case 1:
            writer = UUID(int=rng.getrandbits(128), version=4)
    least = next((way.epoch for way in past.ways() if way.epoch is not None), 0)
    epoch = rng.choice((None, None, 0, least, least + 1, FAR_EPOCH - 1, FAR_EPOCH, -1))
    return _voiding(rng, offset, writer, None if past.newer else epoch)


def _voiding(rng: random.Random, offset: int, writer: UUID, epoch: int | None) -> bytes:
    voiding_id = UUID(int=rng.getrandbits(128), version=4)
    return encode_voiding(
        Voiding(
            voiding_id=voiding_id,
            writer=writer,
            offset=offset,
            epoch=epoch,
            voided_at=_FORGED_AT,
            operator="ops",
            host="test",
            reason="forged",
        )
    )
