"""Declarations cannot gather retired events; upcasters are part of the fingerprint; no event is silently skipped."""

from collections.abc import Callable

import pytest

from refold.projections.declaring.declaration import Entity
from refold.projections.declaring.gathering import events
from refold.projections.errors import BadDeclaration
from refold.projections.partials.batch import batch_of, counted_events
from refold.projections.tables.fingerprint import fingerprint
from refold.schemas.avro import schema_of
from refold.schemas.catalog import Catalog
from refold.schemas.columns.decoder import ColumnDecoder
from refold.schemas.contracts import Category, Event, Upcaster
from refold.streams.decider import Decider
from tests.projections.sample import (
    ACCOUNT,
    Balance,
    Closed,
    Opened,
    Paid,
    PaidTwice,
    Renamed,
    Reopened,
    chunks_of,
    fold_balance,
    log_of,
    reopened,
    types_of,
)


def renamed_first(old: Renamed) -> Opened:
    return Opened(owner=old.owner)


def renamed_otherwise(old: Renamed) -> Opened:
    return Opened(owner=f"new {old.owner}")


def category(*upcasters: Upcaster) -> Category:
    return Category(ACCOUNT.name, (), ACCOUNT.events, upcasters)


def test_a_retired_event_is_not_gathered_and_the_error_says_what_is_instead() -> None:
    with pytest.raises(BadDeclaration, match=r"Reopened of sample\.account is retired: gather Closed, Opened"):
        events(ACCOUNT, Reopened)


def entity(of: Category, gathers: type[Opened | Paid]) -> Entity:
    columns = {"n": events(of, gathers).count("All.")}
    return Entity(name="e", domain="sample", description="E.", category=of, key_name="k", key_doc="K.", columns=columns)


@pytest.mark.parametrize(
    ("gathers", "changes"), [(Opened, True), (Paid, False)], ids=["of what comes of it", "of something else"]
)
def test_another_upcaster_makes_another_table(gathers: type[Opened | Paid], changes: bool) -> None:
    """Also where it is reached through another one."""
    first, otherwise = (fingerprint(entity(category(how), gathers)) for how in (renamed_first, renamed_otherwise))
    chained = {fingerprint(entity(category(how, reopened), Closed)) for how in (renamed_first, renamed_otherwise)}  # type: ignore[arg-type]  # any event will do
    assert (first != otherwise) is changes
    assert len(chained) == 2


def test_an_upcaster_makes_no_other_table_of_a_model_that_gathers_nothing_of_it() -> None:
    """Neither the first one of a category nor one more."""
    without = Category(ACCOUNT.name, (), ACCOUNT.events, ())
    gathers_nothing = {fingerprint(entity(of, Paid)) for of in (without, category(renamed_first))}
    gathers = {fingerprint(entity(of, Opened)) for of in (without, category(renamed_first))}
    assert (len(gathers_nothing), len(gathers)) == (1, 2)


def test_another_upcaster_makes_stored_states_stale() -> None:
    def of(how: Callable[[Renamed], Opened]) -> str:
        return Decider(category(how), Balance(), lambda _command, _state: (), fold_balance).fingerprint

    assert len({of(renamed_first), of(renamed_otherwise)}) == 2
    assert of(renamed_first) == of(renamed_first)


def test_an_event_whose_class_was_taken_out_parks_its_stream() -> None:
    """It counts and nobody can read it: its stream must wait, not go on without it."""
    before: tuple[type[Event], ...] = (*ACCOUNT.events, Renamed, Reopened, PaidTwice)
    without = Catalog([category()], [schema_of(cls, ACCOUNT.name) for cls in before])
    (chunk,) = chunks_of(log_of([("a", Opened(), 1), ("c", Opened(), 1), ("a", Renamed(), 2), ("a", Opened(), 3)]), {})
    counted = counted_events(
        ColumnDecoder(without, thin=True), types_of(ACCOUNT.name), batch_of(ACCOUNT.name, [chunk]), {}, []
    )
    assert [(park.stream, park.first_offset, park.code) for park in counted.parks] == [("a", 2, "no-class")]
    assert counted.events == 2
    assert counted.waiting == {(ACCOUNT.name, "a"): 2}
