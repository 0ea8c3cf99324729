"""A declaration is checked when it is made: one sentence with model, column, the field's type and the constant."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from functools import partial, reduce
from operator import or_
from pathlib import Path
from typing import Any

import msgspec
import pytest

from refold.api.cli import app as cli
from refold.projections.declaring.declaration import Entity, Evolve, Rollup
from refold.projections.declaring.expressions import Field, by_event, day, field
from refold.projections.declaring.gathering import events, key
from refold.projections.errors import BadDeclaration
from refold.projections.tables.fingerprint import fingerprint
from tests.projections.typed import CATEGORY, Kind, Typed

typed = events(CATEGORY, Typed)


class Other(Enum):
    A = "a"


class Total(msgspec.Struct):
    """A state."""

    total: int


class Words(StrEnum):
    A = "a"


def counted(condition: Any, by: Any = "text") -> Rollup:
    return Rollup(
        name="model",
        domain="typed",
        description="A model.",
        key={"by": key(by, "A key.")},
        columns={"column": typed.where(condition).count("Some.")},
    )


NO = {
    "a flag is no number": (field("number").eq(True), "number is an int, and True is no whole number"),
    "a number is no flag": (field("flag").eq(1), "flag is a boolean, and 1 is neither"),
    "a text is no flag": (field("flag").eq("true"), "neither True nor False"),
    "flags have no order": (field("flag").gt(False), "flag is a boolean, which has no order"),
    "enums have no order": (field("kind").ge(Kind.A), r"kind is an enum \(Kind\), which has no order"),
    "no member": (field("kind").eq("c"), "'c' is none of 'b', 'a', 'Z'"),
    "another enum": (field("kind_or_none").is_in(Other.A), "<Other.A: 'a'> is none of"),
    "a number is no member": (field("kind").eq(1), "1 is none of"),
    "a text is no amount": (field("amount").gt("1"), r"amount is a decimal\(12,2\), and '1' is no Decimal"),
    "a float is no amount": (field("amount").gt(0.1), "0.1 is no Decimal"),  # type: ignore[arg-type]  # what is refused
    "a flag is no amount": (field("amount").gt(True), "True is no Decimal"),
    "NaN": (field("amount").eq(Decimal("NaN")), "is no number"),
    "infinity": (field("amount").lt(Decimal("Infinity")), "is no number"),
    "too large an amount": (field("amount").lt(10**10), "out of its bounds"),
    "too large an int": (field("number").lt(2**31), "out of its bounds"),
    "too large a long": (field("big").ge(-(2**63) - 1), "big is a long, and -9223372036854775809 is out of its bounds"),
    "an int that Python does not print": (
        field("number").lt(10**5000),
        "a number of more than 100 digits is out of its",
    ),
    "too many in a row": (
        reduce(or_, [field("number").eq(n) for n in range(200)]),
        r"more than 100 .* is_in\(a, b, …\)",
    ),
    "a decimal is no int": (field("number").gt(Decimal(1)), "is no whole number"),
    "a float is no int": (field("number").gt(1.0), "is no whole number"),  # type: ignore[arg-type]  # what is refused
    "a text is no int": (field("number_or_none").is_in(1, "2"), "'2' is no whole number"),
    "a number is no text": (field("text").eq(1), "text is a text, and 1 is no text"),
    "NUL": (field("text").eq("a\0"), "is no text that an event can hold"),
    "half a pair": (field("text").ne("\ud800"), "is no text that an event can hold"),
    "no zone": (field("at").ge(datetime(2026, 1, 1)), "at is a time, and .* says no time zone"),  # noqa: DTZ001 - what is refused
    "a date is no time": (field("at").ge(date(2026, 1, 1)), "is no datetime"),
    "a text is no time": (field("at_or_none").ge("2026-01-01"), "is no datetime"),
    "a time is no date": (field("on").ge(datetime(2026, 1, 1, tzinfo=UTC)), "on is a date, and .* is no date"),
    "a text is no date": (field("on").ge("2026-01-01"), "is no date"),
    "nothing": (field("text_or_none").eq(None), "no value equals None"),  # type: ignore[arg-type]  # what is refused
    "not nothing": (field("text_or_none").is_in("a", None), "no value equals None"),  # type: ignore[arg-type]  # what is refused
    "a list": (field("text").is_in(["a", "b"]), r"write is_in\(a, b\)"),  # type: ignore[arg-type]  # what is refused
    "a tuple": (field("text").eq(("a", "b")), r"write is_in\(a, b\)"),  # type: ignore[arg-type]  # what is refused
    "none of none": (field("text").is_in(), "names no value"),
    "no field": (field("nowhere").eq(1), "Typed has no field nowhere"),
    "in the envelope": (field("m_version").eq("1"), "m_version is a long, and '1'"),
    "behind another": (field("flag").eq(value=True) & (field("flag").eq(1) | field("big").eq(1)), "1 is neither"),
}


@pytest.mark.parametrize("case", NO)
def test_a_constant_that_is_not_of_its_fields_type_is_refused(case: str) -> None:
    condition, said = NO[case]
    with pytest.raises(BadDeclaration, match=f"^model.column: .*{said}"):
        counted(condition)


def test_what_only_looks_like_a_condition_is_refused() -> None:
    with pytest.raises(BadDeclaration, match="takes a condition"):
        typed.where(field("number") == 1)  # type: ignore[arg-type, comparison-overlap]  # what is refused
    with pytest.raises(BadDeclaration, match="join conditions by & and"):
        typed.where(field("number").eq(1) and field("big").eq(1))
    with pytest.raises(BadDeclaration, match="join conditions by & and"):
        typed.where(not field("number").eq(1))  # type: ignore[arg-type]  # what is refused


NO_COLUMN: dict[str, tuple[Callable[[], Any], str]] = {
    "the sum of a text": (lambda: typed.sum("text", "No."), "have a sum, not text"),
    "the sum of a flag": (lambda: typed.sum("flag", "No."), "have a sum, not boolean"),
    "the sum of an enum": (lambda: typed.sum("kind", "No."), "have a sum, not text"),
    "the sum of a time": (lambda: typed.sum("m_occurred_at", "No."), "have a sum, not timestamptz"),
    "no field": (lambda: typed.max("nowhere", "No."), "Typed has no field nowhere"),
    "nothing": (lambda: typed.sum(None, "No."), "None is no field and no expression"),  # type: ignore[arg-type]  # what is refused
    "no expression": (lambda: typed.max(1, "No."), "1 is no field and no expression"),  # type: ignore[arg-type]  # what is refused
    "the day of a date": (lambda: typed.max(day("on"), "No."), r"day\(\) needs a time, and on is a date"),
    "the day of a text": (lambda: typed.max(day("text"), "No."), "needs a time, and text is a text"),
    "the day of a day": (lambda: typed.max(day(day("at")), "No."), r"day\(\) needs a time, and its value is a date"),
    "no word": (lambda: typed.last(by_event({}), "No."), "by_event names no word for Typed"),
    "a word with NUL": (lambda: typed.last(by_event({Typed: "\0"}), "No."), "is no text that Postgres can hold"),
    "a number for a word": (lambda: typed.last(by_event({Typed: 1}), "No."), "1 is no text"),  # type: ignore[dict-item]  # what is refused
}


@pytest.mark.parametrize("case", NO_COLUMN)
def test_a_column_that_cannot_be_is_refused_when_it_is_declared(case: str) -> None:
    column, said = NO_COLUMN[case]
    entity = partial(
        Entity, name="model", domain="typed", description="A model.", category=CATEGORY, key_name="id", key_doc="Id."
    )
    with pytest.raises(BadDeclaration, match=f"^model.column: .*{said}"):
        entity(columns={"column": column()})


@pytest.mark.parametrize("text", [None, 5, b"x", "a\0b", "\ud800"])
def test_a_description_that_postgres_cannot_keep_is_refused_wherever_it_stands(text: Any) -> None:
    count, by = typed.count("Some."), {"by": key("text", "A key.")}
    rollup: Any = partial(Rollup, name="model", domain="typed", description="A model.", key=by, columns={"n": count})
    entity: Any = partial(
        Entity, name="model", domain="typed", description="A model.", category=CATEGORY, key_name="id", key_doc="Id."
    )
    cases: dict[str, Callable[[], Any]] = {
        "it": lambda: rollup(description=text),
        "by": lambda: rollup(key={"by": key("text", text)}),
        "n": lambda: rollup(columns={"n": typed.count(text)}),
        "id": lambda: entity(key_doc=text, columns={"n": count}),
        "total": lambda: entity(evolve=Evolve(Total, lambda state, _: state, {"total": text})),
    }
    for where, made in cases.items():
        with pytest.raises(BadDeclaration, match=f"^model: {where} is described by .*, which is no text"):
            made()


@pytest.mark.parametrize(
    ("by", "said"),
    [
        (day("on"), "model.by: day.* needs a time, and on is a date"),
        (day("text"), "needs a time"),
        ("nowhere", "Typed has no field nowhere"),
        (by_event({}), "names no word for Typed"),
        (5, "5 is no field"),
    ],
)
def test_a_key_that_cannot_be_is_refused(by: Any, said: str) -> None:
    with pytest.raises(BadDeclaration, match=said):
        counted(field("number").eq(1), by)


def test_the_day_of_a_field_is_a_key_by_its_name() -> None:
    assert counted(field("number").eq(1), day("at")) == counted(field("number").eq(1), day(Field("at")))


def test_a_state_that_no_column_holds_is_refused() -> None:
    class State(msgspec.Struct):
        sizes: list[int]

    evolve = Evolve(State, lambda state, _: state or State([]), {"sizes": "No."})
    with pytest.raises(BadDeclaration, match=r"^model\.sizes: a column cannot hold"):
        Entity(
            name="model",
            domain="typed",
            description="No.",
            category=CATEGORY,
            key_name="id",
            key_doc="Id.",
            evolve=evolve,
        )


def test_a_member_is_its_value() -> None:
    """Also for the fingerprint: a table that counted by the member itself is built anew."""
    member, plain = (fingerprint(counted(field("kind").is_in(value))) for value in (Kind.A, "a"))
    assert member == plain
    counted(field("text").is_in(Words.A))


def test_every_command_says_it_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package = tmp_path / "wrongly"
    package.mkdir()
    (package / "schemas").mkdir()
    (package / "__init__.py").touch()
    (package / "schemas" / "__init__.py").write_text("CATEGORIES = ()")
    (package / "streams.py").write_text("DECIDERS = ()")
    (package / "projections.py").write_text(
        "from refold.projections import Rollup, events, field, key\n"
        "from refold.retail.schemas.basket import BASKET, ItemScanned\n"
        "lines = events(BASKET, ItemScanned)\n"
        'MODEL = Rollup(name="m", domain="wrongly", description="M.", key={"k": key("store_id", "K.")},\n'
        '    columns={"c": lines.where(field("amount").gt("1")).count("C.")})\n'
        "READ_MODELS = (MODEL,)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REFOLD_DOMAINS", "wrongly")
    with pytest.raises(SystemExit):
        cli.main(["replay", "rebuild", "m"])
    said = capsys.readouterr().err
    assert "bad-declaration" in said
    assert "m.c: amount is a decimal(12,2), and '1' is no Decimal" in said
    assert "Traceback" not in said
