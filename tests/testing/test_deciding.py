"""Rules and reactors tested as their authors test them; the platform's demands are held on the way."""

from collections.abc import Callable
from decimal import Decimal
from itertools import count
from typing import Annotated, Any

import msgspec
import pytest

from refold.reactors import Reactor, Seen
from refold.retail.reactors import REACTORS
from refold.retail.schemas.basket import BasketOpened, BasketPaid, OpenBasket, PayBasket
from refold.retail.schemas.household import AwardPoints
from refold.retail.schemas.product import DelistProduct, DelistReason
from refold.retail.streams import DECIDERS
from refold.schemas import Category, Command, Event
from refold.schemas.errors import BadValue
from refold.streams import Decider, Rejected
from refold.streams.decider import facts_alone
from refold.testing import Impure, given, rejected

BASKET = next(rules for rules in DECIDERS if rules.category.name == "retail.basket")
(POINTS,) = REACTORS
OPENED, OPEN = BasketOpened(store_id=1, household_id="h1"), OpenBasket(basket_id="b1", store_id=1, household_id="h1")


def test_a_command_is_accepted() -> None:
    given(BASKET).when(OPEN).then(OPENED)


def test_a_command_is_rejected() -> None:
    given(BASKET, OPENED).when(OPEN).then(rejected("basket-exists"))
    given(BASKET, OPENED).when(OPEN).then(rejected("basket-exists", "the basket is open already"))


class Rung(Event):
    """The bell rang."""

    times: Annotated[int, msgspec.Meta(description="How often.", ge=1)]


def test_a_fact_is_published_as_it_is_and_within_its_contract() -> None:
    bell = facts_alone(Category("tests.bell", facts=(Rung,)))
    given(bell, Rung(times=1)).when(Rung(times=2)).then(Rung(times=2))
    with pytest.raises(BadValue, match="times"):
        given(bell).when(Rung(times=0))
    with pytest.raises(TypeError, match="BasketOpened is no command of"):
        given(bell).when(OPENED)


def test_what_was_decided_instead_is_shown() -> None:
    decided = given(BASKET, OPENED).when(OPEN)
    with pytest.raises(AssertionError, match="rejected: basket-exists: the basket is open already"):
        decided.then(OPENED)
    with pytest.raises(AssertionError, match="basket-exists"):
        decided.then(rejected("basket-closed"))
    with pytest.raises(AssertionError, match="another sentence"):
        decided.then(rejected("basket-exists", "another sentence"))
    with pytest.raises(AssertionError, match="rejected"):
        decided.then()
    accepted = given(BASKET).when(OPEN)
    with pytest.raises(AssertionError, match="not the rejection basket-exists"):
        accepted.then(rejected("basket-exists"))
    with pytest.raises(AssertionError):
        accepted.then(OPENED, OPENED)


def test_a_command_that_the_door_refuses_is_refused() -> None:
    with pytest.raises(BadValue, match=r"OpenBasket\.store_id: "):
        given(BASKET).when(OpenBasket(basket_id="b1", store_id=-1))
    with pytest.raises(BadValue, match=r"BasketOpened\.store_id: "):
        given(BASKET, BasketOpened(store_id=-1))
    with pytest.raises(TypeError, match=r"DelistProduct is no command of retail\.basket"):
        given(BASKET).when(DelistProduct(product_id="1", reason=DelistReason.SEASON_OVER))
    with pytest.raises(TypeError, match=r"PayBasket is no event of retail\.basket"):
        given(BASKET, PayBasket(basket_id="b1"))  # type: ignore[call-overload]  # an author's slip


def test_a_reactor_answers() -> None:
    paid = BasketPaid(store_id=1, lines=1, total=Decimal("30.00"))
    given(POINTS, OPENED).when(paid, stream="b1").then(AwardPoints(household_id="h1", basket_id="b1", points=30))
    given(POINTS, BasketOpened(store_id=1)).when(paid).then()
    given(POINTS).when(OPENED).then()
    with pytest.raises(AssertionError):
        given(POINTS, OPENED).when(paid).then()


