"""What a class may hold to become a schema, and what is said when it may not."""

import datetime as dt
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any
from uuid import UUID

import fastavro
import msgspec
import pytest
from msgspec import Meta as About

from refold.schemas.avro import resolved, schema_id, schema_of, without_docs
from refold.schemas.catalog import Catalog
from refold.schemas.contracts import Category, Command, Event, Money, Whole, is_stream_id
from refold.schemas.errors import ContractError, SchemaCollision, SchemaNotFrozen
from refold.schemas.freeze import freeze, unfrozen
from tests.schemas import shapes


class Inner(msgspec.Struct):
    """A record inside."""

    number: int


class Number(IntEnum):
    """Symbols that are no names."""

    ONE = 1


class Spaced(Enum):
    """A symbol that Avro does not know."""

    BAD = "not a symbol"


def event_with(declared: Any, default: Any = msgspec.NODEFAULT, name: str = "field") -> type[Event]:
    """An event class with one described field of a type."""
    annotated = Annotated[declared, About(description="A field.")]
    entry = (name, annotated) if default is msgspec.NODEFAULT else (name, annotated, default)
    return made([entry])


def made(fields: list[Any]) -> type[Event]:
    """An event class with these fields."""
    cls = msgspec.defstruct("Made", fields, bases=(Event,), kw_only=True, frozen=True)
    cls.__doc__ = "Made for a test."
    assert issubclass(cls, Event)
    return cls


REFUSED: dict[str, Any] = {
    "float": float,
    "dict": dict[str, int],
    "union of two": int | str,
    "union of two and None": int | str | None,
    "None": None,
    "nested record": Inner,
    "nested event": shapes.Empty,
    "Decimal without scale": Decimal,
    "Decimal with half a scale": Annotated[Decimal, About(extra={"precision": 5})],
    "Decimal with more places than digits": Annotated[Decimal, About(extra={"precision": 5, "scale": 6})],
    "Decimal of 39 digits": Annotated[Decimal, About(extra={"precision": 39, "scale": 0})],
    "bytes": bytes,
    "Any": Any,
    "set": set[int],
    "fixed tuple": tuple[int, int],
    "UUID": UUID,
    "time": dt.time,
    "timedelta": dt.timedelta,
    "enum of numbers": Number,
    "enum with a space": Spaced,
    "list of floats": list[float],
    "list of None": list[None],
    "optional float": float | None,
}


@pytest.mark.parametrize("declared", REFUSED.values(), ids=REFUSED)
def test_a_refused_type_names_class_and_field(declared: Any) -> None:
    with pytest.raises(ContractError, match=r"Made\.field"):
        schema_of(event_with(declared), "tests.made")


DEFAULTS: dict[str, tuple[Any, Any]] = {
    "decimal": (Money, Decimal("1.00")),
    "date": (dt.date, dt.date(2026, 1, 1)),
    "list of decimals": (list[Money], [Decimal("1.00")]),
    "optional that is not None": (Whole | None, 5),
}


@pytest.mark.parametrize(("declared", "default"), DEFAULTS.values(), ids=DEFAULTS)
def test_a_default_that_avro_cannot_say_is_refused(declared: Any, default: Any) -> None:
    if isinstance(default, list):
        default = msgspec.field(default_factory=lambda: [Decimal("1.00")])
    with pytest.raises(ContractError, match=r"Made\.field"):
        schema_of(event_with(declared, default), "tests.made")


@pytest.mark.parametrize("name", ["meta", "m_row", "m_stream", "camelCase", "_hidden", "x" * 64])
def test_a_fields_name_must_be_fit_for_a_column(name: str) -> None:
    with pytest.raises(ContractError, match="name"):
        schema_of(event_with(int, name=name), "tests.made")


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_a_text_that_nothing_can_store_is_refused_wherever_it_stands(text: str) -> None:
    described = Annotated[str, About(description=text)]
    for fields in ([("field", described)], [("field", Annotated[str, About(description="A field.")], text)]):
        with pytest.raises(ContractError, match=r"Made\.field: its .* no text"):
            schema_of(made(fields), "tests.made")
    silent = made([])
    silent.__doc__ = text
    with pytest.raises(ContractError, match="Made: its docstring is no text"):
        schema_of(silent, "tests.made")


