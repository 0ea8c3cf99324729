"""A small domain that uses everything a declaration can say, and logs of it as bytes."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

import msgspec

from refold.projections.declaring.declaration import Entity, EventType, Evolve, Rollup
from refold.projections.declaring.event_table import EventTable, cell
from refold.projections.declaring.expressions import (
    CATEGORY,
    EVENT_TYPE,
    OCCURRED_AT,
    STREAM,
    VERSION,
    by_event,
    carried,
    day,
    field,
)
from refold.projections.declaring.gathering import events, key, rejections
from refold.projections.declaring.history import History
from refold.projections.tables.memories import read_types
from refold.schemas.avro import schema_of
from refold.schemas.catalog import Catalog
from refold.schemas.codec import Codec, Rejection, encode_rejection
from refold.schemas.contracts import Category, Event, Long, Money, Upcaster, Whole
from refold.schemas.meta import Meta
from refold.schemas.rejections import RejectedCommand
from refold.streams.chunk import Chunk
from tests.projections.naive import Happened

Owner = Annotated[str | None, msgspec.Meta(description="Who.")]
Amount = Annotated[Money, msgspec.Meta(description="How much.")]


class Kind(Enum):
    PRIVATE = "private"
    SHARED = "shared"


class Opened(Event):
    """An account was opened."""

    owner: Owner = None
    kind: Annotated[Kind, msgspec.Meta(description="Whose.")] = Kind.PRIVATE


class Paid(Event):
    """Something was paid."""

    amount: Amount
    points: Annotated[Whole, msgspec.Meta(description="Small.")]
    huge: Annotated[Long, msgspec.Meta(description="Large.")]
    owner: Owner = None


class Closed(Event):
    """The account was closed."""


class Sent(Event):
    """A letter was sent."""

    amount: Amount
    owner: Owner = None


class Renamed(Event):
    """Retired: the owner got another name."""

    owner: Owner = None


class Reopened(Event):
    """Retired: the account was closed and opened anew at once."""

    owner: Owner = None


class PaidTwice(Event):
    """Retired: two payments in one."""

    first: Amount
    second: Amount
    points: Annotated[Whole, msgspec.Meta(description="Of the first; the second has one more.")]


def renamed(old: Renamed) -> Opened:
    if old.owner == "nobody":
        raise ValueError("there is no such owner")
    return Opened(owner=old.owner)


def reopened(old: Reopened) -> tuple[Closed, Renamed]:
    """Through another retired type."""
    return Closed(), Renamed(owner=old.owner)


def paid_twice(old: PaidTwice) -> list[Paid]:
    return [
        Paid(amount=old.first, points=old.points, huge=1),
        Paid(amount=old.second, points=old.points + 1, huge=2, owner="ann"),
    ]


UPCASTERS: dict[type[Event], Upcaster] = {Renamed: renamed, Reopened: reopened, PaidTwice: paid_twice}
ACCOUNT = Category("sample.account", (), (Opened, Paid, Closed), tuple(UPCASTERS.values()))
LETTER = Category("sample.letter", (), (Sent,))
CATEGORIES = {c.name: c for c in (ACCOUNT, LETTER)}
_BEFORE = Category("sample.account", (), (*ACCOUNT.events, *UPCASTERS))
_FROZEN = [schema_of(e, c.name) for c in (_BEFORE, LETTER) for e in c.events]
CATALOG = Catalog((ACCOUNT, LETTER), _FROZEN)
WRITER = Codec(Catalog((_BEFORE, LETTER), _FROZEN))
"""Writes what today's code no longer may."""

opened, paid, closed, sent = (
    events(ACCOUNT, Opened),
    events(ACCOUNT, Paid),
    events(ACCOUNT, Closed),
    events(LETTER, Sent),
)
spent = paid | sent
large = field("points").gt(3) & field("owner").ne("eve") | field("owner").is_in("ann", "bob")

