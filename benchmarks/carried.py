"""Measures values carried within streams: `python -m benchmarks.carried [--streams 100000] [--rounds 3]`. Last line JSON.

One question, answered twice from the same decoded events: what was paid of each officer's fines. A rollup keyed by
`carried(Issued, "officer")`, in the batches and by the engine of a rebuild, and, as the baseline, an entity whose `evolve`
copies the officer into its state. In turns, in memory; medians count. The entity's rows are then added up by officer.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

from msgspec import Meta, Struct

from refold.projections import Entity, Evolve, Rollup, carried, events, key
from refold.projections.partials.author_fold import HeldRow
from refold.projections.partials.batch import Batch, Counted, batch_of, counted_events
from refold.projections.partials.evolve import EvolveTarget, evolve_batch
from refold.projections.partials.partial import merged, partial_of
from refold.projections.replay.remembering import Remembering
from refold.projections.tables.builds import Build
from refold.projections.tables.layout import layout_of
from refold.projections.tables.memories import read_types
from refold.schemas import Category, Event, Money
from refold.schemas.columns.decoder import ColumnDecoder
from refold.testing import event_at
from refold.testing.happening import Happened, catalog_of, chunks_of, records_of

BATCH = 80_000
"""Events of a batch, as of a rebuild's."""
PAYMENTS = 4
"""Payments of a fine."""
Batches = Sequence[tuple[Batch, Counted]]
Paid = dict[str, Decimal]
"""What was paid, by officer."""


class Issued(Event):
    """A fine was issued."""

    officer: Annotated[str, Meta(description="Who issued it.")]


class Settled(Event):
    """A part of a fine was paid."""

    amount: Annotated[Money, Meta(description="How much.")]


class Fine(Struct, frozen=True):
    officer: str | None = None
    paid: Money = Decimal("0.00")


def fold(fine: Fine | None, event: Event) -> Fine:
    fine = fine or Fine()
    match event:
        case Issued(officer=officer):
            return Fine(officer, fine.paid)
        case Settled(amount=amount):
            return Fine(fine.officer, fine.paid + amount)
    return fine


FINE = Category("city.fine", (), (Issued, Settled))
BY_OFFICER = Rollup(
    name="by_officer",
    domain="city",
    description="Payments by officer.",
    key={"officer": key(carried(Issued, "officer"), "Who issued the fine.")},
    columns={"paid": events(FINE, Settled).sum("amount", "What was paid.")},
)
FINES = Entity(
    name="fines",
    domain="city",
    description="Fines.",
    category=FINE,
    key_name="fine",
    key_doc="Its number.",
    evolve=Evolve(Fine, fold, {"officer": "Who issued it.", "paid": "What was paid."}),
)


class NoTables:
    """A database without a row: all that is remembered is in memory."""

    def execute(self, *_: object) -> "NoTables":
        return self

    def fetchone(self) -> None:
        return None


def happened(streams: int) -> Iterator[Happened]:
    """Fines, and their payments among those of the fines issued shortly before and after."""
    chance, at = random.Random(1), datetime(2026, 1, 1, tzinfo=UTC)
    order = sorted(
        (number + chance.random() * 1000 * step, number, step)
        for number in range(streams)
        for step in range(1 + PAYMENTS)
    )
    for place, number, step in order:
        event = (
            Settled(amount=Decimal(chance.randint(1, 9999)) / 100)
            if step
            else Issued(officer=f"o{chance.randint(1, 300)}")
        )
        yield event_at(f"f-{number}", at + timedelta(seconds=int(place)), event)


def decoded(streams: int) -> Batches:
    """The events in batches, as a rebuild decodes them."""
    records, decoder, starts = (
        records_of((FINE,), happened(streams)),
        ColumnDecoder(catalog_of((FINE,)), thin=True),
        dict[str, int](),
    )
    types = read_types(BY_OFFICER)
    batches = [batch_of(FINE.name, chunks_of(records[at : at + BATCH], starts)) for at in range(0, len(records), BATCH)]
    return [(batch, counted_events(decoder, types, batch, {}, [])) for batch in batches]


def by_carried(batches: Batches) -> Paid:
    layout, nowhere = layout_of(BY_OFFICER), Build(0, "city", "by_officer", "", "building")
    memory: Any = Remembering(NoTables(), layout, nowhere)  # type: ignore[arg-type]  # it has no rows
    table = merged(layout, [partial_of(layout, memory.carry(counted.frames)) for _, counted in batches])
    return dict(table.iter_rows())


def by_evolve(batches: Batches) -> Paid:
    held: dict[str, HeldRow] = {}

    def load(streams: list[str]) -> dict[str, HeldRow]:
        return {name: held[name] for name in streams if name in held}

    target = EvolveTarget(layout_of(FINES), 0)
    for batch, counted in batches:
        held |= evolve_batch(target, batch, counted.frames, [], load).rows
    paid: Paid = {}
    for row in held.values():
        assert isinstance(row.state, Fine)
        officer = str(row.state.officer)
        paid[officer] = paid.get(officer, Decimal(0)) + row.state.paid
    return paid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    batches = decoded(args.streams)
    number = sum(counted.events for _, counted in batches)
    found: dict[str, list[float]] = {"carried": [], "evolve": []}
    ways: dict[str, Callable[[Batches], Paid]] = {"carried": by_carried, "evolve": by_evolve}
    answers = {}
    for _ in range(args.rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            answers[name] = way(batches)
            found[name].append(number / (time.perf_counter() - began))
    assert answers["carried"] == answers["evolve"]
    rates = {name: round(statistics.median(rate)) for name, rate in found.items()}
    ratios = [one / other for one, other in zip(found["carried"], found["evolve"], strict=True)]
    print(
        f"{number:,} events of {args.streams:,} streams: carried {rates['carried']:,}/s, evolve {rates['evolve']:,}/s"
    )
    told = {"events": number, **{f"{name}_per_s": rate for name, rate in rates.items()}}
    print(
        json.dumps(told | {"ratio": round(statistics.median(ratios), 1), "ratios": [round(one, 1) for one in ratios]})
    )


if __name__ == "__main__":
    main()
