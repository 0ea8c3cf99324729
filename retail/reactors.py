"""The reactors of the reference domain: a paid basket earns its household points."""

from collections.abc import Sequence

import msgspec

from refold.reactors import Reactor, Seen
from refold.retail.schemas.basket import BASKET, BasketOpened, BasketPaid
from refold.retail.schemas.household import AwardPoints
from refold.schemas import is_stream_id


class Shopper(msgspec.Struct, frozen=True):
    """The household of a basket. Only the event that opens it names the household."""

    household_id: str | None = None


def evolve(shopper: Shopper, event: BasketOpened | BasketPaid) -> Shopper:
    """A basket is opened once, so its household never changes."""
    return Shopper(event.household_id) if isinstance(event, BasketOpened) else shopper


def react(event: BasketOpened | BasketPaid, shopper: Shopper, seen: Seen) -> Sequence[AwardPoints]:
    """One point for each whole unit of currency of a paid basket; nothing without a card or below one unit."""
    if not isinstance(event, BasketPaid) or shopper.household_id is None or not is_stream_id(shopper.household_id):
        return ()
    points = int(event.total)
    if points < 1:
        return ()
    return (AwardPoints(household_id=shopper.household_id, basket_id=seen.stream, points=points),)


REACTORS = (Reactor("points", BASKET, (BasketOpened, BasketPaid), react, Shopper(), evolve),)