BY_OWNER = Rollup(
    name="by_owner",
    domain="sample",
    description="Money by owner and day.",
    key={"owner": key("owner", "Who."), "day": key(day(OCCURRED_AT), "When.")},
    columns={
        "payments": spent.count("All."),
        "amount": spent.sum("amount", "All."),
        "large_points": paid.where(large).sum("points", "Some."),
        "huge": paid.sum("huge", "Exact."),
        "large_count": paid.where(large).count("Some."),
        "least": spent.where(field("amount").ge(Decimal("1.00"))).min("amount", "Some."),
        "most": spent.max("amount", "All."),
        "first_amount": spent.first("amount", "All."),
        "last_owner": spent.last("owner", "All."),
        "last_amount": spent.last("amount", "All."),
        "last_kind": spent.last(by_event({Paid: "paid", Sent: "sent"}), "Word."),
        "first_large": paid.where(large).first("points", "Some."),
        "last_large_word": paid.where(large).last(by_event({Paid: "large"}), "Word."),
        "last_at": spent.max(OCCURRED_AT, "Time."),
        "amounts": spent.distinct("amount", "All."),
        "streams": paid.where(large).distinct(STREAM, "Some."),
        "middle": spent.median("amount", "All."),
        "nine_tenths": spent.quantile("amount", 0.9, "All."),
        "often": paid.where(large).most_common(STREAM, "Some."),
    },
)
ACCOUNTS = Entity(
    name="accounts",
    domain="sample",
    description="Accounts.",
    category=ACCOUNT,
    key_name="account",
    key_doc="Id.",
    columns={
        "owner": opened.last("owner", "Owner."),
        "state": (opened | paid).last(by_event({Opened: "open", Paid: "used"}), "Word."),
        "payments": paid.count("All."),
        "amount": paid.sum("amount", "All."),
        "first_points": paid.where(field("points").gt(2)).first("points", "Some."),
        "last_owner": paid.last("owner", "May be null."),
        "owners": (opened | paid).distinct("owner", "Not null."),
        "sizes": paid.where(field("points").gt(2)).distinct("huge", "Some."),
        "usual_owner": (opened | paid).most_common("owner", "Not null."),
        "usual_points": paid.median("points", "Points."),
    },
    deleted_when=Closed,
)


class Balance(msgspec.Struct, frozen=True):
    owner: str | None = None
    amount: Money = Decimal("0.00")
    streak: int = 0


def fold_balance(state: Balance | None, event: Event) -> Balance:
    state = state or Balance()
    match event:
        case Opened(owner=owner, kind=Kind.PRIVATE):
            return msgspec.structs.replace(state, owner=owner)
        case Paid(amount=amount, points=points):
            if points == 13:
                raise ValueError("thirteen")
            return Balance(state.owner, state.amount + amount, state.streak + 1 if points > 2 else 0)
        case _:
            return state


BALANCES = Entity(
    name="balances",
    domain="sample",
    description="By evolve.",
    category=ACCOUNT,
    key_name="account",
    key_doc="Id.",
    evolve=Evolve(Balance, fold_balance, {"owner": "Owner.", "amount": "Sum.", "streak": "In a row."}),
    deleted_when=Closed,
)
STEPS = EventTable(
    name="steps",
    domain="sample",
    description="A row an event.",
    of=(opened | paid).where(field("owner").ne("eve")),
    stream=("account", "Id."),
    version=("step", "Version."),
    part=("part", "Number."),
    columns={
        "owner": cell("owner", "Who."),
        "amount": cell("amount", "Of payments."),
        "double": cell(field("amount") * 2 + field("points"), "Of payments."),
        "word": cell(by_event({Opened: "opened", Paid: "paid"}), "Word."),
        "at": cell(OCCURRED_AT, "When."),
        "day": cell(day(OCCURRED_AT), "Day."),
    },
)
refused = rejections(ACCOUNT)
REFUSALS = Rollup(
    name="refusals",
    domain="sample",
    description="Rejections by reason and day, beside the payments of the day.",
    key={"type": key(EVENT_TYPE, "What."), "day": key(day(OCCURRED_AT), "When.")},
    columns={
        "number": refused.count("All."),
        "payments": paid.count("All."),
        "broke": refused.where(field("code").eq("broke")).count("Some."),
        "first_said": refused.first("message", "Sentence."),
        "last_code": refused.where(field("command").ne("Close")).last("code", "Code."),
        "last_version": refused.last(VERSION, "Version."),
        "last_type": (refused | paid).last(EVENT_TYPE, "Type."),
        "last_at": refused.max(OCCURRED_AT, "Time."),
        "category": (refused | paid).max(CATEGORY, "Category."),
    },
)
REFUSED_STEPS = EventTable(
    name="refused_steps",
    domain="sample",
    description="A row a rejection.",
    of=refused.where(field("command").ne("Close")),
    columns={
        "command": cell("command", "Command."),
        "code": cell("code", "Code."),
        "version": cell(VERSION, "Version."),
    },
)
first_owner = carried(Opened, "owner")
BY_OPENER = Rollup(
    name="by_opener",
    domain="sample",
    description="Money by who opened the account last, carried to its payments.",
    key={"opener": key(first_owner, "Who."), "kind": key(carried(Opened, "kind"), "Whose.")},
    columns={
        "payments": paid.count("All."),
        "amount": paid.sum("amount", "All."),
        "closed": closed.count("All."),
        "own": paid.where(carried((Opened, Paid), "owner").eq(first_owner)).count("Some."),
        "last_opened": (paid | closed).last(carried(Opened, OCCURRED_AT), "Time."),
        "most": closed.max(carried(Paid, "amount"), "Before it was closed."),
    },
)
OPENED_STEPS = EventTable(
    name="opened_steps",
    domain="sample",
    description="A row a payment.",
    of=paid.where(carried(Opened, "owner").ne("eve")),
    stream=("account", "Id."),
    version=("step", "Version."),
    part=("part", "Number."),
    columns={"opener": cell(carried(Opened, "owner"), "Who."), "amount": cell("amount", "Of payments.")},
)
HISTORY = History(name="history", description="A row an event.", of=ACCOUNT, part=("part", "Number."))
MODELS = (ACCOUNTS, BALANCES, BY_OPENER, BY_OWNER, HISTORY, OPENED_STEPS, STEPS, REFUSALS, REFUSED_STEPS)
EPOCH = datetime(2024, 1, 1, 23, 59, 58, tzinfo=UTC)


