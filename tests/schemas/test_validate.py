"""JSON to a command: what a type forbids is refused with its place, never coerced or rounded."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given, settings

from refold.schemas.contracts import Command, Money
from refold.schemas.errors import BadValue, Malformed
from refold.schemas.validate import canonical, checked, from_fields, from_json
from tests.schemas import shapes
from tests.schemas.shapes import COMMANDS, DOC, DoAll

GOOD: dict[str, Any] = {"stream": "s-1", "small": 1, "amount": "1.50"}


def body(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


BAD_VALUES: dict[str, tuple[bytes, str]] = {
    "unknown field": (body(extra=1), "$"),
    "missing field": (b'{"stream":"s","small":1}', "$"),
    "no object": (b"[]", "$"),
    "null for a number": (body(small=None), "$.small"),
    "text for a number": (body(small="1"), "$.small"),
    "number for a text": (body(stream=1), "$.stream"),
    "boolean for a number": (body(small=True), "$.small"),
    "number for a boolean": (body(flag=1), "$.flag"),
    "fraction for a whole number": (body(small=1.5), "$.small"),
    "33 bits": (body(small=2**31), "$.small"),
    "65 bits": (body(large=2**63), "$.large"),
    "65 bits below": (body(large=-(2**63) - 1), "$.large"),
    "a thousand digits": (body().replace(b'"small": 1', b'"small": ' + b"9" * 1000), "$.small"),
    "too many decimals": (body(amount="1.505"), "$.amount"),
    "too many digits": (body(amount="12345678901.00"), "$.amount"),
    "too many digits by exponent": (body(amount="1e400"), "$.amount"),
    "too many decimals by exponent": (body(amount="1e-400"), "$.amount"),
    "NaN as text": (body(amount="NaN"), "$.amount"),
    "Infinity as text": (body(amount="-Infinity"), "$.amount"),
    "signalling NaN": (body(amount="sNaN"), "$.amount"),
    "words for a decimal": (body(amount="much"), "$.amount"),
    "underscores in a decimal": (body(amount="1_0.0"), "$.amount"),
    "spaces around a decimal": (body(amount=" 1.0 "), "$.amount"),
    "other digits than ASCII's": (body(amount="\u0661.0"), "$.amount"),
    "underscores in an optional decimal": (body(fine="1_0"), "$.fine"),
    "unknown symbol": (body(color="mauve"), "$.color"),
    "naive time": (body(at="2026-01-31T12:00:00"), "$.at"),
    "a day for a time": (body(at="2026-01-31"), "$.at"),
    "a time that UTC does not have": (body(at="9999-12-31T23:59:59-10:00"), "$.at"),
    "year 0": (body(at="0000-01-01T00:00:00Z"), "$.at"),
    "number for a time": (body(at=5), "$.at"),
    "the end of a day in .NET": (body(at="2026-12-31T23:59:59.9999999Z"), "$.at"),
    "seven digits of a second": (body(at="2026-12-31T23:59:59.0000001+00:00"), "$.at"),
    "nine digits of a second": (body(at="2026-12-31T23:59:59.123456789Z"), "$.at"),
    "seven digits by escape": (body(at="X").replace(b"X", b"2026-12-31T23:59:59\\u002e9999999Z"), "$.at"),
    "a leap second": (body(at="2026-12-31T23:59:60Z"), "$.at"),
    "24 o'clock": (body(at="2026-12-31T24:00:00Z"), "$.at"),
    "an offset with seconds": (body(at="1890-01-01T00:00:00+00:19:32"), "$.at"),
    "before year 1 in UTC": (body(at="0001-01-01T00:00:00+00:01"), "$.at"),
    "wrong item": (body(texts=["a", 1]), "$.texts[1]"),
}
MALFORMED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "line 1 column 1"),
    "cut off": (b'{"stream": "s"', "line 1 column 15"),
    "two values": (b"{} {}", "line 1 column 4"),
    "trailing comma": (b'{"a": 1,}', "line 1"),
    "comment": (b"{} // no", "line 1"),
    "single quotes": (b"{'a': 1}", "line 1"),
    "a key twice": (b'{"stream": "s", "stream": "t"}', "$.stream"),
    "a key twice by escape": (b'{"stream": "s", "str\\u0065am": "t"}', "$.stream"),
    "a key twice inside": (b'{"a": {"b": 1, "b": 2}}', "$.b"),
    "NaN": (b'{"small": NaN}', "NaN"),
    "Infinity": (b'{"small": -Infinity}', "-Infinity"),
    "BOM": (b"\xef\xbb\xbf" + body(), "line 1 column 1"),
    "UTF-16": (body().decode().encode("utf-16"), "byte 0"),
    "bad UTF-8": (b'{"stream": "\xff"}', "byte 12"),
    "surrogate as UTF-8": (b'{"stream": "\xed\xa0\x80"}', "byte 12"),
    "lone surrogate": (body(stream="s").replace(b'"s"', b'"\\ud800"'), "$.stream"),
    "lone surrogate in a key": (b'{"\\udfff": 1}', "$"),
    "NUL by escape": (body(stream="a\0b"), "$.stream"),
    "NUL as a byte": (b'{"stream": "a\0b"}', "line 1"),
    "deep": (b"[" * 40 + b"]" * 40, "byte 32"),
    "very deep": (b'{"a":' * 100_000, "byte"),
}


@pytest.mark.parametrize(("raw", "field"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_a_wrong_value_names_its_field(raw: bytes, field: str) -> None:
    with pytest.raises(BadValue) as caught:
        from_json(raw, DoAll)
    assert caught.value.field == field
    assert caught.value.code == "bad-value"
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(("raw", "place"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_json_names_its_place(raw: bytes, place: str) -> None:
    with pytest.raises(Malformed) as caught:
        from_json(raw, DoAll)
    assert caught.value.place.startswith(place)
    assert caught.value.code == "malformed-json"
    assert caught.value.message.isascii()


@pytest.mark.timeout(30)
def test_of_a_hundred_thousand_keys_the_one_that_is_there_twice_is_found_at_once() -> None:
    """All the API's other requests wait meanwhile."""
    names = ",".join(f'"{number}":1' for number in range(90_000))
    with pytest.raises(Malformed) as caught:
        from_json(f'{{{names},"89999":1}}'.encode(), DoAll)
    assert caught.value.place == "$.89999"


