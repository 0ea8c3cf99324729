"""Tests reactors by given/when/then, and one batch without a server: ids, states, waiting events, and repeats."""

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest

from refold.retail.reactors import REACTORS, Shopper
from refold.retail.schemas.basket import BASKET, BasketOpened, BasketPaid, ItemScanned
from refold.retail.schemas.household import AwardPoints
from refold.retail.schemas.product import PRODUCT, ProductListed, ProductRebranded
from refold.schemas.codec import Codec
from refold.schemas.contracts import Command, Event
from refold.schemas.errors import Undecodable
from refold.schemas.identity import event_uuid, reaction_uuid
from refold.schemas.meta import Meta
from refold.streams.chunk import Chunk
from refold.streams.domain import load_domains
from refold.streams.errors import KafkaUnavailable
from refold.streams.reactors.arrived import Arrived, Readers, arrived
from refold.streams.reactors.reacting import Answers, Reacting, ReactorStream, StoredState
from refold.streams.reactors.reactor import MAX_COMMANDS_PER_EVENT, Reactor, Seen
from refold.streams.sending.command_record import Addressed
from tests.streams.logs import NOW

DOMAINS = load_domains(["retail"])
CODEC = Codec(DOMAINS.catalog)
(POINTS,) = REACTORS
OPENED, PAID = BasketOpened(store_id=3, household_id="h"), BasketPaid(store_id=3, lines=2, total=Decimal("12.99"))
SCANNED = ItemScanned(store_id=3, product_id=7, quantity=1, amount=Decimal("12.99"), discount=Decimal("0.00"))
SPACE = UUID(int=9)
GOLDEN = Path(__file__).parent.parent / "golden"


def meta(stream: str, version: int, correlation: str | None = "c") -> Meta:
    command = uuid5(SPACE, f"{stream}/{version}")
    return Meta(
        writer=SPACE,
        command_id=command,
        body_hash=command.bytes,
        event_id=event_uuid(BASKET.name, stream, command, 0),
        category=BASKET.name,
        stream=stream,
        version=version,
        base_version=version - 1,
        seq=0,
        index=0,
        count=1,
        command_offset=0,
        occurred_at=NOW,
        recorded_at=NOW,
        correlation_id=correlation,
    )


def seen(stream: str = "b") -> Seen:
    return Seen(BASKET.name, stream, 3, SPACE, NOW, None, None)


def event(
    offset: int, stream: str, version: int, body: Event | Undecodable, readers: Sequence[Reactor] = REACTORS
) -> Arrived:
    return Arrived(0, offset, meta(stream, version), body if isinstance(body, Undecodable) else (body,), readers)


def nothing_recalled(reactor: Reactor, stream: str, version: int) -> Any:
    pytest.fail(f"{reactor.name} asked the log for {stream} at {version}")


def react(
    *events: Arrived,
    states: dict[ReactorStream, StoredState] | None = None,
    parked: dict[ReactorStream, int] | None = None,
    recall: Any = None,
) -> Answers:
    reacting = Reacting(Addressed("", DOMAINS.catalog), states or {}, parked or {}, recall or nothing_recalled)
    for one in events:
        reacting.take(one)
    return reacting.answers()


def commands(answers: Answers) -> list[Command]:
    return [CODEC.read_command(record.value)[1] for record in answers.records]


AWARD = AwardPoints(household_id="h", basket_id="b", points=12)


@pytest.mark.parametrize(
    ("given", "total", "then"),
    [
        ([OPENED], "12.99", [AWARD]),
        ([OPENED], "1.00", [AwardPoints(household_id="h", basket_id="b", points=1)]),
        ([OPENED], "0.99", []),
        ([OPENED], "0.00", []),
        ([BasketOpened(store_id=3)], "12.99", []),
        ([BasketOpened(store_id=3, household_id="no stream id")], "12.99", []),
        ([], "12.99", []),
    ],
)
def test_a_paid_basket_earns_a_point_for_each_whole_unit(given: list[Event], total: str, then: list[Command]) -> None:
    paid = BasketPaid(store_id=3, lines=2, total=Decimal(total))
    state = POINTS.fold([*given, paid])
    assert POINTS.load(POINTS.dump(state)) == state == POINTS.fold([paid], POINTS.fold(given))
    assert list(POINTS.react(paid, state, seen())) == then


def test_no_other_event_earns_anything() -> None:
    assert list(POINTS.react(OPENED, POINTS.fold([OPENED]), seen())) == []
    assert POINTS.fold([OPENED, SCANNED]) == Shopper("h")


