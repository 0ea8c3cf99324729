"""The domains named in the configuration, loaded: contracts, rules, and the catalog of their schemas."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import ModuleType
from typing import Any

from refold.schemas.catalog import Catalog, frozen_schemas
from refold.schemas.contracts import Category
from refold.streams.decider import Decider
from refold.streams.domain_path import searched
from refold.streams.errors import NameTaken, UnknownDomain

AnyDecider = Decider[Any, Any, Any]
BUILT_IN = ("retail",)
TAKEN = frozenset({"commands", "streams", "registry", "problems", "refold", "public", "information_schema"})
"""`/v1/commands` and `/v1/streams` are paths, `refold` is the schema of our tables, and so on."""
_TAKEN_PREFIXES = ("pg_", "refold_")


@dataclass(frozen=True)
class Domains:
    """What the platform knows of the configured domains."""

    names: tuple[str, ...]
    categories: Mapping[str, Category]
    deciders: Mapping[str, AnyDecider]
    frozen: Mapping[str, Traversable]
    catalog: Catalog


def load_domains(names: Sequence[str]) -> Domains:
    """Import each domain's `schemas` and `streams`. Raises UnknownDomain, NameTaken, SchemaNotFrozen, SchemaCollision."""
    contracts = {name: domain_module(name, "schemas") for name in names}
    rules = {name: domain_module(name, "streams") for name in names}
    for category in (c for module in contracts.values() for c in module.CATEGORIES):
        refuse_taken(category.domain, category.name)
    frozen = {name: files(module) / "frozen" for name, module in contracts.items()}
    catalog = Catalog((c for m in contracts.values() for c in m.CATEGORIES), frozen_schemas(frozen.values()))
    deciders = {d.category.name: d for m in rules.values() for d in m.DECIDERS}
    missing = catalog.categories.keys() - deciders.keys()
    if missing:
        raise UnknownDomain(f"no DECIDERS entry for {', '.join(sorted(missing))}")
    return Domains(tuple(names), catalog.categories, deciders, frozen, catalog)


def refuse_taken(domain: str, what: str) -> None:
    """Raise NameTaken for a domain's name that means something else in a path or a database."""
    if domain in TAKEN or domain.startswith(_TAKEN_PREFIXES):
        raise NameTaken(f"{what}: no domain can be called {domain}")


def domain_module(name: str, part: str) -> ModuleType:
    """`part` (schemas, streams or projections) of a domain: Refold's own, or `<package>.<part>`."""
    path = f"refold.{part}.{name}" if name in BUILT_IN else f"{name}.{part}"
    try:
        return import_module(path)
    except ModuleNotFoundError as problem:
        if problem.name is None:
            raise
        raise UnknownDomain(_not_found(name, path, problem.name)) from problem


def _not_found(domain: str, path: str, missing: str) -> str:
    """What was not found, and where it was looked for."""
    if path != missing and not path.startswith(f"{missing}."):
        return f"the domain {domain!r} cannot be imported: {path} needs the module {missing}, which is not there"
    package, _, _ = missing.rpartition(".")
    if package:
        found = sys.modules.get(package)
        where = ", ".join(getattr(found, "__path__", None) or [str(getattr(found, "__file__", "itself"))])
        return f"the domain {domain!r} has no module {path}: {package} was found in {where}, without {missing}"
    return f"the domain {domain!r} was not found: looked for {missing} in {', '.join(searched())}"