def log_of(steps: Sequence[tuple[str, Any, int]]) -> list[Happened]:
    """(stream, event, seconds after the epoch) as what happened, versions and offsets counted."""
    versions: dict[tuple[str, str], int] = {}
    ends: dict[tuple[str, int], int] = {}
    found = []
    for stream, event, seconds in steps:
        category = LETTER if isinstance(event, Sent) else ACCOUNT
        is_event, place = not isinstance(event, RejectedCommand), (category.name, partition_of(stream))
        version = versions[category.name, stream] = versions.get((category.name, stream), 0) + is_event
        kind, at, offset = EventType(category, type(event)), EPOCH + timedelta(seconds=seconds), ends.get(place, 0)
        found.append(Happened(kind, stream, version, at, event, offset=offset))
        ends[place] = offset + 1
    return found


def as_today(log: Sequence[Happened]) -> list[Happened]:
    """What happened, with each retired event replaced by what its upcaster makes of it."""
    return [
        replace(item, kind=EventType(item.kind.category, type(event)), event=event, sub=sub)
        for item in log
        for sub, event in enumerate(_upcast(item.event))
    ]


def _upcast(event: Any) -> list[Any]:
    if type(event) not in UPCASTERS:
        return [event]
    made: Any = UPCASTERS[type(event)](event)
    return [today for one in (made if isinstance(made, list | tuple) else [made]) for today in _upcast(one)]


def value_of(item: Happened) -> bytes:
    """The event or rejection as a record's bytes."""
    meta = Meta(
        writer=UUID(int=1), command_id=UUID(int=2), body_hash=bytes(16), event_id=UUID(int=3), category=item.kind.category.name,
        stream=item.stream, version=item.version, base_version=item.version - (not item.kind.is_rejection), seq=0, index=0, count=1, command_offset=0,
        occurred_at=item.occurred_at, recorded_at=item.occurred_at,
    )  # fmt: skip
    if isinstance(item.event, RejectedCommand):
        return encode_rejection(meta, Rejection(item.event.command, item.event.code, item.event.message))
    return WRITER.event(meta, item.event)


def partition_of(stream: str) -> int:
    return sum(stream.encode()) % 2


def topic_of(category: str) -> str:
    return f"{category}.events"


def chunks_of(log: Sequence[Happened], starts: dict[tuple[str, int], int]) -> list[Chunk]:
    """The events as chunks, one a place, from its first event's offset; moves `starts` on, which say otherwise."""
    values: dict[tuple[str, int], list[bytes | None]] = {}
    firsts: dict[tuple[str, int], int] = {}
    for item in log:
        place = topic_of(item.kind.category.name), partition_of(item.stream)
        firsts.setdefault(place, item.offset)
        values.setdefault(place, []).append(value_of(item))
    found = []
    for place, records in values.items():
        found.append(Chunk(*place, starts.get(place, firsts[place]), records))
        starts[place] = found[-1].end
    return found


def types_of(category: str) -> list[EventType]:
    return [kind for kind in dict.fromkeys(k for m in MODELS for k in read_types(m)) if kind.category.name == category]