def test_the_command_names_its_cause() -> None:
    (record,) = react(event(0, "b", 1, OPENED), event(1, "b", 2, PAID)).records
    sent, command = CODEC.read_command(record.value)
    cause = meta("b", 2)
    assert (record.topic, record.stream, command) == ("retail.household.commands", "h", AWARD)
    assert sent.command_id == reaction_uuid("points", cause.event_id, 0)
    assert sent.actor == f"reactor:points/{cause.event_id}"
    assert (sent.occurred_at, sent.correlation_id, sent.expected_version) == (NOW, "c", None)


def test_a_stored_event_that_is_read_as_several_is_answered_in_order_under_ids_of_their_own() -> None:
    several = Arrived(0, 0, meta("b", 1), [OPENED, SCANNED, PAID, PAID], REACTORS)
    answers = react(several)
    ids = [CODEC.read_command(record.value)[0].command_id for record in answers.records]
    assert ids == [reaction_uuid("points", several.meta.event_id, index) for index in (0, 1)]
    assert commands(answers) == [AWARD, AWARD]


def test_a_chain_without_correlation_begins_with_the_command_of_its_first_event() -> None:
    first, second = meta("b", 1), meta("b", 2, correlation=None)
    (record,) = react(Arrived(0, 0, first, [OPENED], REACTORS), Arrived(0, 1, second, [PAID], REACTORS)).records
    assert CODEC.read_command(record.value)[0].correlation_id == str(second.command_id)


def test_ids_are_pinned_for_ever() -> None:
    """Another id for the same event would award its points again."""
    assert reaction_uuid("points", UUID(int=1), 0) == UUID("40b0b256-2946-5e44-a591-fec6036dac24")
    assert len({reaction_uuid(name, UUID(int=e), i) for name in ("a", "b") for e in (1, 2) for i in (0, 1)}) == 8


def test_any_cut_of_a_history_gives_the_same_commands_and_states() -> None:
    """Twice over: whole, and in two batches at every place, from what the first stored."""
    events = [
        event(0, "a", 1, OPENED), event(1, "b", 1, OPENED), event(2, "a", 9, PAID), event(3, "b", 4, PAID),
    ]  # fmt: skip
    whole = react(*events)
    assert [record.stream for record in whole.records] == ["h", "h"]
    for cut in range(len(events) + 1):
        first = react(*events[:cut])
        second = react(*events[cut:], states=first.states)
        assert first.records + second.records == whole.records
        assert first.states | second.states == whole.states


def test_read_again_from_the_beginning_the_same_is_sent_whatever_is_stored() -> None:
    """Positions were lost, states were not: they are of later events, so they are not used."""
    events = [event(0, "b", 1, OPENED), event(1, "b", 4, PAID)]
    first = react(*events)
    again = react(*events, states=first.states)
    assert again.records == first.records
    assert again.states == first.states


@pytest.mark.parametrize("kept", ["none", "later", "of other code"])
def test_a_state_that_may_not_be_used_is_folded_from_the_log(kept: str) -> None:
    asked = []
    stored = {
        "none": {},
        "later": {("points", "b"): StoredState(4, b"{}", POINTS.fingerprint)},
        "of other code": {("points", "b"): StoredState(1, b"{}", "0" * 16)},
    }[kept]

    def recall(reactor: Reactor, stream: str, version: int) -> Any:
        asked.append((reactor.name, stream, version))
        return reactor.fold([OPENED])

    assert commands(react(event(1, "b", 4, PAID), states=stored, recall=recall)) == [AWARD]
    assert asked == [("points", "b", 3)]


def test_an_event_that_cannot_be_read_holds_its_stream_and_nothing_else() -> None:
    bad = Undecodable("trailing", "trailing")
    answers = react(
        event(0, "b", 1, OPENED), event(1, "x", 1, OPENED), event(2, "b", 2, bad), event(3, "b", 3, PAID),
        event(4, "x", 2, PAID),
    )  # fmt: skip
    assert [command.basket_id for command in commands(answers) if isinstance(command, AwardPoints)] == ["x"]
    (parked,) = answers.parked.items()
    assert parked[0] == ("points", "b")
    assert (parked[1].first_offset, parked[1].code) == (2, "trailing")
    assert answers.waiting == {("points", "b"): 2}
    assert answers.states["points", "b"].version == 1


