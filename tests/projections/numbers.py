"""A domain of numbers and times only: decimals of every scale with the most digits, other types at their ends."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import msgspec

from refold.projections.declaring.declaration import Entity, EventType, Evolve, Rollup, View
from refold.projections.declaring.gathering import events, key
from refold.schemas.avro import schema_of
from refold.schemas.catalog import Catalog
from refold.schemas.codec import Codec
from refold.schemas.contracts import Category, Event, Long, Whole
from refold.schemas.meta import Meta
from refold.streams.chunk import Chunk

SCALES = range(39)
_BASE = datetime(2026, 1, 1, tzinfo=UTC)


def digits(scale: int, precision: int = 38) -> Any:
    return Annotated[Decimal, msgspec.Meta(extra={"precision": precision, "scale": scale}, description="A number.")]


def _moved(scale: int) -> type[Event]:
    note = Annotated[str, msgspec.Meta(description="Of which sum.")]
    fields = [("account", note), ("amount", digits(scale))]
    said = {"__doc__": "Something was moved."}
    made = msgspec.defstruct(f"Moved{scale}", fields, bases=(Event,), namespace=said, frozen=True, kw_only=True)
    assert issubclass(made, Event)
    return made


MOVED: dict[int, type[Event]] = {scale: _moved(scale) for scale in SCALES}


class Ends(Event):
    """Values at the ends of their types."""

    whole: Annotated[Whole, msgspec.Meta(description="Small.")]
    long: Annotated[Long, msgspec.Meta(description="Large.")]
    day: Annotated[date, msgspec.Meta(description="A day.")]
    at: Annotated[datetime, msgspec.Meta(description="A time.")]
    narrow: digits(2, 19)  # type: ignore[valid-type]  # made by a function
    wide: digits(18)  # type: ignore[valid-type]  # as above


LEDGER = Category("numbers.ledger", (), (*MOVED.values(), Ends))
_FROZEN = [schema_of(event, LEDGER.name) for event in LEDGER.events]
CATALOG = Catalog((LEDGER,), _FROZEN)
CODEC = Codec(CATALOG)


def _totals(scale: int) -> Rollup:
    moved = events(LEDGER, MOVED[scale])
    return Rollup(
        name=f"totals_{scale}",
        domain="numbers",
        description="A row for each account.",
        key={"account": key("account", "Of which sum.")},
        columns={
            "total": moved.sum("amount", "Sum."),
            "least": moved.min("amount", "Least."),
            "most": moved.max("amount", "Most."),
            "latest": moved.last("amount", "Latest."),
            "moves": moved.count("How many."),
        },
    )


TOTALS = {scale: _totals(scale) for scale in SCALES}


class Held(msgspec.Struct, frozen=True):
    total: digits(18) = Decimal(0)  # type: ignore[valid-type]  # made by a function
    text: str = ""
    at: datetime | None = None
    day: date | None = None


def hold(state: Held | None, event: Event) -> Held:
    state = state or Held()
    match event:
        case Ends(wide=wide, at=at, day=day):
            return Held(state.total + wide, str(state.total), at, day)
        case _:
            return state


ends = events(LEDGER, Ends)
EDGES = Entity(
    name="edges",
    domain="numbers",
    description="A row for each stream.",
    category=LEDGER,
    key_name="stream",
    key_doc="Stream.",
    columns={
        f"{gather}_{name}": getattr(ends, gather)(name, f"The {gather} {name}.")
        for name in ("whole", "long", "day", "at", "narrow", "wide")
        for gather in ("min", "max", "last", *(["sum"] if name not in {"day", "at"} else []))
    },
)
HELD = Entity(
    name="held",
    domain="numbers",
    description="By evolve.",
    category=LEDGER,
    key_name="stream",
    key_doc="Stream.",
    evolve=Evolve(Held, hold, {"total": "Sum.", "text": "The sum before, as text.", "at": "Latest.", "day": "Latest."}),
)


def kind_of(scale: int) -> EventType:
    return EventType(LEDGER, MOVED[scale])


def moved(scale: int, unscaled: int, account: str = "a") -> Event:
    made: Callable[..., Event] = MOVED[scale]
    return made(account=account, amount=number(unscaled, scale))


def number(unscaled: int, scale: int) -> Decimal:
    sign, figures = int(unscaled < 0), tuple(map(int, str(abs(unscaled))))
    return Decimal((sign, figures, -scale))


def chunk_of(found: list[Event], start: int = 0, stream: str = "s") -> Chunk:
    """Events of one stream, from a place on, as a chunk of partition 0."""
    values: list[bytes | None] = [_record(event, start + n + 1, stream) for n, event in enumerate(found)]
    return Chunk("numbers.ledger.events", 0, start, values)


def _record(event: Event, version: int, stream: str) -> bytes:
    meta = Meta(
        writer=UUID(int=1), command_id=UUID(int=2), body_hash=bytes(16), event_id=UUID(int=3), category=LEDGER.name,
        stream=stream, version=version, base_version=version - 1, seq=0, index=0, count=1, command_offset=0,
        occurred_at=_BASE, recorded_at=_BASE,
    )  # fmt: skip
    return CODEC.event(meta, event)


DECLARED = {
    "account": "text", "scaled": "numeric(38,18)", "most": "numeric(38,2)", "average": "numeric(12,3)", "whole": "numeric(38,0)",
    "moves": "bigint", "small": "integer", "at": "timestamp with time zone", "precise": "timestamp(3) with time zone",
    "short": "character varying(9)", "day": "date", "truth": "boolean", "span": "interval", "real": "double precision",
}  # fmt: skip
SHOWN = View(
    name="shown",
    domain="numbers",
    description="Declared types.",
    columns={name: (kind, "A column.") for name, kind in DECLARED.items()},
    key=("account",),
    reads=("totals_18",),
    sql="""
        SELECT account, sum(total) AS scaled, max(v) AS most, avg(v) AS average, count(*) AS whole, sum(moves) AS moves, 1 AS small,
               now() AS at, now() AS precise, 'text' AS short, now() AS day, true AS truth, interval '1 mon' AS span, 1.5 AS real
          FROM numbers.totals_18, (VALUES (1.10), (1.1), (1.100)) AS n(v) GROUP BY account
    """,
)

KEPT = Entity(
    name="kept",
    domain="numbers",
    description="A row for each stream, until its end.",
    category=LEDGER,
    key_name="stream",
    key_doc="Stream.",
    columns={"total": events(LEDGER, MOVED[5]).sum("amount", "Sum.")},
    deleted_when=Ends,
)
