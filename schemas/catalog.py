"""Every schema that this code can read, by id (the frozen `.avsc` files), and the one that it writes for each class.

Newer releases write under schemas that no file here has. The log explains them (topic `refold.schemas`). A catalog that
follows the log learns each schema at its first record, and reads such records by Avro's resolution, as it reads old
ones.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from importlib.resources.abc import Traversable
from threading import RLock
from typing import Any

from refold.schemas.avro import Schema, resolved, schema_id, schema_of, without_docs
from refold.schemas.contracts import Category, Command, Event, categories_by_name
from refold.schemas.errors import EventRetired, FrozenUnreadable, SchemaCollision, SchemaNotFrozen
from refold.schemas.meta import CLAIM, REJECTED, VOIDING
from refold.schemas.newer import explains, why_unresolved
from refold.schemas.record import Record
from refold.schemas.rejections import REJECTION, RejectedCommand
from refold.schemas.upcast import Upcasts, upcasts_of

RETIRED_CHANGED = "Restore the retired class as it was released last: no code writes it, so it gets no new version."


Ask = Callable[[], Mapping[int, Schema]]
"""Returns the schemas that the log has now, by id. Raises if the log cannot be asked."""
_IDS = range(1 << 31)
"""Valid schema ids. Other numbers mark foreign records and records that are set aside."""
_MOST_NOWHERE = 10_000


class Kind(Enum):
    """The part that a schema's records play in the log."""

    COMMAND = "command"
    EVENT = "event"
    CLAIM = "claim"
    VOIDING = "voiding"
    REJECTION = "rejection"


@dataclass(frozen=True)
class Writer:
    """A released schema: its id, its name and kind, and the class that this code has for it.

    The class is None if code no longer has it. It is also None if the schema is `newer` and this code cannot read it:
    it has no such type, or `unresolved` says why a record cannot be read as the type that it has.
    """

    id: int
    kind: Kind
    category: str
    name: str
    schema: Schema
    cls: type[Event | Command] | None = None
    newer: bool = False
    unresolved: str = ""

    @property
    def is_newer_type(self) -> bool:
        """A command or event that only newer code has."""
        return self.newer and self.cls is None and not self.unresolved

    @property
    def needs_newer_code(self) -> bool:
        """Whether the log explains it but this code cannot read it."""
        return self.newer and self.cls is None

    @cached_property
    def body(self) -> Record:
        """Reads and writes the bytes after the envelope. Claims and voidings have none."""
        return Record([] if self.kind in (Kind.CLAIM, Kind.VOIDING) else resolved(self.fields))

    @property
    def fields(self) -> list[dict[str, Any]]:
        """The fields of the body, without the envelope."""
        return [field for field in self.schema["fields"] if field["name"] != "meta"]


CLAIM_WRITER = Writer(schema_id(CLAIM), Kind.CLAIM, "refold", "Claim", CLAIM)
VOIDING_WRITER = Writer(schema_id(VOIDING), Kind.VOIDING, "refold", "Voiding", VOIDING)
REJECTION_WRITER = Writer(schema_id(REJECTED), Kind.REJECTION, "refold", "Rejected", REJECTED)
PLATFORM = (CLAIM_WRITER, VOIDING_WRITER, REJECTION_WRITER)
"""The records of the log that belong to no domain."""


