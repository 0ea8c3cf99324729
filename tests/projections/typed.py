"""An event with a field of each type, each also nullable; values of each type, and constants to compare with."""

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import strategies as st

from refold.projections.declaring.conditions import Compare, Condition
from refold.projections.declaring.field_types import EventType
from refold.schemas.avro import schema_of
from refold.schemas.catalog import Catalog
from refold.schemas.codec import Codec
from refold.schemas.contracts import Category, Event, Long, Money, Whole
from refold.streams.chunk import Chunk
from tests.projections.naive import Happened
from tests.projections.named import meta_of

BERLIN = ZoneInfo("Europe/Berlin")


class Kind(Enum):
    """Its order is not that of its texts."""

    B = "b"
    A = "a"
    LAST = "Z"


Precise = Annotated[Decimal, msgspec.Meta(extra={"precision": 38, "scale": 18})]
D = msgspec.Meta(description="A field.")


class Typed(Event):
    """All types."""

    kind: Annotated[Kind, D]
    at: Annotated[datetime, D]
    on: Annotated[date, D]
    amount: Annotated[Money, D]
    precise: Annotated[Precise, D]
    flag: Annotated[bool, D]
    number: Annotated[Whole, D]
    big: Annotated[Long, D]
    text: Annotated[str, D]
    kind_or_none: Annotated[Kind | None, D] = None
    at_or_none: Annotated[datetime | None, D] = None
    on_or_none: Annotated[date | None, D] = None
    amount_or_none: Annotated[Money | None, D] = None
    flag_or_none: Annotated[bool | None, D] = None
    number_or_none: Annotated[Whole | None, D] = None
    big_or_none: Annotated[Long | None, D] = None
    text_or_none: Annotated[str | None, D] = None


CATEGORY = Category("typed.row", (), (Typed,))
CATALOG = Catalog([CATEGORY], [schema_of(Typed, "typed.row")])
CODEC = Codec(CATALOG)
TYPED = EventType(CATEGORY, Typed)
FIRST = datetime(2026, 3, 1, 0, 0, 0, 1, tzinfo=UTC)
MOST = Decimal("9999999999.99")
POOLS: dict[str, list[Any]] = {
    "kind": list(Kind),
    "at": [
        FIRST,
        FIRST - timedelta(microseconds=1),
        FIRST + timedelta(hours=2),
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
    ],
    "on": [date(2026, 2, 28), date(2026, 3, 1), date.min, date.max],
    "amount": [Decimal("1.00"), Decimal("1.01"), Decimal("-0.01"), Decimal("0.00"), MOST, -MOST],
    "precise": [
        Decimal("12345678901234567.123456789012345678"),
        Decimal("0.000000000000000001"),
        Decimal("-99999999999999999999.999999999999999999"),
        Decimal("0.000000000000000000"),
    ],
    "flag": [True, False],
    "number": [0, 1, -1, 2**31 - 1, -(2**31)],
    "big": [0, 1, 2**63 - 1, -(2**63)],
    "text": ["", "a", "é", "z", "\U0001f600", "\uffee", "Z", "a b"],
}
NULLABLE = [name for name in POOLS if name != "precise"]
VALUES: dict[str, st.SearchStrategy[Any]] = {name: st.sampled_from(pool) for name, pool in POOLS.items()}
CONSTANTS: dict[str, st.SearchStrategy[Any]] = {
    "kind": VALUES["kind"] | st.sampled_from(["a", "b"]),
    "at": st.builds(
        datetime.astimezone,
        st.sampled_from([FIRST, FIRST - timedelta(microseconds=1), FIRST + timedelta(hours=2)]),
        st.sampled_from([UTC, BERLIN, ZoneInfo("UTC"), ZoneInfo("Europe/London"), timezone(timedelta(hours=-9))]),
    ),
    "on": VALUES["on"],
    "amount": VALUES["amount"]
    | st.sampled_from([Decimal("1.005"), Decimal("-0.001"), Decimal("1.0000000001"), 1, 0, -1]),
    "precise": VALUES["precise"] | st.sampled_from([1, Decimal("1e-19"), Decimal("0.5")]),
    "flag": VALUES["flag"],
    "number": VALUES["number"],
    "big": VALUES["big"],
    "text": VALUES["text"],
    "m_occurred_at": st.sampled_from(POOLS["at"][:3]),
    "m_recorded_at": st.sampled_from(POOLS["at"][:3]),
    "m_stream": st.sampled_from(["a", "b", "A"]),
    "m_version": st.integers(0, 9),
    "m_actor": st.just("someone"),
    "m_correlation_id": st.just("x"),
}
NAMES = (*Typed.__struct_fields__, *(name for name in CONSTANTS if name.startswith("m_")))
EVENTS = st.builds(
    Typed,
    **VALUES,
    **{f"{name}_or_none": st.none() | VALUES[name] for name in NULLABLE},
)
LOGS = st.lists(st.tuples(st.sampled_from("abA"), EVENTS, st.integers(0, 3)), max_size=12)


def constants_of(name: str) -> st.SearchStrategy[Any]:
    return CONSTANTS[name.removesuffix("_or_none")]


@st.composite
def comparisons(draw: st.DrawFn) -> Condition:
    name = draw(st.sampled_from(NAMES))
    operators = ["eq", "ne", "in"] if name.startswith(("kind", "flag")) else ["eq", "ne", "gt", "ge", "lt", "le", "in"]
    operator: Any = draw(st.sampled_from(operators))
    value = draw(constants_of(name))
    return Compare(name, operator, (value, draw(constants_of(name))) if operator == "in" else value)


CONDITIONS = st.recursive(
    comparisons(),
    lambda inner: (
        st.tuples(inner, inner).map(lambda two: two[0] & two[1])
        | st.tuples(inner, inner).map(lambda two: two[0] | two[1])
    ),
    max_leaves=3,
)


def random_log(seed: int, size: int) -> list[Happened]:
    """Each value of each field, sooner or later."""
    chance = random.Random(seed)

    def event() -> Typed:
        plain = {name: chance.choice(pool) for name, pool in POOLS.items()}
        return Typed(**plain, **{f"{name}_or_none": chance.choice([None, *POOLS[name]]) for name in NULLABLE})

    return log_of([(chance.choice("abA"), event(), chance.randint(0, 3)) for _ in range(size)])


def log_of(steps: Sequence[tuple[str, Typed, int]]) -> list[Happened]:
    versions: dict[str, int] = {}
    found = []
    for stream, event, seconds in steps:
        versions[stream] = versions.get(stream, 0) + 1
        found.append(Happened(TYPED, stream, versions[stream], FIRST + timedelta(seconds=seconds), event))
    return found


def chunk_of(log: Sequence[Happened], start: int = 0) -> Chunk:
    return Chunk("typed.row.events", 0, start, [CODEC.event(meta_of(item), item.event) for item in log])
