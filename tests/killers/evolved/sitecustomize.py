"""On PYTHONPATH every Python process knows one more read model of retail, whose `evolve` ends the process on one text, and never ends on another."""

import os

import msgspec

from refold.projections.declaring.declaration import Entity, Evolve
from refold.retail import projections
from refold.retail.schemas.basket import BASKET, BasketOpened
from refold.schemas.contracts import Event


class Visit(msgspec.Struct, frozen=True):
    household: str | None = None
    openings: int = 0


def fold_visit(visit: Visit | None, event: Event) -> Visit:
    visit = visit or Visit()
    if not isinstance(event, BasketOpened):
        return visit
    if event.household_id == "kills-evolve":
        os._exit(139)
    while event.household_id == "loops-in-evolve":
        pass
    return Visit(event.household_id, visit.openings + 1)


VISITS = Entity(
    name="visits",
    domain="retail",
    description="Who opened a basket, and how often.",
    category=BASKET,
    key_name="basket_id",
    key_doc="Number on the receipt.",
    evolve=Evolve(Visit, fold_visit, {"household": "Who.", "openings": "How often."}),
)
projections.READ_MODELS = (*projections.READ_MODELS, VISITS)  # type: ignore[assignment]  # one more than there are
