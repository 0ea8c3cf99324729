"""The rows of a read model after some events, folded in every way in which the platform may fold them."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from refold.projections import View
from refold.projections.declaring.declaration import Entity, Evolve, Model, handled
from refold.projections.tables.layout import layout_of
from refold.testing.folding import Fold, Waits
from refold.testing.happening import Happened, records_of
from refold.testing.purity import Impure, pure
from refold.testing.row_list import RowList


def rows(model: Model | View, happened: Iterable[Happened]) -> list[dict[str, Any]]:
    """The rows that analysts see, sorted by key: `rows(READERS, [event_at("c-1", "2026-01-31T10:00Z", Lent(…))])`.

    Events are in the log's order; each stream counts its versions. The rows are folded by columns, event by event, cut at
    several places and stream by stream. Raises AssertionError where two ways differ and where an event would make its stream
    wait, Impure for an impure `evolve`, BadValue for an event that breaks its contract, and TypeError for an event that no
    column reads, and for a view: views are SQL, so they need Postgres.
    """
    if isinstance(model, View):
        raise TypeError(f"{model.name} is a view in SQL: test the read models that it reads, and the view on Postgres")
    categories = tuple(dict.fromkeys(kind.category for kind in handled(model)))
    impure: list[Impure] = []
    ways = Fold.of(_watched(model, impure)).ways(records_of(categories, happened))
    try:
        _, first = next(ways)
    except Waits:
        if impure:
            raise impure[0] from None
        raise
    for words, found in ways:
        assert found == first, f"{model.name}: other rows if its events are folded {words}"
    return RowList(layout_of(model).key_names, first)


def _watched(model: Model, impure: list[Impure]) -> Model:
    """The model with an `evolve` that is watched. The fold takes what `evolve` raises for the event's fault, so it is noted."""
    if not isinstance(model, Entity) or model.evolve is None:
        return model
    evolve = model.evolve
    asked = pure(evolve.fold)

    def fold(state: Any, event: Any) -> Any:
        try:
            return asked(state, event)
        except Impure as found:
            impure.append(found)
            raise

    return replace(model, evolve=Evolve(evolve.state, fold, evolve.docs))
