"""A client that follows a model's changes as EventSource does, and an oracle that says what it must have at each id."""

import json
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import httpx

from refold.retail.schemas.basket import BasketOpened, BasketPaid, ItemScanned
from refold.schemas.codec import Codec, Rejection
from refold.schemas.errors import Undecodable
from refold.streams.chunk import Place
from refold.streams.domain import load_domains
from refold.streams.log.topics import events_topic
from refold.streams.log.whole_log import whole_log
from refold.streams.settings import Settings
from tests.e2e.tables import query

Row = dict[str, Any]
Key = tuple[Any, ...]
Event = tuple[str, str, str]
"""Name, id ("" if it has none) and data."""


def events_of(lines: Iterator[str]) -> Iterator[Event]:
    """As the standard reads a stream: fields up to an empty line; an id counts without data, too."""
    name, place, data = "message", "", list[str]()
    for line in lines:
        if not line:
            if data or place:
                yield name, place, "\n".join(data)
            name, place, data = "message", "", []
        elif not line.startswith(":"):
            what, _, value = line.partition(": ")
            if what == "event":
                name = value
            elif what == "id":
                place = value
            elif what == "data":
                data.append(value)


@dataclass
class Follower(threading.Thread):
    """Folds the changes into rows, and keeps them at each id. Its connection breaks now and then, in a batch, too."""

    url: str
    key: tuple[str, ...]
    breaks: float = 0.0
    """How likely its connection breaks at an event."""
    rows: dict[Key, Row] = field(default_factory=dict)
    history: list[tuple[str, dict[Key, Row], list[Key]]] = field(default_factory=list)
    """Each id, the rows there, and the keys that were told since the id before or since the connection broke."""
    resets: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    connections: int = 0
    place: str = ""

    def __post_init__(self) -> None:
        threading.Thread.__init__(self, daemon=True)
        self._chance, self._stopping = random.Random(self.url), threading.Event()
        self._told: list[Key] = []

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        while not self._stopping.wait(0.05):
            try:
                self._follow()
            except httpx.HTTPError:
                continue

    def stop(self) -> None:
        self._stopping.set()
        self.join(30)
        assert not self.is_alive()

    def _follow(self) -> None:
        headers = {"Last-Event-ID": self.place} if self.place else {}
        self._told = []
        with httpx.stream("GET", self.url, headers=headers, timeout=httpx.Timeout(20, read=2)) as answer:
            assert answer.status_code == 200, answer.read()
            self.connections += 1
            for event in events_of(answer.iter_lines()):
                self._take(*event)
                if self._stopping.is_set() or self._chance.random() < self.breaks:
                    return

    def _take(self, name: str, place: str, data: str) -> None:
        if name in {"row", "removed"}:
            found = json.loads(data)
            key = tuple(found[part] for part in self.key)
            self._told.append(key)
            self.rows.pop(key, None)
            if name == "row":
                self.rows[key] = found
        elif name == "end":
            self.ends.append(json.loads(data)["code"])
        elif name == "reset":
            self.resets.append(json.loads(data)["reason"])
            self.rows.clear()
        if place:
            self.place = place
        if name == "position":
            self.history.append((place, dict(self.rows), self._told))
            self._told = []


class StoreDays:
    """The rows of store_daily at any position that comes after the last one asked, from the log alone, event by event."""

    def __init__(self, settings: Settings) -> None:
        topic = events_topic(settings.topic_prefix, "retail.basket")
        places = [(topic, part) for part in range(settings.partitions)]
        self._values: dict[Place, list[bytes | None]] = {place: [] for place in places}
        for chunk, _, _ in whole_log(settings, places):
            self._values[chunk.place] += chunk.values
        self._codec, self._prefix = Codec(load_domains(["retail"]).catalog), settings.topic_prefix
        self._voids: list[Any] = query(
            settings, f"SELECT part, first_offset, last_offset FROM refold.voids WHERE topic = '{topic}'"
        )
        self._at = dict.fromkeys(places, 0)
        self.rows: dict[Key, Row] = {}

    def upto(self, place: str) -> set[Key]:
        """Move to an id; the keys that were touched on the way."""
        touched = set[Key]()
        for part in filter(None, place.partition("@")[2].split(",")):
            name, _, offset = part.rpartition(":")
            topic, _, number = name.rpartition("/")
            where = f"{self._prefix}{topic}", int(number)
            assert self._at[where] <= int(offset), "a position never goes back"
            for at in range(self._at[where], int(offset)):
                if not any(one == where[1] and first <= at <= last for one, first, last in self._voids):
                    touched |= self._count(self._values[where][at])
            self._at[where] = int(offset)
        return touched

    def _count(self, value: bytes | None) -> set[Key]:
        try:
            meta, event = self._codec.read_event(value)
        except Undecodable:
            return set()  # a claim
        if isinstance(event, Rejection) or not isinstance(event, BasketOpened | ItemScanned | BasketPaid):
            return set()
        key = (event.store_id, meta.occurred_at.date().isoformat())
        row = self.rows.setdefault(key, _empty(*key))
        match event:
            case BasketOpened():
                row["baskets_opened"] += 1
            case ItemScanned():
                row["lines"] += 1
                for name, more in (
                    ("quantity", event.quantity),
                    ("revenue", event.amount),
                    ("discount", event.discount),
                ):
                    row[name] += more
            case BasketPaid():
                row["baskets_paid"] += 1
                row["paid"] += event.total
                row["largest_basket"] = max(event.total, row["largest_basket"] or event.total)
        return {key}


def _empty(store: int, day: str) -> Row:
    assert date.fromisoformat(day)
    sums = dict.fromkeys(
        ("lines", "quantity", "revenue", "discount", "baskets_opened", "baskets_paid", "paid"), Decimal(0)
    )
    return {"store_id": store, "day": day, **sums, "largest_basket": None}


def plain(rows: dict[Key, Row]) -> dict[Key, Row]:
    """Rows with their numbers as numbers, whichever way they were written."""
    return {key: {name: _number(name, value) for name, value in row.items()} for key, row in rows.items()}


def _number(name: str, value: Any) -> Any:
    return value if value is None or name in {"store_id", "day"} else Decimal(value)
