"""The classes from which an author builds contracts: typed frozen commands and events, grouped into categories."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, ClassVar, dataclass_transform

import msgspec

from refold.schemas.errors import ContractError

MAX_EVENTS_PER_COMMAND = 500
MAX_RECORD_BYTES = 1 << 20
STREAM_ID = re.compile(rb"[A-Za-z0-9._~:-]{1,200}")
CATEGORY_NAME = re.compile(r"[a-z][a-z0-9_]{0,60}\.[a-z][a-z0-9_]{0,60}")

Whole = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
"""A 32-bit integer (Avro int)."""
Long = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""A 64-bit integer (Avro long)."""
Money = Annotated[Decimal, msgspec.Meta(extra={"precision": 12, "scale": 2})]
"""An exact amount with two decimal places (Avro decimal); never a float."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A fact that never changes. Subclass it with typed fields; the docstring becomes the schema's doc."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A request that the domain accepts or rejects. `stream_field` names the field that holds the stream id."""

    stream_field: ClassVar[str]


class FactCommand(Command, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Publishes a fact. Refold makes a subclass for each of a category's facts, with the event's fields beside this one."""

    stream_field: ClassVar[str] = "fact_stream"
    __fact__: ClassVar[type[Event]]
    fact_stream: Annotated[str, msgspec.Meta(description="Stream of the event.")]


Upcaster = Callable[[Any], Event | Sequence[Event]]
"""A pure function from one event of a retired type to one or several of today's. Its signature names the classes: see
`upcast`."""


@dataclass(frozen=True)
class Category:
    """One kind of stream: its name (`domain.category`), commands, events, and upcasters for retired events.

    `facts`: events that producers publish as they are, without a command and a rule of the author's. They are among `events`, and
    `commands` has a `FactCommand` for each, whether or not the author names them there.
    """

    name: str
    commands: tuple[type[Command], ...] = ()
    events: tuple[type[Event], ...] = ()
    upcasters: tuple[Upcaster, ...] = ()
    facts: tuple[type[Event], ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not CATEGORY_NAME.fullmatch(self.name):
            raise ContractError(f"category {self.name!r} is not of the form domain.category in lower case")
        _check_classes(f"{self.name}.commands", self.commands, Command)
        _check_classes(f"{self.name}.events", self.events, Event)
        _check_classes(f"{self.name}.facts", self.facts, Event)
        if not isinstance(self.upcasters, tuple):
            raise ContractError(f"{self.name}.upcasters is a tuple of functions, not {self.upcasters!r:.100}")
        self._add_facts()
        names = [cls.__name__ for cls in (*self.commands, *self.events)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ContractError(f"{self.name}: {', '.join(twice)} is the name of two classes, and in the log it is one")
        for command in self.commands:
            named = getattr(command, "stream_field", None)
            if named not in command.__struct_fields__:
                raise ContractError(f"{command.__name__}.stream_field names no field of it: {named!r}")

    def _add_facts(self) -> None:
        """Make the facts events, and give each its command. A category made of another's parts has both already."""
        events = tuple(fact for fact in self.facts if fact not in self.events)
        commands = tuple(cls for fact in self.facts if (cls := fact_command(fact)) not in self.commands)
        object.__setattr__(self, "events", (*self.events, *events))
        object.__setattr__(self, "commands", (*self.commands, *commands))

    @property
    def own_commands(self) -> tuple[type[Command], ...]:
        """The commands that the author wrote: clients send these, and publish facts."""
        return tuple(command for command in self.commands if not issubclass(command, FactCommand))

    @property
    def classes(self) -> tuple[type[Event | Command], ...]:
        """The classes that today's code writes. Retired events are not among them: see `upcast`."""
        return (*self.commands, *self.events)

    @property
    def domain(self) -> str:
        return self.name.partition(".")[0]

    @property
    def short(self) -> str:
        """The name without its domain, as URLs have it."""
        return self.name.partition(".")[2]

    def stream_of(self, command: Command) -> str:
        """The stream id a command is meant for."""
        return str(getattr(command, type(command).stream_field))


@cache
def fact_command(fact: type[Event]) -> type[FactCommand]:
    """The command that publishes a fact: `Publish` and the event's name, with the event's fields. Raises ContractError."""
    if taken := sorted({"fact_stream", "stream_field"} & {*fact.__struct_fields__}):
        raise ContractError(
            f"{fact.__name__}.{taken[0]}: a fact cannot have a field of this name, which its command has"
        )
    try:
        fields = [_field_of(field) for field in msgspec.structs.fields(fact)]
    except (TypeError, NameError) as problem:
        raise ContractError(f"{fact.__name__}: {problem}") from problem
    doc = f"Publishes {fact.__name__} as it is. Refold makes this command: see the event."
    made = msgspec.defstruct(
        f"Publish{fact.__name__}",
        fields,
        bases=(FactCommand,),
        namespace={"__doc__": doc, "__fact__": fact},
        module=fact.__module__,
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
        omit_defaults=True,
    )
    assert issubclass(made, FactCommand)
    return made


def _field_of(field: msgspec.structs.FieldInfo) -> tuple[str, Any] | tuple[str, Any, Any]:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.name, field.type, msgspec.field(default_factory=field.default_factory)
    return (field.name, field.type) if field.required else (field.name, field.type, field.default)


def publishing(fact: Event, stream: str) -> FactCommand:
    """The command that publishes a fact in a stream, for reactors and producers."""
    kind = type(fact)
    values = dict(zip(kind.__struct_fields__, _values_of(kind)(fact), strict=True))
    return fact_command(kind)(fact_stream=stream, **values)


def fact_of(command: FactCommand) -> Event:
    """The fact that a command publishes."""
    kind = command.__fact__
    return kind(**dict(zip(kind.__struct_fields__, _values_of(kind)(command), strict=True)))


@cache
def _values_of(kind: type[Event]) -> Callable[[Any], tuple[Any, ...]]:
    """Gets the values of an event's fields from the event, or from its command."""
    names = kind.__struct_fields__
    return attrgetter(*names) if len(names) > 1 else lambda held: tuple(getattr(held, name) for name in names)


def _check_classes(where: str, found: object, kind: type) -> None:
    """Raise ContractError unless `found` is a tuple of classes of the kind."""
    if not isinstance(found, tuple):
        raise ContractError(f"{where} is a tuple of classes, not {found!r:.100}")
    for cls in found:
        if not isinstance(cls, type) or not issubclass(cls, kind):
            raise ContractError(f"{where} holds {cls!r:.100}, which is no class of {kind.__name__}")


def is_storable(text: str) -> bool:
    """Whether UTF-8 and Postgres can hold a text: no NUL, no half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def is_stream_id(text: str | bytes) -> bool:
    """Whether the text is 1-200 bytes of `[A-Za-z0-9._~:-]`."""
    raw = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    return STREAM_ID.fullmatch(raw) is not None


def categories_by_name(categories: Iterable[Category]) -> dict[str, Category]:
    """Categories by name. Raises ContractError for a repeated name, or two names that Kafka cannot tell apart."""
    found: dict[str, Category] = {}
    topics: dict[str, str] = {}
    for category in categories:
        other = topics.setdefault(category.name.replace(".", "_"), category.name)
        if other != category.name:
            raise ContractError(f"{other} and {category.name} cannot both have topics: to Kafka, _ and . are one there")
        if category.name in found:
            raise ContractError(f"category {category.name} is declared twice")
        found[category.name] = category
    return found