class Catalog:
    """Schemas by id and by class. Built once at start; raises if the schema of a class is not frozen."""

    def __init__(self, categories: Iterable[Category], frozen: Iterable[Schema]) -> None:
        self.categories: Mapping[str, Category] = categories_by_name(categories)
        self.by_id: dict[int, Writer] = {w.id: w for w in PLATFORM}
        self.upcasts: Mapping[str, Upcasts] = {name: upcasts_of(c) for name, c in self.categories.items()}
        classes = {(c.name, cls.__name__): cls for c in self.categories.values() for cls in self._classes(c)}
        for schema in frozen:
            self._add(_writer(schema, classes))
        self._classes_by_name = classes
        self._latest = {cls: self._writer_now(cls, category) for (category, _), cls in classes.items()}
        self._current = {cls: self._latest[cls] for c in self.categories.values() for cls in c.classes}
        self._retired = {cls: upcasts for upcasts in self.upcasts.values() for cls in upcasts.retired}

        self.retired_ids = self._retired_ids()
        self._ask: Ask | None = None
        self._nowhere: set[int] = set()
        self._learning = RLock()

    def follow(self, ask: Ask) -> None:
        """From now on ask the log for schemas that this catalog does not know. Asks nothing yet."""
        self._ask, self._nowhere = ask, set()

    def find(self, number: int) -> Writer | None:
        """The schema with this id: this code's, or one that the log explains. Raises what asking the log raises."""
        found = self.by_id.get(number)
        if found is not None or self._ask is None or number not in _IDS or number in self._nowhere:
            return found
        with self._learning:
            self.learn(self._ask())
            if number not in self.by_id and len(self._nowhere) < _MOST_NOWHERE:
                self._nowhere.add(number)  # a schema is in the log before its first record
        return self.by_id.get(number)

    def know(self, numbers: Iterable[int]) -> None:
        """`find` each schema now, before many records are read at once."""
        for number in numbers:
            if number not in self.by_id:
                self.find(number)

    def learn(self, schemas: Mapping[int, Schema]) -> None:
        """Add the log's schemas of this code's categories. Replaces `by_id`, since other threads read it meanwhile."""
        with self._learning:
            unknown = {number: schema for number, schema in schemas.items() if number not in self.by_id}
            new = {
                n: self._newer(n, s) for n, s in unknown.items() if explains(n, s) and s["namespace"] in self.categories
            }
            if new:
                self.by_id = {**self.by_id, **new}
                self.retired_ids = self._retired_ids()

    def _newer(self, number: int, schema: Schema) -> Writer:
        """The writer of a newer schema, with this code's class if its records can be read as that."""
        found = replace(_writer(schema, self._classes_by_name), id=number, newer=True)
        if found.cls is None:
            return found
        why = why_unresolved(schema, self._latest[found.cls].schema)
        return replace(found, cls=None, unresolved=why) if why else found

    def _retired_ids(self) -> dict[str, list[int]]:
        """The ids of the released schemas of retired events, by category."""
        found: dict[str, list[int]] = {}
        for writer in self.by_id.values():
            if writer.cls is not None and self.is_retired(writer.cls):
                found.setdefault(writer.category, []).append(writer.id)
        return found

    def current(self, cls: type[Event | Command]) -> Writer:
        """The schema with which today's code writes a class. Raises EventRetired."""
        try:
            return self._current[cls]
        except KeyError:
            if self.is_retired(cls):
                raise EventRetired(f"{cls.__name__} is retired: it is read, and no longer written") from None
            raise

    def latest(self, cls: type[Event | Command]) -> Writer:
        """The current schema of a class, or the last one of a retired class."""
        return REJECTION_WRITER if cls is RejectedCommand else self._latest[cls]

    def event_writers(self, category: str, name: str) -> list[Writer]:
        """All released schemas of one event type. A rejection has one, whatever its category."""
        if name == REJECTION:
            return [REJECTION_WRITER]
        return [w for w in self.by_id.values() if (w.kind, w.category, w.name) == (Kind.EVENT, category, name)]

    def command_class(self, category: str, name: str) -> type[Command] | None:
        """The command with that name, or None."""
        found = self.categories.get(category)
        return next((c for c in found.commands if c.__name__ == name), None) if found else None

    def is_retired(self, cls: type[Event | Command]) -> bool:
        """Whether events of the class are upcast when they are read."""
        return cls in self._retired

    def todays(self, event: Event) -> tuple[Event, ...]:
        """An event as today's events: itself, or the result of its upcasters. Raises UpcastFailed."""
        upcasts = self._retired.get(type(event))
        return (event,) if upcasts is None else upcasts.todays(event)

    def retired_writers(self, category: str, *, into: Iterable[str]) -> list[Writer]:
        """The released schemas of a category whose events are upcast into events of some types."""
        upcasts = self.upcasts.get(category)
        if upcasts is None or not upcasts.retired:
            return []
        wanted = set(into)
        old = {cls for cls in upcasts.retired if wanted & {today.__name__ for today in upcasts.types(cls)}}
        return [writer for writer in self.by_id.values() if writer.cls in old]

    def _classes(self, category: Category) -> tuple[type[Event | Command], ...]:
        return (*category.classes, *self.upcasts[category.name].retired)

    def _add(self, writer: Writer) -> None:
        other = self.by_id.setdefault(writer.id, writer)
        if without_docs(other.schema) != without_docs(writer.schema):
            message = f"{other.category}.{other.name} and {writer.category}.{writer.name} have one id, {writer.id}"
            raise SchemaCollision(message)

    def _writer_now(self, cls: type[Event | Command], category: str) -> Writer:
        found = self.by_id.get(schema_id(schema_of(cls, category)))
        if found is None:
            message = f"{category}.{cls.__name__} has no frozen schema that equals the code"
            retired = cls in self.upcasts[category].retired
            raise SchemaNotFrozen(message, RETIRED_CHANGED if retired else None)
        return found


def frozen_schemas(folders: Iterable[Traversable]) -> list[Schema]:
    """The committed `.avsc` files of some packages, in a stable order. Raises FrozenUnreadable."""
    files = sorted((f for folder in folders if folder.is_dir() for f in folder.iterdir()), key=lambda f: f.name)
    return [_schema_in(file) for file in files if file.name.endswith(".avsc")]


def _schema_in(file: Traversable) -> Schema:
    try:
        schema: Schema = json.loads(file.read_text(encoding="utf-8"))
        _ = schema["namespace"], schema["name"], schema["fields"][0]["type"]["name"]
    except (ValueError, KeyError, TypeError, IndexError) as problem:
        raise FrozenUnreadable(f"{file.name} is not readable: {problem!r}") from problem
    return schema


def _writer(schema: Schema, classes: Mapping[tuple[str, str], type[Event | Command]]) -> Writer:
    category, name = schema["namespace"], schema["name"]
    envelope = schema["fields"][0]["type"]["name"]
    kind = Kind.EVENT if envelope == "Meta" else Kind.COMMAND
    return Writer(schema_id(schema), kind, category, name, schema, classes.get((category, name)))
