"""Tests that a command always gets an outcome, whatever the domain's code does."""

import random
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from refold.retail.schemas.basket import BASKET, BasketOpened, BasketVoided, ItemScanned, OpenBasket
from refold.retail.schemas.product import DelistReason, ProductDelisted
from refold.schemas.codec import Codec, Rejection
from refold.schemas.contracts import MAX_RECORD_BYTES
from refold.schemas.identity import body_hash, event_uuid
from refold.streams.decider import Decider, Rejected
from refold.streams.domain import AnyDecider, load_domains
from refold.streams.handler.batch import Deciding
from refold.streams.handler.decide import (
    DECIDE_FAILED,
    EVENTS_REFUSED,
    VERSION_CONFLICT,
    Destination,
    Incoming,
    decide,
    records,
)
from refold.streams.handler.holder import Holder
from refold.streams.handler.ports import Snapshot
from refold.streams.reactors.reactor import Reactor
from refold.streams.rules.effects import StoredStream
from refold.streams.rules.judge import ClaimState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
COMMAND = OpenBasket(basket_id="b", store_id=1)
ID = UUID(int=5)


class Nothing(msgspec.Struct, frozen=True):
    """No state."""


def stay(state: Nothing, _: object) -> Nothing:
    """Fold nothing."""
    return state


