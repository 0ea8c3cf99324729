"""Ids and hashes that every process, in every version and language, must compute alike: pinned for ever."""

import hashlib
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refold.retail.schemas.basket import OpenBasket, PayBasket, ScanItem
from refold.schemas.binary import uuid_of
from refold.schemas.identity import (
    NAMESPACE,
    body_hash,
    canonical_json,
    command_uuid,
    event_uuid,
    outcome_key,
    raw_hash,
    unreadable_command_uuid,
)
from refold.schemas.validate import canonical, from_json
from tests.schemas import shapes
from tests.schemas.shapes import COMMANDS, Color, DoAll

SCAN = ScanItem(
    basket_id="31198570044", product_id=819063, quantity=2, amount=Decimal("3.99"), discount=Decimal("0.40")
)
ALL = DoAll(
    stream='ü"\\\n\x01',
    small=-1,
    amount=Decimal("-0.50"),
    at=datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC),
    fine=Decimal("0.000000001"),
    large=2**63 - 1,
    color=Color.BLUE,
    texts=("a", "😀"),
    flag=True,
)
PINNED = {
    "scan": (
        SCAN,
        '["ScanItem",{"amount":"3.99","basket_id":"31198570044","discount":"0.40","product_id":819063,"quantity":2}]',
        "4dbd8ce525f258c2e7e2230edd3c537d",
    ),
    "defaults": (
        OpenBasket(basket_id="b", store_id=1),
        '["OpenBasket",{"basket_id":"b","store_id":1}]',
        "27e7ff6111e08e336d04b58aaff8b6b8",
    ),
    "one field": (PayBasket(basket_id="b"), '["PayBasket",{"basket_id":"b"}]', "3a8b850a04bd989ad11aa51cb086ef0e"),
    "all": (
        ALL,
        (
            '["DoAll",{"amount":"-0.50","at":"2026-01-31T12:00:00.000005Z","color":"blue","fine":"0.000000001","flag":true,'
            '"large":9223372036854775807,"small":-1,"stream":"ü\\"\\\\\\n\\u0001","texts":["a","😀"]}]'
        ),
        "c53529b6ac620dbb0f91cd19eb9d5e20",
    ),
}


@pytest.mark.parametrize(("command", "text", "pinned"), PINNED.values(), ids=PINNED)
def test_the_canonical_form_and_its_hash(command: Any, text: str, pinned: str) -> None:
    assert canonical_json(command).decode() == text
    assert body_hash(command) == hashlib.sha256(text.encode()).digest()[:16]
    assert body_hash(command).hex() == pinned


def test_the_order_of_fields_and_defaults_given_or_left_out_make_no_difference() -> None:
    short = from_json(b'{"stream":"s","small":1,"amount":"1.50"}', DoAll)
    full = (
        b'{"flag":false,"texts":[],"color":"red","large":5,"fine":null,"at":null,"amount":1.5,"small":1,"stream":"s"}'
    )
    assert body_hash(from_json(full, DoAll)) == body_hash(short)


@pytest.mark.parametrize("amount", ["1.5", "1.50", "1.500", "15e-1"])
def test_one_amount_has_one_hash(amount: str) -> None:
    made = from_json(f'{{"stream":"s","small":1,"amount":"{amount}"}}'.encode(), DoAll)
    assert body_hash(made) == body_hash(DoAll(stream="s", small=1, amount=Decimal("1.50")))


def test_minus_zero_is_zero() -> None:
    minus = canonical(DoAll(stream="s", small=1, amount=Decimal("-0.00")))
    assert body_hash(minus) == body_hash(DoAll(stream="s", small=1, amount=Decimal("0.00")))


def test_one_moment_has_one_hash_whatever_its_offset() -> None:
    moment = datetime(2026, 1, 31, 12, tzinfo=UTC)
    there = moment.astimezone(timezone(timedelta(hours=5, minutes=30)))
    hashes = {body_hash(canonical(DoAll(stream="s", small=1, amount=Decimal(1), at=at))) for at in (moment, there)}
    assert len(hashes) == 1


@given(one=COMMANDS, other=COMMANDS)
@settings(max_examples=60, deadline=None)
def test_different_commands_have_different_hashes(one: DoAll, other: DoAll) -> None:
    one, other = canonical(one), canonical(other)
    assert (body_hash(one) == body_hash(other)) is (one == other)


def test_the_name_counts() -> None:
    assert body_hash(PayBasket(basket_id="b")) != hashlib.sha256(b'["VoidBasket",{"basket_id":"b"}]').digest()[:16]


def test_command_ids() -> None:
    assert command_uuid("0f8fad5b-d9cb-469f-a165-70867728950e") == UUID("0f8fad5b-d9cb-469f-a165-70867728950e")
    assert command_uuid("order 17") == uuid5(NAMESPACE, "key/order 17")
    assert str(command_uuid("order 17")) == "0adfe037-27b3-54db-99fa-b24d343b0f6b"
    assert str(unreadable_command_uuid("retail.basket.commands", 3, 99)) == "61a65c74-dca7-5302-9cc7-cc3ff0d21dd7"


def test_event_ids() -> None:
    assert str(event_uuid("retail.basket", "31198570044", UUID(int=7), 0)) == "0cc19346-3211-5af2-8ef8-e56891d141be"


@given(command_id=shapes.UUIDS, stream=shapes.STREAM, index=st.integers(0, 499))
@settings(max_examples=60, deadline=None)
def test_event_ids_are_version_5(command_id: UUID, stream: str, index: int) -> None:
    assert event_uuid("retail.basket", stream, command_id, index) == uuid5(
        command_id, f"retail.basket/{stream}/{index}"
    )


@given(raw=st.binary(min_size=16, max_size=16))
def test_uuids_of_bytes(raw: bytes) -> None:
    assert uuid_of(raw) == UUID(bytes=raw)
    assert hash(uuid_of(raw)) == hash(UUID(bytes=raw))


def test_outcome_keys() -> None:
    assert outcome_key("retail.basket", "b", UUID(int=7).bytes).hex() == "47f09cbca123d37c6b5a26a8f13f4c01"
    assert outcome_key("retail.basket", "c", UUID(int=7).bytes) != outcome_key("retail.basket", "b", UUID(int=7).bytes)


def test_raw_hashes() -> None:
    assert raw_hash(None) == raw_hash(b"") == hashlib.sha256(b"").digest()[:16]
