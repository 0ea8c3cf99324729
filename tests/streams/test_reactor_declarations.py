"""Tests declared reactors: they are found by domain, and invalid ones are refused at once."""

from types import SimpleNamespace
from typing import Any

import pytest

from refold.retail.reactors import REACTORS, Shopper
from refold.retail.schemas.basket import BASKET, BasketPaid
from refold.retail.schemas.household import AwardPoints
from refold.streams.domain import load_domains
from refold.streams.errors import BadReactor, UnknownDomain
from refold.streams.reactors import declared
from refold.streams.reactors.declared import declared_reactors
from refold.streams.reactors.reactor import Reactor

DOMAINS = load_domains(["retail"])
(POINTS,) = REACTORS


def test_reactors_are_found_by_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    assert declared_reactors(DOMAINS) == REACTORS
    monkeypatch.setattr(declared, "imported", lambda *_: SimpleNamespace(REACTORS=REACTORS * 2))
    with pytest.raises(BadReactor, match="more than one reactor is named points"):
        declared_reactors(DOMAINS)


def test_a_reactor_of_a_category_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    category = type(BASKET)("other.basket", BASKET.commands, BASKET.events)
    stray = Reactor("stray", category, (BasketPaid,), POINTS.react)
    monkeypatch.setattr(declared, "imported", lambda *_: SimpleNamespace(REACTORS=(stray,)))
    with pytest.raises(UnknownDomain, match=r"other\.basket"):
        declared_reactors(DOMAINS)


def test_what_cannot_be_declared_is_refused_at_once() -> None:
    with pytest.raises(BadReactor, match="not named"):
        Reactor("Points!", BASKET, (BasketPaid,), POINTS.react)
    with pytest.raises(BadReactor, match="AwardPoints"):
        Reactor("points", BASKET, (AwardPoints,), POINTS.react)  # type: ignore[arg-type]  # what the check is for


def test_another_fold_is_another_fingerprint() -> None:
    def other(state: Shopper, _event: Any) -> Shopper:
        return state

    same = Reactor("points", BASKET, POINTS.reads, POINTS.react, Shopper(), POINTS.evolve)
    assert same.fingerprint == POINTS.fingerprint
    assert Reactor("points", BASKET, POINTS.reads, POINTS.react, Shopper(), other).fingerprint != POINTS.fingerprint
    assert (
        Reactor("points", BASKET, (BasketPaid,), POINTS.react, Shopper(), POINTS.evolve).fingerprint != same.fingerprint
    )
