"""The tree of a query: what a client asks of one read model, not yet checked against it. Immutable, and equal if it asks the same."""

from typing import Literal

import msgspec

Operator = Literal[
    "eq", "neq", "gt", "gte", "lt", "lte", "like", "ilike", "match", "imatch", "in", "is", "isdistinct",
    "fts", "plfts", "phfts", "wfts", "cs", "cd", "ov",
]  # fmt: skip
Quantifier = Literal["any", "all"]
Aggregate = Literal["count", "sum", "avg", "min", "max"]
Path = tuple[str, ...]
"""Names of embedded resources, from the outermost to the one that is meant; empty for the read model itself."""


class Condition(msgspec.Struct, frozen=True):
    """`column=not.operator(modifier).value`. The value of `in` is a tuple; a modifier is `any`, `all`, or a language of full text."""

    column: str
    operator: Operator
    value: str | tuple[str, ...]
    negated: bool = False
    modifier: str | None = None


class Group(msgspec.Struct, frozen=True):
    """`and=(…)` or `or=(…)`, perhaps under `not.`; at least one part."""

    operator: Literal["and", "or"]
    parts: tuple["Condition | Group", ...]
    negated: bool = False


Filter = Condition | Group


class Column(msgspec.Struct, frozen=True):
    """`alias:column::cast.aggregate()::aggregate_cast`. Without a column it is `count()`, without more than a name the column itself."""

    name: str | None
    alias: str | None = None
    cast: str | None = None
    aggregate: Aggregate | None = None
    aggregate_cast: str | None = None


class Star(msgspec.Struct, frozen=True):
    """`*`: every column."""


class Embedded(msgspec.Struct, frozen=True):
    """`alias:resource!link!inner(…)`: rows of a linked read model; `...resource(…)`, if spread: their columns in the row itself."""

    resource: str
    items: tuple["Column | Star | Embedded", ...]
    alias: str | None = None
    hint: str | None = None
    join: Literal["left", "inner"] = "left"
    spread: bool = False

    @property
    def name(self) -> str:
        """Its name in the answer, and in filters."""
        return self.alias or self.resource


Item = Column | Star | Embedded
EVERYTHING: tuple[Item, ...] = (Star(),)


class Term(msgspec.Struct, frozen=True):
    """A column to order by, of the row or of the embedded resource `of`. `nulls_first` is None where the query does not say: then as in Postgres."""

    column: str
    descending: bool = False
    nulls_first: bool | None = None
    of: str | None = None


class Query(msgspec.Struct, frozen=True):
    """The contents of a query string. Filters, orders, limits and offsets of embedded resources come with their path.

    `cursor` is of no grammar but ours: where a page goes on.
    """

    select: tuple[Item, ...] = EVERYTHING
    filters: tuple[tuple[Path, Filter], ...] = ()
    order: tuple[Term, ...] = ()
    limit: int | None = None
    offset: int = 0
    cursor: str | None = None
    orders: tuple[tuple[Path, tuple[Term, ...]], ...] = ()
    limits: tuple[tuple[Path, int], ...] = ()
    offsets: tuple[tuple[Path, int], ...] = ()