def test_what_is_right_is_taken_as_it_is() -> None:
    made = from_json(body(at="2026-01-31T12:00:00.5+02:00", amount=1.5, texts=["ü", ""]), DoAll)
    assert made.at == datetime(2026, 1, 31, 10, 0, 0, 500_000, tzinfo=UTC)
    assert made.at is not None
    assert made.at.tzinfo is UTC
    assert str(made.amount) == "1.50"
    assert made.texts == ("ü", "")


@pytest.mark.parametrize(
    ("given_as", "becomes"),
    [
        ("1.5", "1.50"),
        ("1.50", "1.50"),
        ("1.500", "1.50"),
        ("15e-1", "1.50"),
        ("-0", "0.00"),
        ("0E+9", "0.00"),
        ("7", "7.00"),
    ],
)
def test_decimals_have_one_form(given_as: str, becomes: str) -> None:
    assert str(from_json(body(amount=given_as), DoAll).amount) == becomes


def test_a_decimal_may_be_written_with_escapes() -> None:
    assert str(from_json(body(amount="X").replace(b"X", b"\\u0031.5"), DoAll).amount) == "1.50"


def test_zeros_behind_the_sixth_digit_of_a_second_say_nothing_else() -> None:
    made = from_json(body(at="2026-12-31T23:59:59.99999900Z"), DoAll)
    assert made.at == datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@pytest.mark.parametrize("said", ["2026-12-31T23:59:59.9999999Z", "1_0", " 1 "])
def test_a_text_that_code_gave_for_a_time_or_a_decimal_is_no_looser(said: str) -> None:
    name = "at" if "T" in said else "amount"
    with pytest.raises(BadValue) as caught:
        from_fields({**GOOD, "amount": Decimal(1), name: said}, DoAll)
    assert caught.value.field == f"$.{name}"


def test_each_time_of_a_list_is_looked_at() -> None:
    class Visits(Command):
        """When somebody came."""

        stream_field = "stream"
        stream: Annotated[str, DOC]
        at: Annotated[tuple[datetime, ...], DOC] = ()

    with pytest.raises(BadValue) as caught:
        from_json(b'{"stream": "s", "at": ["2026-12-31T23:59:59Z", "2026-12-31T23:59:59.9999999Z"]}', Visits)
    assert caught.value.field == "$.at[1]"


def test_each_decimal_of_a_list_is_looked_at() -> None:
    class Prices(Command):
        """What some things cost."""

        stream_field = "stream"
        stream: Annotated[str, DOC]
        amounts: Annotated[tuple[Money, ...], DOC] = ()

    assert len(from_json(b'{"stream": "s", "amounts": [1, "2.5"]}', Prices).amounts) == 2
    with pytest.raises(BadValue) as caught:
        from_json(b'{"stream": "s", "amounts": [1, "2.5", "1_0"]}', Prices)
    assert caught.value.field == "$.amounts[2]"


@given(command=COMMANDS)
@settings(max_examples=60, deadline=None)
def test_json_and_back(command: DoAll) -> None:
    once = canonical(command)
    assert from_json(msgspec.json.encode(once), DoAll) == once
    assert checked(once) == once
    assert from_fields(msgspec.structs.asdict(once), DoAll) == once


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"small": 2**31}, "$.small"),
        ({"large": 2**63}, "$.large"),
        ({"amount": Decimal("0.001")}, "$.amount"),
        ({"stream": "\ud800"}, "$.stream"),
        ({"texts": ("a", "b\0")}, "$.texts[1]"),
        ({"at": datetime(2026, 1, 1)}, "$.at"),  # noqa: DTZ001 - naive on purpose
        ({"at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-10)))}, "$.at"),
        ({"color": "red"}, None),
        ({"stream": 5}, "$.stream"),
    ],
)
def test_commands_made_by_code_are_checked_alike(changes: dict[str, Any], field: str | None) -> None:
    made = DoAll(**{"stream": "s", "small": 1, "amount": Decimal(1), **changes})
    if field is None:
        assert checked(made).color is shapes.Color.RED
        return
    with pytest.raises(BadValue) as caught:
        checked(made)
    assert caught.value.field == field
