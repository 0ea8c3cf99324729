"""Records of every released version, read as today's class: a field added with a default, a field taken away."""

from decimal import Decimal
from typing import Annotated

import polars as pl
import pytest
from msgspec import Meta as About

from refold.schemas.avro import schema_of
from refold.schemas.catalog import Catalog
from refold.schemas.codec import Codec
from refold.schemas.columns.decoder import ROW, ColumnDecoder, read_heads
from refold.schemas.contracts import Category, Command, Event, Money
from refold.schemas.errors import Undecodable
from refold.schemas.meta import CommandMeta
from tests.schemas import shapes
from tests.schemas.shapes import DOC, Color


class FirstSent(Event):
    """As it was released first."""

    address: Annotated[str, DOC]
    weight: Annotated[int, About(description="Taken away later.")] = 0
    priority: Annotated[int, About(description="Bounded more tightly later.", ge=0)] = 0


class FirstSend(Command):
    """As it was released first."""

    stream_field = "letter"
    letter: Annotated[str, DOC]
    weight: Annotated[int, DOC] = 0


class Sent(Event):
    """As it is today."""

    address: Annotated[str, DOC]
    priority: Annotated[int, About(description="Bounded more tightly.", ge=0, le=9)] = 0
    express: Annotated[bool, DOC] = False
    color: Annotated[Color, DOC] = Color.GREEN
    stamps: Annotated[tuple[str, ...], DOC] = ()
    fee: Annotated[Money | None, DOC] = None


class Send(Command):
    """As it is today."""

    stream_field = "letter"
    letter: Annotated[str, DOC]
    color: Annotated[Color, DOC] = Color.GREEN
    fee: Annotated[Money | None, DOC] = None


FirstSent.__name__, FirstSend.__name__ = "Sent", "Send"
FIRST = Category("tests.letter", (FirstSend,), (FirstSent,))
TODAY = Category("tests.letter", (Send,), (Sent,))
FROZEN = [schema_of(cls, "tests.letter") for cls in (*FIRST.classes, *TODAY.classes)]
OLD = Codec(Catalog([FIRST], FROZEN))
NEW = Codec(Catalog([TODAY], FROZEN))
AS_TODAY = Sent(address="Bremen", priority=3)
OLD_BYTES = OLD.event(shapes.meta(category="tests.letter"), FirstSent(address="Bremen", weight=20, priority=3))
NEW_BYTES = NEW.event(
    shapes.meta(category="tests.letter"), Sent(address="Kiel", express=True, stamps=("a",), fee=Decimal("0.85"))
)


def _columns(*values: bytes) -> pl.DataFrame:
    decoded = ColumnDecoder(NEW.catalog, thin=True).events("tests.letter", "Sent", values, read_heads(values))
    assert (decoded.bad, decoded.fell_back) == ([], 0)
    return decoded.frame


def test_an_old_record_becomes_todays_class() -> None:
    _, event = NEW.read_event(OLD_BYTES)
    assert event == AS_TODAY


def test_a_chunk_of_both_versions_has_todays_columns() -> None:
    frame = _columns(NEW_BYTES, OLD_BYTES, NEW_BYTES).sort(ROW)
    expected = {
        "address": ["Kiel", "Bremen", "Kiel"],
        "priority": [0, 3, 0],
        "express": [True, False, True],
        "color": ["green", "green", "green"],
        "stamps": [["a"], [], ["a"]],
        "fee": [Decimal("0.85"), None, Decimal("0.85")],
    }
    assert frame.select(expected.keys()).to_dict(as_series=False) == expected


@pytest.mark.parametrize("values", [(), (OLD_BYTES,), (NEW_BYTES,), (OLD_BYTES, NEW_BYTES)])
def test_columns_have_one_type_whatever_wrote_them(values: tuple[bytes, ...]) -> None:
    assert _columns(*values).schema == _columns(NEW_BYTES).schema


def test_an_old_command_becomes_todays_class() -> None:
    meta = CommandMeta(
        command_id=shapes.meta().command_id, category="tests.letter", stream="l", occurred_at=shapes.meta().occurred_at
    )
    _, command = NEW.read_command(OLD.command(meta, FirstSend(letter="l", weight=4)))
    assert command == Send(letter="l")


def test_a_bound_made_tighter_does_not_undo_what_happened() -> None:
    value = OLD.event(shapes.meta(category="tests.letter"), FirstSent(address="Bremen", priority=50))
    _, event = NEW.read_event(value)
    assert event == Sent(address="Bremen", priority=50)
    assert _columns(value)["priority"].to_list() == [50]


def test_a_schema_from_the_future_is_unknown_to_old_code() -> None:
    before = Codec(Catalog([FIRST], FROZEN[:2]))
    with pytest.raises(Undecodable) as caught:
        before.read_event(NEW_BYTES)
    assert caught.value.reason == "unknown-schema"


def test_an_event_type_that_code_no_longer_has_is_refused_but_its_schema_is_known() -> None:
    retired = Codec(Catalog([Category("tests.letter", (), ())], FROZEN))
    with pytest.raises(Undecodable):
        retired.read_event(OLD_BYTES)
    assert retired.catalog.event_writers("tests.letter", "Sent")