def test_what_waits_goes_on_once_its_first_event_is_answered() -> None:
    key = ("points", "b")
    behind = react(event(3, "b", 3, PAID), parked={key: 2})
    assert (behind.records, behind.waiting, behind.released) == ([], {key: 1}, set())
    again = react(event(0, "b", 1, OPENED), event(2, "b", 2, PAID), event(3, "b", 3, PAID), parked={key: 2})
    assert [type(command) for command in commands(again)] == [AwardPoints, AwardPoints]
    assert (again.released, again.waiting) == ({key}, {})


def broken(event: Any, _state: Any, _seen: Seen) -> Sequence[Command]:
    raise ArithmeticError(event)


def too_many(_event: Any, _state: Any, _seen: Seen) -> Sequence[Command]:
    return [AWARD] * (MAX_COMMANDS_PER_EVENT + 1)


def half_wrong(_event: Any, _state: Any, _seen: Seen) -> Sequence[Command]:
    return [AWARD, AwardPoints(household_id="no stream id", basket_id="b", points=1)]


def no_command(_event: Any, _state: Any, _seen: Seen) -> Any:
    return [PAID]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (broken, "react-failed"),
        (too_many, "command-invalid"),
        (half_wrong, "command-invalid"),
        (no_command, "command-invalid"),
    ],
)
def test_a_reactor_that_fails_waits_alone(answer: Any, code: str) -> None:
    """The stream waits for it; another reactor of the same event answers, and of what is half wrong nothing is sent."""
    failing = Reactor("failing", BASKET, (BasketPaid,), answer)
    answers = react(event(0, "b", 1, OPENED), event(1, "b", 2, PAID, [failing, POINTS]))
    assert commands(answers) == [AWARD]
    assert {key: parked.code for key, parked in answers.parked.items()} == {("failing", "b"): code}


def test_an_evolve_that_fails_parks_and_a_log_that_is_away_does_not() -> None:
    def fails(_state: Any, _event: Any) -> Any:
        raise KeyError

    def away(_reactor: Reactor, _stream: str, _version: int) -> Any:
        raise KafkaUnavailable("gone")

    evolving = Reactor("evolving", BASKET, (BasketPaid,), POINTS.react, Shopper(), fails)
    assert react(event(0, "b", 1, PAID, [evolving])).parked["evolving", "b"].code == "react-failed"
    with pytest.raises(KafkaUnavailable):
        react(event(1, "b", 4, PAID), recall=away)


def test_what_does_not_count_and_what_nobody_reads_does_not_arrive() -> None:
    bodies = [OPENED, PAID, SCANNED, PAID, PAID]
    values = [CODEC.event(meta("b", n), body) for n, body in enumerate(bodies, 1)]
    chunk = Chunk("retail.basket.events", 2, 10, [*values, b"foreign", None])
    readers = Readers(DOMAINS.catalog, BASKET.name, REACTORS)
    found = arrived(CODEC, readers, chunk, [(11, 11), (14, 20)])
    assert [(one.offset, one.part, one.events) for one in found] == [(10, 2, (OPENED,)), (13, 2, (PAID,))]


def test_a_retired_event_arrives_as_those_of_today() -> None:
    golden = json.loads((GOLDEN / "retail.product.ProductRelabelled.v1.json").read_text(encoding="utf-8"))
    chunk = Chunk("retail.product.events", 0, 0, [bytes.fromhex(golden["records"][0]["hex"])])
    brands = Reactor("brands", PRODUCT, (ProductRebranded,), too_many)
    (found,) = arrived(CODEC, Readers(DOMAINS.catalog, PRODUCT.name, [brands]), chunk, ())
    assert found.readers == [brands]
    assert not isinstance(found.events, Undecodable)
    assert ProductRebranded in {type(one) for one in found.events}
    listings = Reactor("listings", PRODUCT, (ProductListed,), too_many)
    assert arrived(CODEC, Readers(DOMAINS.catalog, PRODUCT.name, [listings]), chunk, ()) == []


def test_an_event_of_a_schema_that_this_code_lacks_may_be_anyones() -> None:
    value = bytearray(CODEC.event(meta("b", 1), OPENED))
    value[1:5] = (12345).to_bytes(4)
    (found,) = arrived(CODEC, Readers(DOMAINS.catalog, BASKET.name, REACTORS), Chunk("t", 0, 0, [bytes(value)]), ())
    assert isinstance(found.events, Undecodable)
    assert (found.events.reason, found.readers) == ("unknown-schema", REACTORS)
