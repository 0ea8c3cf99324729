"""Tables and views of Refold that this code no longer declares; `refold status` shows them, a command drops them.

Their models were removed or renamed. SQL can still read them. While processes of other code declare them, that code
keeps them up; afterwards their rows stand still.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from refold.projections.errors import StillDeclared, UnknownModel
from refold.projections.replay import promote
from refold.projections.tables import builds, view_swap, views
from refold.projections.tables.declared import Declared
from refold.streams.operation.presence import Live, live_processes
from refold.streams.postgres.connection import Database

_VIEWS = "SELECT DISTINCT domain, name FROM refold.views ORDER BY 1, 2"
Name = tuple[str, str]


@dataclass(frozen=True)
class Undeclared:
    """A table or view that this code does not declare. `declared_by`: living processes that do, as `role pid@host`."""

    domain: str
    name: str
    kind: Literal["table", "view"]
    builds: tuple[int, ...]
    declared_by: tuple[str, ...]

    @property
    def command(self) -> str:
        """The command that drops it."""
        return f"refold replay drop {self.domain}.{self.name} --execute"


def undeclared(db: Database, found: Declared) -> list[Undeclared]:
    """Everything in the database that this code does not declare, by name.

    A model that other code only prepares, or takes a snapshot of, is none of it: it is yet to come.
    """
    living = live_processes(db)
    tables: dict[Name, list[int]] = {}
    there = [build for build in builds.builds(db) if (build.domain, build.model) not in found.layouts]
    once = {(b.domain, b.model) for b in there if not b.is_prepared and b.purpose is None}
    for build in there:
        if (build.domain, build.model) in once:
            tables.setdefault((build.domain, build.model), []).append(build.number)
    known = {(view.domain, view.name) for view in found.views} | found.layouts.keys()
    views = [name for name in db.execute(_VIEWS).fetchall() if name not in known and name not in tables]
    parts = [
        Undeclared(domain, name, "table", tuple(numbers), _by(living, (domain, name)))
        for (domain, name), numbers in tables.items()
    ]
    parts += [Undeclared(domain, name, "view", (), _by(living, (domain, name))) for domain, name in views]
    return sorted(parts, key=_order)


def chosen(there: Sequence[Undeclared], names: Sequence[str], found: Declared) -> list[Undeclared]:
    """The undeclared ones of these names (`name` or `domain.name`), views first, since they depend on tables.

    Raises UnknownModel, and StillDeclared of a name that this code declares.
    """
    ours = {
        name: f"{domain}.{model}" for domain, model in found.all_fingerprints for name in (model, f"{domain}.{model}")
    }
    picked = {}
    for name in names:
        matching = [one for one in there if name in (one.name, f"{one.domain}.{one.name}")]
        if len(matching) != 1:
            if not matching and name in ours:
                raise StillDeclared(
                    f"{ours[name]} is declared by this code",
                    "Run the command with code that does not declare it any more.",
                )
            named = ", ".join(f"{one.domain}.{one.name}" for one in there) or "none"
            raise UnknownModel(
                f"{name!r} does not name one undeclared table or view; there are: {named}",
                "Name one of these, or use --all; `refold status` lists them, too.",
            )
        picked[matching[0].domain, matching[0].name] = matching[0]
    return sorted(picked.values(), key=lambda one: (one.kind == "table", _order(one)))


def drop(db: Database, found: Declared, parts: Sequence[Undeclared]) -> None:
    """Drop views and tables in one transaction.

    Raises StillDeclared, and CannotPromote if somebody else's views depend on one.
    """
    for part in parts:
        if part.declared_by:
            raise StillDeclared(f"{part.domain}.{part.name} is declared by {', '.join(part.declared_by)}")

    def step() -> None:
        builds.lock_exclusive(db)
        for part in parts:
            _drop(db, found, part)

    promote.retried(db, step)


def _drop(db: Database, found: Declared, part: Undeclared) -> None:
    """Drop one table or view. If this code declares a view under the name of a former table, that view stays."""
    name = (part.domain, part.name)
    if name not in {(view.domain, view.name) for view in found.views}:
        view_swap.drop(db, name)
        views.forget(db, name)
    for build in builds.builds(db):
        if build.number in part.builds:
            promote.drop(db, build)


def _by(living: Sequence[Live], name: Name) -> tuple[str, ...]:
    return tuple(f"{process.role} {process.pid}@{process.host}" for process in living if name in process.writes)


def _order(part: Undeclared) -> Name:
    return part.domain, part.name
