"""Tells how this code's declarations differ from the tables that serve: models that are new, renamed, changed or keyed anew.

A table keeps the columns, key and categories that its code declared (`served.py`). So a model is told as renamed if it
has no table, one other model of its domain is declared no more, and both say the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from refold.projections.tables import builds
from refold.projections.tables.builds import Build
from refold.projections.tables.declared import Declared
from refold.projections.tables.served import ServedModel, kept_beside, served_table
from refold.streams.postgres.connection import Database

Name = tuple[str, str]
Kind = Literal["same", "new", "renamed", "other-key", "changed"]


@dataclass(frozen=True)
class Change:
    """One declared model beside the table that serves it.

    `before`: the name that it seems to have had. `columns`: `+added`, `-removed`, `name: old type -> new type`.
    """

    domain: str
    model: str
    kind: Kind
    serving: Build | None
    before: str | None = None
    columns: tuple[str, ...] = ()


def changes(db: Database, found: Declared) -> list[Change]:
    """What each declared model changes, by name."""
    serving = {(b.domain, b.model): b for b in builds.builds(db) if b.status == "serving"}
    kept = kept_beside(db)
    served = {name: kept[build.number] for name, build in serving.items() if build.number in kept}
    before = dict(_renamed(found, served, serving.keys() - found.layouts.keys()))
    return [_change(found, name, serving.get(name), served.get(name), before.get(name)) for name in found.layouts]


def _change(found: Declared, name: Name, serving: Build | None, old: ServedModel | None, before: str | None) -> Change:
    if serving is None:
        return Change(*name, "renamed" if before else "new", None, before)
    if serving.fingerprint == found.fingerprints[name]:
        return Change(*name, "same", serving)
    new = served_table(found.layouts[name])
    if old is None:  # a table of before this was kept
        return Change(*name, "changed", serving)
    kind: Kind = "changed" if _key(old) == _key(new) else "other-key"
    return Change(*name, kind, serving, None, tuple(_columns(old, new)))


def _renamed(found: Declared, served: dict[Name, ServedModel], gone: set[Name]) -> Iterator[tuple[Name, str]]:
    """New models, each with the one former name that fits it alone."""
    new = {name: _shape(served_table(found.layouts[name])) for name in found.layouts.keys() - served.keys()}
    old = {name: _shape(served[name]) for name in gone if name in served}
    for name, shape in new.items():
        fitting = [other for other, its in old.items() if (other[0], its) == (name[0], shape)]
        alike = [other for other, its in new.items() if (other[0], its) == (name[0], shape)]
        if len(fitting) == 1 and len(alike) == 1:
            yield name, fitting[0][1]


def _shape(model: ServedModel) -> tuple[object, ...]:
    columns = [(column.name, column.sql_type, column.nullable) for column in model.columns]
    return tuple(columns), model.key, tuple(sorted(model.categories))


def _key(model: ServedModel) -> list[tuple[str, str]]:
    types = {column.name: column.sql_type for column in model.columns}
    return [(name, types[name]) for name in model.key]


def _columns(old: ServedModel, new: ServedModel) -> Iterator[str]:
    before, now = ({column.name: column.sql_type for column in model.columns} for model in (old, new))
    yield from (f"+{name}" for name in now if name not in before)
    yield from (f"-{name}" for name in before if name not in now)
    yield from (
        f"{name}: {before[name]} -> {type_}" for name, type_ in now.items() if name in before and before[name] != type_
    )
