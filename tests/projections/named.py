"""A domain whose fields, columns, keys, states and models have arbitrary names, each also another kind's name."""

import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Any, cast
from uuid import UUID

import msgspec

from refold.projections.declaring.declaration import Entity, EventType, Evolve, Model, Rollup
from refold.projections.declaring.expressions import field
from refold.projections.declaring.gathering import events, key
from refold.schemas.avro import schema_of
from refold.schemas.catalog import Catalog
from refold.schemas.codec import Codec
from refold.schemas.contracts import Category, Event, Whole
from refold.schemas.meta import Meta
from refold.streams.chunk import Chunk
from tests.projections.naive import Happened
from tests.projections.own_names import own_names
from tests.projections.sample import EPOCH

FIELD = re.compile(r"[a-z][a-z0-9_]{0,62}")
COLUMN = re.compile(r"[a-z][a-z0-9_]{0,50}")
SYSTEM = ("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid")
ONCE_OURS = ("deleted_at", "park_from", "row")
STRUCTS = (
    "self",
    "cls",
    "kw_only",
    "frozen",
    "rename",
    "tag",
    "tag_field",
    "array_like",
    "mro",
    "copy",
    "default",
    "config",
)


def words() -> list[str]:
    """All that our code, Python and msgspec call something, as far as a field may be called it."""
    found = {
        *own_names(),
        *(word.lower() for word in (*keyword.kwlist, *keyword.softkwlist)),
        *STRUCTS,
        *ONCE_OURS,
        "x" * 51,
    }
    return sorted(word for word in found if FIELD.fullmatch(word) and word != "meta" and not word.startswith("m_"))


def columns_of(names: Sequence[str]) -> list[str]:
    """Those that a column can be called, and the envelope's: no field bears them."""
    return [
        name
        for name in (*names, "meta", "m_row", "m_stream", "m_place")
        if COLUMN.fullmatch(name) and name not in SYSTEM
    ]


@dataclass(frozen=True)
class Named:
    """The domain of some names: column i gathers field i + 1, so that each name means one thing here and another there."""

    fields: tuple[str, ...]

    @cached_property
    def said(self) -> type[Event]:
        return _event("Said", self.fields)

    @cached_property
    def gone(self) -> type[Event]:
        return _event("Gone", ())

    @cached_property
    def category(self) -> Category:
        return Category("named.row", (), (self.said, self.gone))

    @cached_property
    def catalog(self) -> Catalog:
        return Catalog([self.category], [schema_of(cls, "named.row") for cls in self.category.events])

    @cached_property
    def codec(self) -> Codec:
        return Codec(self.catalog)

    def field_for(self, column: int) -> str:
        return self.fields[(column + 1) % len(self.fields)]

    def models(self, names: Sequence[str], columns: Sequence[str]) -> list[Model]:
        """A model of each sort, each with all columns, called by three names in turn."""
        said = events(self.category, self.said)
        gathered = {
            name: (said.sum, said.min, said.max, said.first, said.last)[place % 5](self.field_for(place), "A column.")
            for place, name in enumerate(columns)
        }
        first, *rest = gathered
        counted = {**gathered, first: said.where(field(self.field_for(0)).gt(1)).count("Some.")}
        keyed: dict[str, Any] = {"domain": "named", "description": "A model.", "category": self.category}
        docs = dict.fromkeys(columns, "A column.")
        return [
            Rollup(
                name=names[0],
                domain="named",
                description="A model.",
                key={first: key(self.field_for(1), "A key.")},
                columns={name: gathered[name] for name in rest},
            ),
            Entity(
                name=names[1], key_name="key_of_it", key_doc="A key.", columns=counted, deleted_when=self.gone, **keyed
            ),
            Entity(name=names[2], key_name="key_of_it", key_doc="A key.", evolve=self._evolve(columns, docs), **keyed),
        ]

    def _evolve(self, columns: Sequence[str], docs: dict[str, str]) -> Evolve:
        state = msgspec.defstruct("State", [(name, int, 0) for name in columns], frozen=True, kw_only=True)
        taken = [(name, self.field_for(place)) for place, name in enumerate(columns)]
        said = self.said

        def fold(before: Any, event: Any) -> Any:
            before = before or state()
            if not isinstance(event, said):
                return before
            return state(**{name: getattr(before, name) + getattr(event, read) for name, read in taken})

        return Evolve(state, fold, docs)

    def log(self, streams: int, rounds: int = 3) -> list[Happened]:
        """In each stream: said, gone, said …, so that a delete lies within every chunk."""
        found = []
        for version in range(1, rounds + 1):
            for number in range(streams):
                values = {name: (place * 7 + number * 3 + version) % 11 for place, name in enumerate(self.fields)}
                event: Any = self.gone() if version % 2 == 0 else self.said(**values)
                at = EPOCH + timedelta(seconds=version * number)
                found.append(Happened(EventType(self.category, type(event)), f"s{number}", version, at, event))
        return found

    def chunk(self, log: Sequence[Happened], start: int = 0) -> Chunk:
        """All in one partition."""
        return Chunk("named.row.events", 0, start, [self.codec.event(meta_of(item), item.event) for item in log])


def meta_of(item: Happened) -> Meta:
    return Meta(
        writer=UUID(int=1), command_id=UUID(int=2), body_hash=bytes(16), event_id=UUID(int=3), category=item.kind.category.name,
        stream=item.stream, version=item.version, base_version=item.version - 1, seq=0, index=0, count=1, command_offset=0,
        occurred_at=item.occurred_at, recorded_at=item.occurred_at,
    )  # fmt: skip


def _event(name: str, fields: Sequence[str]) -> type[Event]:
    members = [(field, Annotated[Whole, msgspec.Meta(description="A number.")]) for field in fields]
    made: Any = msgspec.defstruct(
        name, members, bases=(Event,), frozen=True, kw_only=True, namespace={"__doc__": f"{name}."}
    )
    return cast("type[Event]", made)
