"""A read model as the API serves it: its view's columns, its key, and the categories of its events."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from refold.projections.declaring.declaration import View, handled
from refold.projections.tables.fingerprint import view_fingerprint
from refold.projections.tables.layout import Layout
from refold.projections.tables.links import ServedLink as ServedLink  # noqa: PLC0414 - all others import it from here
from refold.streams.postgres.connection import Statements


@dataclass(frozen=True)
class ServedColumn:
    """A column of a view: its Postgres type, its text for people, and the unit of its values, if it has one."""

    name: str
    sql_type: str
    nullable: bool
    doc: str
    unit: str = ""


@dataclass(frozen=True)
class ServedModel:
    """A read model, served as the view `<domain>.<name>`, with the categories of the events that it is folded from.

    `reads`: the read models that a declared SQL view takes its rows from, also through other views; empty if the model
    has a table of its own.
    """

    domain: str
    name: str
    doc: str
    columns: tuple[ServedColumn, ...]
    key: tuple[str, ...]
    categories: tuple[str, ...]
    reads: tuple[str, ...] = ()
    fingerprint: str = ""
    """Fingerprint of a declared SQL view; if it cannot be made, its fault is kept under this."""
    links: tuple[ServedLink, ...] = ()
    """Of this code's declarations; none are kept beside a build, since they change no row."""


def as_json(model: ServedModel) -> str:
    """JSON of the model, kept beside a build for processes of other code."""
    return msgspec.json.encode(model).decode()


def of_json(text: str) -> ServedModel:
    """The model of a JSON that `as_json` made."""
    return msgspec.json.decode(text, type=ServedModel)


def kept_beside(db: Statements) -> dict[int, ServedModel]:
    """What is kept beside each build, by its number; none for a build of a release that kept nothing, or less."""
    rows = db.execute(
        "SELECT build, served::text FROM refold.builds WHERE status <> 'dropped' AND served ? 'columns'"
    ).fetchall()
    return {number: of_json(text) for number, text in rows}


def served_table(layout: Layout) -> ServedModel:
    """A model with a table of its own."""
    model = layout.model
    columns = tuple(
        ServedColumn(part.name, part.type.sql, not part.required, str(part.doc), model.units.get(part.name, ""))
        for part in layout.shown
    )
    categories = dict.fromkeys(kind.category.name for kind in handled(model))
    return ServedModel(model.domain, model.name, model.description, columns, tuple(layout.key_names), tuple(categories))


def served_view(
    view: View, tables: tuple[str, ...], categories: Mapping[tuple[str, str], tuple[str, ...]]
) -> ServedModel:
    """A declared SQL view.

    `tables`: those that its rows finally come from; `categories`: of its domain's read models.
    """
    # Any column of a view may be null, even of its key: no declaration can promise otherwise.
    columns = tuple(
        ServedColumn(name, kind, nullable=True, doc=doc, unit=view.units.get(name, ""))
        for name, (kind, doc) in view.columns.items()
    )
    found = dict.fromkeys(category for name in tables for category in categories[view.domain, name])
    return ServedModel(
        view.domain, view.name, view.description, columns, view.key, tuple(found), tables, view_fingerprint(view)
    )
