"""A read model with one row for each event, as an author declares it: the lines of a receipt, the readings of a sensor.

It is a rollup whose key is the event's place in the log, so every part of the engine knows it already. What is its own: a
condition decides which events have a row, and rows are only ever added.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from refold.projections.declaring.declaration import Rollup
from refold.projections.declaring.expressions import STREAM, VERSION, Expression, Field, Part, fields_of
from refold.projections.declaring.field_types import EventType, has_field
from refold.projections.declaring.gathering import Column, Events, Key
from refold.projections.declaring.indexes import Indexes
from refold.projections.declaring.links import Link
from refold.projections.declaring.payload import refuse_searched
from refold.projections.errors import BadDeclaration
from refold.schemas.columns import envelope as m
from refold.schemas.upcast import upcasts_of

Named = tuple[str, str]
"""The name of a column and its text for people."""
_VERSION: Named = ("version", "Version of the stream with this event.")
_PLACE: Named = ("record_offset", "Offset of the rejection in the stream's partition of the topic of events.")


@dataclass(frozen=True)
class Cell:
    """A column of an event table: a value of the event, and its text for people (empty: that of its field)."""

    value: Expression
    doc: str


def cell(value: str | Expression, doc: str = "") -> Cell:
    """A column of an event table: a field, which needs no text, or a value computed from the event."""
    return Cell(Field(value) if isinstance(value, str) else value, doc)


@dataclass(frozen=True, kw_only=True, init=False)
class EventTable(Rollup):
    """A row for each event of given types that fulfils their condition; a column is null for types without its fields.

    `stream`, `version`: name and text of the two columns of the key. `part`: of a third one, which retired events need that
    are read as several. Several rejections may have one version: their second column is the offset of the record.
    """

    of: Events

    def __init__(  # noqa: PLR0913 - keywords of a declaration
        self,
        *,
        name: str,
        domain: str = "",
        description: str,
        of: Events,
        columns: Mapping[str, Cell],
        stream: Named = ("stream", "Stream of the event."),
        version: Named = _VERSION,
        part: Named | None = None,
        units: Mapping[str, str] | None = None,
        links: Mapping[str, Link] | None = None,
        indexes: Indexes = (),
    ) -> None:
        """Raises BadDeclaration."""
        if not isinstance(of, Events):
            raise BadDeclaration(f"{name}: its events are `of=events(CATEGORY, Event)`, not {of!r:.100}")
        _check_key(name, [named for named in (stream, version, part) if named is not None])
        object.__setattr__(self, "of", of)
        if len(categories := {kind.category.name for kind in of.types}) > 1:
            raise BadDeclaration(
                f"{name}: its events are of {', '.join(sorted(categories))}: declare a table for each category,"
                " since streams of two categories may have one name"
            )
        if len({kind.is_rejection for kind in of.types}) > 1:
            raise BadDeclaration(f"{name}: a table has rows of events or of rejections: declare one for each")
        at: Expression = VERSION
        if of.types[0].is_rejection:
            at, version = Field(m.OFFSET), _PLACE if version is _VERSION else version
        key = {stream[0]: Key(STREAM, stream[1]), version[0]: Key(at, version[1])}
        if part is not None:
            key[part[0]] = Key(Part(), part[1])
        elif split := _split(of):
            raise BadDeclaration(
                f"{name}: {split.event.__name__} is also read from retired events, of which one may become several:"
                ' name a column for their number, part=("part", "Number among them.")'
            )
        super().__init__(
            name=name, domain=domain, description=description, key=key,
            columns={column: _column(f"{name}.{column}", of, said) for column, said in columns.items()},
            units=units or {}, links=links or {}, indexes=indexes,
        )  # fmt: skip
        refuse_searched(name, self.columns, indexes, self.links)

    @property
    def row_events(self) -> Events:
        return self.of


def _check_key(name: str, columns: Sequence[Named]) -> None:
    """Raise BadDeclaration unless each column of the key is a name of its own and a text."""
    for column in columns:
        if not isinstance(column, tuple) or len(column) != 2 or not all(isinstance(text, str) for text in column):
            raise BadDeclaration(
                f'{name}: a column of its key is a name and a text, such as stream=("meter", "Number of the meter."),'
                f" not {column!r:.100}"
            )
    if len({column[0] for column in columns}) < len(columns):
        raise BadDeclaration(f"{name}: two columns of its key have one name")


def _column(where: str, of: Events, said: object) -> Column:
    """The column, gathered from the types that have its fields. Raises BadDeclaration."""
    if not isinstance(said, Cell):
        named = f"a column that gathers by {said.gather}()" if isinstance(said, Column) else f"{said!r:.100}"
        raise BadDeclaration(f"{where}: {named} is no column of an event table: write cell('field')")
    read = fields_of(said.value)
    types = tuple(kind for kind in of.types if all(has_field(kind, name) for name in read))
    if not types:
        raise BadDeclaration(
            f"{where}: none of {', '.join(kind.event.__name__ for kind in of.types)} has {', '.join(sorted(read))}"
        )
    return Column("value", Events(types), said.value, said.doc)


def _split(of: Events) -> EventType | None:
    """A type that retired events are read as."""
    for kind in of.types:
        upcasts = upcasts_of(kind.category)
        if any(kind.event in upcasts.types(old) for old in upcasts.by_class):
            return kind
    return None
