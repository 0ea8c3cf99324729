"""What the API needs to know of a read model; `refold.projections.serving` describes the declared ones so."""

from collections.abc import Sequence
from typing import Protocol


class Column(Protocol):
    """A column of a read model's view: its Postgres type, and its text for people."""

    name: str
    sql_type: str
    nullable: bool
    doc: str


class Served(Protocol):
    """A read model as a view `<domain>.<name>`, and the categories whose events it is folded from."""

    domain: str
    name: str
    doc: str
    columns: Sequence[Column]
    key: Sequence[str]
    categories: Sequence[str]
