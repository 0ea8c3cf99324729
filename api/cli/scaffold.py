"""The files of a new domain: a whole one, small, with tests. `@domain@` stands for its name."""

FILES = {
    "@domain@/__init__.py": '''"""The domain @domain@."""
''',
    "@domain@/schemas/__init__.py": '''"""Contracts: the commands that clients send, and the events that the log keeps."""

from typing import Annotated

from msgspec import Meta

from refold.schemas import Category, Command, Event

ItemId = Annotated[str, Meta(description="Name of the item; the stream's id.")]
Title = Annotated[str, Meta(description="What the item is called.", max_length=200)]
Owner = Annotated[str, Meta(description="Who looks after it.", max_length=100)]


class AddItem(Command):
    """Add an item."""

    stream_field = "item_id"
    item_id: ItemId
    title: Title
    owner: Owner


class CloseItem(Command):
    """Close an item."""

    stream_field = "item_id"
    item_id: ItemId


class ItemAdded(Event):
    """An item was added."""

    title: Title
    owner: Owner


class ItemClosed(Event):
    """An item was closed."""

    owner: Owner


ITEM = Category("@domain@.item", commands=(AddItem, CloseItem), events=(ItemAdded, ItemClosed))
CATEGORIES = (ITEM,)
''',
    "@domain@/streams.py": '''"""Rules: an item is added once, and closed once. Pure functions."""

import msgspec

from @domain@.schemas import ITEM, AddItem, CloseItem, ItemAdded, ItemClosed
from refold.streams import Decider, Decision, Rejected


class Item(msgspec.Struct, frozen=True):
    """The state that the rules need: None before the item is added."""

    owner: str | None = None
    closed: bool = False


def decide(command: AddItem | CloseItem, item: Item) -> Decision:
    """An event, or a rejection."""
    if isinstance(command, AddItem):
        if item.owner is not None:
            return Rejected("item-exists", "the item was added already")
        return ItemAdded(title=command.title, owner=command.owner)
    if item.owner is None or item.closed:
        return Rejected("item-not-open", "only an open item can be closed")
    return ItemClosed(owner=item.owner)


def evolve(_item: Item, event: ItemAdded | ItemClosed) -> Item:
    """The state after one more event."""
    return Item(event.owner, closed=isinstance(event, ItemClosed))


DECIDERS = (Decider(ITEM, Item(), decide, evolve),)
''',
    "@domain@/projections.py": '''"""Read models: tables that Refold keeps up to date, and rebuilds from the log."""

from @domain@.schemas import ITEM, ItemAdded, ItemClosed
from refold.projections import OCCURRED_AT, Entity, Rollup, by_event, day, events, key

added, closed = events(ITEM, ItemAdded), events(ITEM, ItemClosed)
steps = events(ITEM, ItemAdded, ItemClosed)

ITEMS = Entity(
    name="items",
    description="One row for each item.",
    category=ITEM,
    columns={
        "title": added.last("title"),
        "owner": added.last("owner"),
        "status": steps.last(by_event({ItemAdded: "open", ItemClosed: "closed"}), "open or closed."),
        "added_at": added.min(OCCURRED_AT, "When it was added."),
    },
)
OWNERS_DAILY = Rollup(
    name="owners_daily",
    description="One row for each owner and day (UTC).",
    key={"owner": key("owner"), "day": key(day(OCCURRED_AT), "Day (UTC).")},
    columns={"added": added.count("Items added."), "closed": closed.count("Items closed.")},
)
READ_MODELS = (ITEMS, OWNERS_DAILY)
''',
    "tests/test_@domain@.py": '''"""Tests of the domain @domain@. They need no server."""

from datetime import date

from @domain@.projections import ITEMS, OWNERS_DAILY
from @domain@.schemas import AddItem, CloseItem, ItemAdded, ItemClosed
from @domain@.streams import DECIDERS
from refold.testing import event_at, given, rejected, rows

(RULES,) = DECIDERS
ADDED, CLOSED = ItemAdded(title="Lamp", owner="ann"), ItemClosed(owner="ann")


def test_an_item_is_added_once() -> None:
    add = AddItem(item_id="i-1", title="Lamp", owner="ann")
    given(RULES).when(add).then(ADDED)
    given(RULES, ADDED).when(add).then(rejected("item-exists"))


def test_only_an_open_item_is_closed() -> None:
    close = CloseItem(item_id="i-1")
    given(RULES, ADDED).when(close).then(CLOSED)
    given(RULES).when(close).then(rejected("item-not-open"))
    given(RULES, ADDED, CLOSED).when(close).then(rejected("item-not-open"))


def test_the_rows_after_some_events() -> None:
    happened = [
        event_at("i-1", "2026-01-01T10:00Z", ADDED),
        event_at("i-2", "2026-01-01T11:00Z", ADDED),
        event_at("i-1", "2026-01-02T09:00Z", CLOSED),
    ]
    assert [(row["item_id"], row["status"]) for row in rows(ITEMS, happened)] == [("i-1", "closed"), ("i-2", "open")]
    assert rows(OWNERS_DAILY, happened) == [
        {"owner": "ann", "day": date(2026, 1, 1), "added": 2, "closed": 0},
        {"owner": "ann", "day": date(2026, 1, 2), "added": 0, "closed": 1},
    ]
''',
}
SETTINGS = 'domains = ["@domain@"]\n'


def files(domain: str) -> dict[str, str]:
    """The files of a domain of this name, by their paths."""
    return {path.replace("@domain@", domain): text.replace("@domain@", domain) for path, text in FILES.items()}