def test_names_and_numbers_that_no_file_and_no_schema_can_have_are_refused() -> None:
    long = made([])
    long.__name__ = "L" * 101
    with pytest.raises(ContractError, match="at most 100 letters"):
        schema_of(long, "tests.made")
    with pytest.raises(ContractError, match="precision and scale"):
        schema_of(event_with(Annotated[Decimal, About(extra={"precision": True, "scale": False})]), "tests.made")
    with pytest.raises(ContractError, match="Made: name 'Nowhere' is not defined"):
        schema_of(made([("field", "Nowhere")]), "tests.made")


def test_a_class_needs_a_docstring_of_its_own() -> None:
    class Silent(shapes.Empty):
        pass

    with pytest.raises(ContractError, match="Silent has no docstring"):
        schema_of(Silent, "tests.made")


def test_a_field_needs_a_description() -> None:
    class Terse(Event):
        """Something happened."""

        number: int

    with pytest.raises(ContractError, match=r"Terse\.number has no description"):
        schema_of(Terse, "tests.made")


def test_bounds_that_msgspec_cannot_combine_are_named() -> None:
    class Bounded(Event):
        """Whole has bounds of its own."""

        number: Annotated[Whole, About(description="A field.", ge=0)]

    with pytest.raises(ContractError, match=r"Bounded\.number: .*`ge`"):
        schema_of(Bounded, "tests.made")


def test_digits_beside_an_optional_decimal_are_shown_their_place() -> None:
    class Weighed(Event):
        """Something was weighed."""

        grams: Annotated[Decimal | None, About(description="D.", extra={"precision": 5, "scale": 2})] = None

    with pytest.raises(ContractError, match=r"within: `Annotated\[Decimal, Meta"):
        schema_of(Weighed, "test.thing")


def test_two_enums_of_one_name_are_refused() -> None:
    class Color(Enum):
        BLACK = "black"

    fields: list[Any] = [
        (n, Annotated[t, About(description="A field.")]) for n, t in (("a", shapes.Color), ("b", Color))
    ]
    with pytest.raises(ContractError, match="two types are named Color"):
        schema_of(made(fields), "tests.made")


@pytest.mark.parametrize("name", ["string", "null", "record", "Größe", "Made"])
def test_an_enum_that_other_readers_would_take_for_something_else_is_refused(name: str) -> None:
    fields: list[Any] = [("a", Annotated[Enum(name, {"A": "a"}), About(description="A field.")])]
    with pytest.raises(ContractError, match=name):
        schema_of(made(fields), "tests.made")


def test_a_field_with_another_name_in_json_is_refused() -> None:
    class Renamed(Event, rename="camel"):
        """Something happened."""

        in_all: Annotated[int, About(description="A field.")]

    with pytest.raises(ContractError, match=r"Renamed\.in_all: its other name, inAll"):
        schema_of(Renamed, "tests.made")


@pytest.mark.parametrize("schema", shapes.schemas(), ids=lambda schema: schema["name"])
def test_what_is_allowed_is_valid_avro(schema: dict[str, Any]) -> None:
    fastavro.parse_schema(schema, _force=True)
    assert all(field["doc"] for field in schema["fields"])


def test_an_enum_used_twice_is_defined_once_and_resolved_at_each_use() -> None:
    fields = schema_of(shapes.Plain, "tests.shapes")["fields"]
    assert [f["type"] for f in fields[-2:]][1] == "Color"
    assert [f["type"]["symbols"] for f in resolved(fields[1:])[-2:]] == [["red", "green", "blue"]] * 2


def test_numbers_are_as_wide_as_their_bounds() -> None:
    assert schema_of(event_with(Whole), "tests.made")["fields"][1]["type"] == "int"
    assert schema_of(event_with(Annotated[int, About(ge=0)]), "tests.made")["fields"][1]["type"] == "long"


