"""Facts: each has a command of its own, with stable bytes, that becomes exactly the event; and declarations that are wrong."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, cast
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta

from refold.schemas.avro import schema_id, schema_of
from refold.schemas.catalog import Catalog
from refold.schemas.codec import Codec
from refold.schemas.compatibility import violations
from refold.schemas.contracts import Category, Command, Event, Whole, fact_command, fact_of, publishing
from refold.schemas.errors import ContractError
from refold.schemas.freeze import freeze, unfrozen
from refold.schemas.identity import body_hash, fact_uuid
from refold.schemas.meta import CommandMeta
from refold.streams.decider import Decider, Nothing, Rejected, facts_alone

Celsius = Annotated[Decimal, Meta(description="Temperature.", extra={"precision": 6, "scale": 2})]
Tags = Annotated[tuple[str, ...], Meta(description="Marks.")]


class Reading(Event):
    """A sensor's reading."""

    celsius: Celsius
    unit: Annotated[str, Meta(description="Unit of the sensor.")] = "C"
    tags: Tags = ()
    at: Annotated[datetime, Meta(description="When.")] | None = None


class Calibrate(Command):
    """Calibrate a sensor."""

    stream_field = "sensor"
    sensor: Annotated[str, Meta(description="Sensor.")]


class Calibrated(Event):
    """A sensor was calibrated."""


SENSOR = Category("plant.sensor", facts=(Reading,))
MIXED = Category("plant.mixed", (Calibrate,), (Calibrated,), facts=(Reading,))


def test_a_fact_is_an_event_and_has_a_command() -> None:
    assert (SENSOR.events, SENSOR.commands, SENSOR.own_commands) == ((Reading,), (fact_command(Reading),), ())
    assert (MIXED.events, MIXED.own_commands) == ((Calibrated, Reading), (Calibrate,))
    assert Category("plant.mixed", (Calibrate,), (Reading, Calibrated), facts=(Reading,)).events == (
        Reading,
        Calibrated,
    )


def test_a_category_made_of_the_parts_of_another_is_equal() -> None:
    assert replace(MIXED) == MIXED
    assert Category(MIXED.name, MIXED.commands, MIXED.events, facts=MIXED.facts) == MIXED


@settings(max_examples=50)
@given(
    celsius=st.decimals(-9999, 9999, places=2),
    tags=st.lists(st.text("ab"), max_size=3).map(tuple),
    at=st.none() | st.just(datetime(2026, 1, 1, tzinfo=UTC)),
)
def test_the_command_becomes_exactly_the_event(celsius: Decimal, tags: tuple[str, ...], at: datetime | None) -> None:
    event = Reading(celsius=celsius, tags=tags, at=at)
    command = publishing(event, "s-1")
    assert SENSOR.stream_of(command) == "s-1"
    assert fact_of(command) == event
    assert facts_alone(SENSOR).decide(command, Nothing()) == event


def test_the_authors_rules_decide_commands_and_never_facts() -> None:
    asked = []

    def decide(command: Command, _: Nothing) -> Rejected:
        asked.append(command)
        return Rejected("no", "never")

    rules: Decider[Any, Any, Any] = Decider(MIXED, Nothing(), decide, lambda state, _: state)
    fact = Reading(celsius=Decimal(1))
    for answer in (rules.decide, rules.ask):
        assert answer(publishing(fact, "s-1"), Nothing()) == fact
    assert isinstance(rules.decide(Calibrate(sensor="s-1"), Nothing()), Rejected)
    assert asked == [Calibrate(sensor="s-1")]


def test_the_bytes_of_a_facts_command_never_change() -> None:
    kind = fact_command(Reading)
    assert schema_id(schema_of(kind, SENSOR.name)) == SCHEMA
    codec = Codec(Catalog((SENSOR,), [schema_of(cls, SENSOR.name) for cls in SENSOR.classes]))
    meta = CommandMeta(
        command_id=UUID(int=1),
        category=SENSOR.name,
        stream="s-1",
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
        actor="/plants/7",
    )
    command = publishing(Reading(celsius=Decimal("21.50"), tags=("a",)), "s-1")
    assert codec.command(meta, command).hex() == BYTES
    assert body_hash(command).hex() == HASH
    assert str(fact_uuid("/plants/7", "r-1")) == KEY


def test_facts_are_frozen_with_their_commands_and_evolve_as_events_do(tmp_path: Path) -> None:
    schemas = unfrozen((SENSOR,), [])
    freeze(schemas, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "plant.sensor.PublishReading.v1.avsc",
        "plant.sensor.Reading.v1.avsc",
    ]
    assert violations((SENSOR,), tmp_path) == []
    longer = type(
        "Reading",
        (Reading,),
        {
            "__annotations__": {"place": Annotated[str, Meta(description="Place.")]},
            "place": "?",
            "__doc__": Reading.__doc__,
        },
    )
    assert {violation.rule for violation in violations((Category("plant.sensor", facts=(longer,)),), tmp_path)} == {
        "not-frozen"
    }
    other = type("Reading", (Event,), {"__annotations__": {"kelvin": Celsius}, "__doc__": Reading.__doc__})
    changed = violations((Category("plant.sensor", facts=(other,)),), tmp_path)
    assert {violation.rule for violation in changed} != {"not-frozen"}


class PublishReading(Command):
    """Taken."""

    stream_field = "sensor"
    sensor: Annotated[str, Meta(description="Sensor.")]


class Streamed(Event):
    """Has the field that its command needs."""

    fact_stream: Annotated[str, Meta(description="Stream.")]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Category("a.b", facts=(cast("Any", Calibrate),)), "no class of Event"),
        (lambda: Category("a.b", facts=cast("Any", Reading)), "a.b.facts is a tuple"),
        (lambda: Category("a.b", facts=(Reading, Reading)), "name of two classes"),
        (lambda: Category("a.b", (PublishReading,), facts=(Reading,)), "PublishReading is the name of two classes"),
        (lambda: Category("a.b", facts=(Streamed,)), "Streamed.fact_stream"),
    ],
)
def test_a_wrong_declaration_is_refused_with_its_place(make: Any, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        make()


SCHEMA = 1207596278
BYTES = (
    "0047fa74f60000004d0000000000000000000000000000000118706c616e742e73656e736f7206732d3100808082e288d2a3"
    "0602122f706c616e74732f370006732d3104086602430202610000"
)
HASH = "fe48fc237f366e2e820b8675f8346538"
KEY = "50baf4b8-fb78-5ee0-ba6c-2e6924ea7c87"


def test_a_bound_of_a_fact_that_msgspec_cannot_combine_is_named() -> None:
    class Measured(Event):
        """Something was measured."""

        watts: Annotated[Whole, Meta(description="Power.", ge=0)]

    with pytest.raises(ContractError, match=r"^PublishMeasured\.watts: "):
        schema_of(fact_command(Measured), "plant.meter")