class Note(Command):
    """Note a number."""

    stream_field = "name"
    name: Annotated[str, msgspec.Meta(description="N.")]
    number: Annotated[int, msgspec.Meta(ge=0, le=99, description="N.")] = 0


class Noted(Event):
    """A number was noted."""

    number: Annotated[int, msgspec.Meta(ge=0, le=99, description="N.")] = 0


class Notes(msgspec.Struct, frozen=True):
    total: float | int = 0


NOTE = Category("test.note", (Note,), (Noted,))
NUMBERS = count()


def accept(command: Note, _state: Notes) -> Noted:
    return Noted(number=command.number)


def add(state: Notes, event: Noted) -> Notes:
    return Notes(state.total + event.number)


def rules(decide: Callable[..., Any] = accept, evolve: Callable[..., Any] = add, initial: Any = Notes()) -> Any:  # noqa: B008 - frozen
    return Decider(NOTE, initial, decide, evolve)


def test_impure_rules_are_caught() -> None:
    def by_count(_command: Note, _state: Notes) -> Noted:
        return Noted(number=next(NUMBERS))

    def by_halves(state: Notes, event: Noted) -> Notes:
        return Notes(state.total + event.number / 2)

    with pytest.raises(Impure, match="by_count gave two answers"):
        given(rules(by_count)).when(Note(name="a"))
    with pytest.raises(Impure, match=r"by_halves gave the float 0\.5"):
        given(rules(evolve=by_halves), Noted(number=1))


def test_an_event_that_the_log_refuses_is_caught() -> None:
    def too_large(_command: Note, _state: Notes) -> Noted:
        return Noted(number=100)

    def foreign(_command: Note, _state: Notes) -> BasketOpened:
        return OPENED

    with pytest.raises(BadValue, match=r"Not[a-z]+\.number: Expected `int` <= 99"):
        given(rules(too_large)).when(Note(name="a"))
    with pytest.raises(TypeError, match=r"decide gave BasketOpened.*, which is no event of test\.note"):
        given(rules(foreign)).when(Note(name="a"))


def test_a_state_that_is_not_the_same_once_stored_is_caught() -> None:
    class Forgetful(msgspec.Struct, frozen=True, omit_defaults=True):
        words: Any = ()

    def forget(state: Forgetful, event: Noted) -> Forgetful:
        return Forgetful((*state.words, event.number))

    with pytest.raises(Impure, match="the state is another one once it was stored"):
        given(rules(evolve=forget, initial=Forgetful()), Noted(number=1))


def test_a_reactor_that_breaks_a_rule_is_caught() -> None:
    def by_count(_event: Noted, _state: Any, _seen: Seen) -> list[Note]:
        return [Note(name="a", number=next(NUMBERS) % 90)]

    def lazily(event: Noted, _state: Any, seen: Seen) -> Any:
        yield Note(name=seen.stream, number=event.number)

    def too_many(_event: Noted, _state: Any, _seen: Seen) -> list[Note]:
        return [Note(name="a")] * 501

    def unsound(_event: Noted, _state: Any, _seen: Seen) -> list[Note]:
        return [Note(name="a", number=100)]

    with pytest.raises(Impure, match="by_count gave two answers"):
        given(Reactor("r", NOTE, (Noted,), by_count)).when(Noted())
    with pytest.raises(AssertionError, match="501 commands for one event; at most 500 are allowed"):
        given(Reactor("r", NOTE, (Noted,), too_many)).when(Noted())
    with pytest.raises(BadValue, match=r"Not[a-z]+\.number: Expected `int` <= 99"):
        given(Reactor("r", NOTE, (Noted,), unsound)).when(Noted())
    given(Reactor("r", NOTE, (Noted,), lazily)).when(Noted(number=2), stream="b").then(Note(name="b", number=2))


def test_rejections_are_given_as_they_are() -> None:
    def refuse(command: Note, state: Notes) -> Rejected:
        return Rejected("full", f"{command.name} holds {state.total}")

    given(rules(refuse), Noted(number=3), Noted(number=4)).when(Note(name="a")).then(rejected("full", "a holds 7"))