def test_texts_make_no_other_schema_but_everything_else_does() -> None:
    schema = schema_of(shapes.Plain, "tests.shapes")
    other_words = {**schema, "doc": "Said better."}
    assert schema_id(other_words) == schema_id(schema)
    assert "doc" not in repr(without_docs(schema))
    assert schema_id({**schema, "name": "Planer"}) != schema_id(schema)
    assert schema_id({**schema, "fields": schema["fields"][::-1]}) != schema_id(schema)


def test_the_catalog_refuses_a_class_that_nobody_froze() -> None:
    with pytest.raises(SchemaNotFrozen):
        Catalog([shapes.SHAPES], shapes.schemas()[1:])


def test_the_catalog_refuses_two_schemas_with_one_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refold.schemas.catalog.schema_id", lambda _: 5)
    with pytest.raises(SchemaCollision):
        Catalog([shapes.SHAPES], shapes.schemas())


def test_freeze_writes_the_next_version_and_touches_none(tmp_path: Any) -> None:
    first = freeze(unfrozen([shapes.SHAPES], []), tmp_path)
    before = {path: path.read_text() for path in first}
    assert {path.name for path in first} == {f"tests.shapes.{cls.__name__}.v1.avsc" for cls in shapes.SHAPES.classes}
    assert unfrozen([shapes.SHAPES], shapes.schemas()) == []
    second = freeze([schema_of(shapes.Empty, "tests.shapes")], tmp_path)
    assert [path.name for path in second] == ["tests.shapes.Empty.v2.avsc"]
    assert {path: path.read_text() for path in first} == before


def test_categories_say_what_is_wrong_with_them() -> None:
    with pytest.raises(ContractError, match=r"domain\.category"):
        Category("Shapes", (), ())

    class Lost(Command):
        """Names a field that is not there."""

        stream_field = "nowhere"

    with pytest.raises(ContractError, match="nowhere"):
        Category("tests.lost", (Lost,), ())
    strange: list[tuple[Any, str]] = [
        ((5, (), ()), "category 5 is not of the form"),
        (("tests.odd", [], ()), r"tests\.odd\.commands is a tuple of classes, not \[\]"),
        (("tests.odd", (shapes.Empty,), ()), r"tests\.odd\.commands holds .*Empty.*, which is no class of Command"),
        (("tests.odd", (), (Lost,)), r"tests\.odd\.events holds .*Lost.*, which is no class of Event"),
        (("tests.odd", (), (5,)), r"tests\.odd\.events holds 5"),
        (("tests.odd", (Command,), ()), "stream_field names no field of it: None"),
        (("tests.odd", (), (), 5), r"tests\.odd\.upcasters is a tuple"),
    ]
    for arguments, said in strange:
        with pytest.raises(ContractError, match=said):
            Category(*arguments)
    with pytest.raises(ContractError, match="Empty is the name of two classes"):
        Category("tests.empty", (), (shapes.Empty, shapes.Empty))
    with pytest.raises(ContractError, match=r"a\.b_c and a_b\.c cannot both have topics"):
        Catalog([Category("a.b_c", (), ()), Category("a_b.c", (), ())], [])
    with pytest.raises(ContractError, match="twice"):
        Catalog([shapes.SHAPES, shapes.SHAPES], shapes.schemas())


@pytest.mark.parametrize("text", ["a", "x" * 200, "A.b_c~d:e-1"])
def test_stream_ids(text: str) -> None:
    assert is_stream_id(text)


@pytest.mark.parametrize("text", ["", "x" * 201, "a/b", "é", "a b", "a\n", "\ud800", "../x", "a'b"])
def test_what_is_no_stream_id(text: str) -> None:
    assert not is_stream_id(text)


def test_fields_that_classes_have_in_common_stand_once() -> None:
    class AtTill(Event):
        """Something happened at a till."""

        till: Annotated[int, About(description="Its number.")]

    class Sold(AtTill):
        """A thing was sold."""

        grams: Annotated[int, About(description="What it weighs.")]

    schema = schema_of(Sold, "shop.sale")
    assert (schema["name"], schema["doc"]) == ("Sold", "A thing was sold.")
    assert [(field["name"], field["doc"]) for field in schema["fields"][1:]] == [
        ("till", "Its number."),
        ("grams", "What it weighs."),
    ]
    assert Category("shop.sale", commands=(), events=(Sold,)).events == (Sold,)