class Mute(Exception):
    """An author's exception with a fault of its own."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def incoming(expected: int | None = None) -> Incoming:
    return Incoming("OpenBasket", COMMAND, ID.bytes, body_hash(COMMAND), "b", 9, NOW, expected)


def with_decision(decision: object) -> AnyDecider:
    def made(_command: object, _state: object) -> object:
        if isinstance(decision, Exception):
            raise decision
        return decision

    return Decider(BASKET, Nothing(), made, stay)  # type: ignore[arg-type]  # wrong on purpose: a domain's code may return anything


@pytest.mark.parametrize(
    ("decision", "code"),
    [
        (RuntimeError("boom"), DECIDE_FAILED),
        (Mute(), DECIDE_FAILED),
        (Rejected("no", ValueError("because")), DECIDE_FAILED),  # type: ignore[arg-type]  # wrong on purpose, as below
        (Rejected(7, "because"), DECIDE_FAILED),  # type: ignore[arg-type]  # wrong on purpose
        (None, DECIDE_FAILED),
        ((), EVENTS_REFUSED),
        ((BasketOpened(store_id=1),) * 501, EVENTS_REFUSED),
        (BasketOpened(store_id=-1), EVENTS_REFUSED),
        (ItemScanned(store_id=1, product_id=1, quantity=0, amount=Decimal(1), discount=Decimal(0)), EVENTS_REFUSED),
        (
            ItemScanned(store_id=1, product_id=1, quantity=1, amount=Decimal("1.001"), discount=Decimal(0)),
            EVENTS_REFUSED,
        ),
        (Rejected("no", "because"), "no"),
        (BasketVoided(store_id=1, reason="left"), "event-retired"),
        ((BasketOpened(store_id=1), BasketVoided(store_id=1, reason="left")), "event-retired"),
        (ProductDelisted(product_id=1, reason=DelistReason.RECALLED), EVENTS_REFUSED),
    ],
)
def test_every_failure_is_a_rejection(decision: object, code: str) -> None:
    """Exceptions, no events, too many, events out of their bounds, retired, or of another category."""
    decided = decide(with_decision(decision), incoming(), Nothing(), 0)
    assert decided.rejection is not None
    assert (decided.rejection.code, decided.events) == (code, ())


@pytest.mark.parametrize(
    ("expected", "version", "conflict"), [(None, 3, False), (3, 3, False), (0, 0, False), (2, 3, True), (4, 3, True)]
)
def test_expected_version(expected: int | None, version: int, conflict: bool) -> None:
    """Decided here, by the one who owns the stream: stale or future is a conflict."""
    decided = decide(with_decision(BasketOpened(store_id=1)), incoming(expected), Nothing(), version)
    assert (decided.rejection.code if decided.rejection else None) == (VERSION_CONFLICT if conflict else None)


def test_records_carry_the_group() -> None:
    """Version, seq, index and count of each record; ids that a retry makes again."""
    codec = Codec(load_domains(["retail"]).catalog)
    writer, events = uuid4().bytes, (BasketOpened(store_id=1), BasketOpened(store_id=2))
    decided = decide(with_decision(events), incoming(), Nothing(), 4)
    metas = [
        codec.read_event(v)[0]
        for v in records(codec, incoming(), decided, Destination("retail.basket", writer, 7, 4, NOW))
    ]
    assert [(m.version, m.seq, m.index, m.count, m.base_version, m.command_offset) for m in metas] == [
        (5, 7, 0, 2, 4, 9),
        (6, 8, 1, 2, 4, 9),
    ]
    assert [m.event_id for m in metas] == [event_uuid("retail.basket", "b", ID, i) for i in range(2)]


def test_a_rejection_is_a_record() -> None:
    """One record, at the base version, with code and message."""
    codec = Codec(load_domains(["retail"]).catalog)
    decided = decide(with_decision(Rejected("no", "because")), incoming(), Nothing(), 4)
    (value,) = records(codec, incoming(), decided, Destination("retail.basket", uuid4().bytes, 7, 4, NOW))
    meta, body = codec.read_event(value)
    assert (meta.version, meta.base_version, meta.count, meta.is_event) == (4, 4, 1, False)
    assert body == Rejection("OpenBasket", "no", "because")


@pytest.mark.parametrize("decision", [Rejected("no", "because"), BasketOpened(store_id=1)])
def test_a_sender_whose_texts_leave_a_refusal_no_room_gets_it_without_them(decision: object) -> None:
    """A command of nearly 1 MiB fits into the log; with the envelope of a record of ours around its actor nothing would."""
    codec = Codec(load_domains(["retail"]).catalog)
    holder = Holder(random.Random(1))
    epoch, writer = holder.claim(None)
    holder.observe(ClaimState(epoch, writer=writer), 0.0)
    given = msgspec.structs.replace(incoming(), actor="a" * (MAX_RECORD_BYTES - 100), correlation_id="c")
    deciding = Deciding(with_decision(decision), codec, holder, Snapshot(None, set(), {}), lambda *_: Nothing())
    (value,) = deciding.records(b"key", given)
    meta, body = codec.read_event(value)
    assert isinstance(body, Rejection)
    assert body.code == ("no" if isinstance(decision, Rejected) else EVENTS_REFUSED)
    assert (meta.command_id, meta.body_hash, meta.actor, meta.correlation_id) == (ID, given.body_hash, None, None)


class Line(msgspec.Struct, frozen=True):
    """A part of a state, as it was."""

    amount: int


class LongerLine(msgspec.Struct, frozen=True):
    """The same, as it is: by another name, and with a field more."""

    amount: int
    discount: int


class Lines(msgspec.Struct, frozen=True):
    lines: dict[str, tuple[Line, ...]] = {}


def deciders_of_a_part_that_grew() -> tuple[AnyDecider, AnyDecider]:
    """Of two releases, whose states differ in what lies within alone."""
    before: AnyDecider = Decider(BASKET, Lines(), with_decision(()).decide, stay)
    LongerLine.__qualname__, LongerLine.__name__ = Line.__qualname__, Line.__name__
    today: Any = msgspec.defstruct("Lines", [("lines", dict[str, tuple[LongerLine, ...]], {})], frozen=True)
    return before, Decider(BASKET, today(), with_decision(BasketOpened(store_id=1)).decide, stay)


def test_a_part_of_a_state_that_changed_makes_the_stored_state_stale() -> None:
    before, after = deciders_of_a_part_that_grew()
    assert before.fingerprint != after.fingerprint
    assert Reactor("r", BASKET, (), lambda *_: (), before.initial, stay).fingerprint != (
        Reactor("r", BASKET, (), lambda *_: (), after.initial, stay).fingerprint
    )


def test_a_stored_state_that_cannot_be_read_is_folded_anew() -> None:
    """Whatever made it so, its command gets an outcome."""
    before, after = deciders_of_a_part_that_grew()
    stored = StoredStream(3, before.dump(Lines({"a": (Line(1),)})), after.fingerprint)
    holder, codec = Holder(random.Random(1)), Codec(load_domains(["retail"]).catalog)
    epoch, writer = holder.claim(None)
    holder.observe(ClaimState(epoch, writer=writer), 0.0)
    asked: list[tuple[str, int]] = []

    def refold(stream: str, version: int) -> object:
        asked.append((stream, version))
        return after.initial

    deciding = Deciding(after, codec, holder, Snapshot(None, set(), {"b": stored}), refold)
    (value,) = deciding.records(b"key", incoming())
    assert (codec.read_event(value)[0].version, asked) == (4, [("b", 3)])
