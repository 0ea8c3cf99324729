"""Loads the configured domains: their contracts, rules, and the catalog of their schemas."""

import sys
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from refold.schemas.catalog import Catalog, frozen_schemas
from refold.schemas.contracts import Category
from refold.schemas.errors import RefoldError
from refold.streams.decider import Decider, facts_alone
from refold.streams.domain_path import searched
from refold.streams.errors import DomainInvalid, NameTaken, UnknownDomain
from refold.streams.refusals import first_line

AnyDecider = Decider[Any, Any, Any]
TAKEN = frozenset(
    {
        "commands",
        "events",
        "streams",
        "explain",
        "trace",
        "registry",
        "problems",
        "refold",
        "public",
        "information_schema",
    }
)
"""Names that no domain may have: `/v1/commands` and `/v1/events` are paths, `refold` is the schema of our tables, and
so on."""
_TAKEN_PREFIXES = ("pg_", "refold_")


@dataclass(frozen=True)
class Domains:
    """All that the platform knows of the configured domains."""

    names: tuple[str, ...]
    categories: Mapping[str, Category]
    deciders: Mapping[str, AnyDecider]
    frozen: Mapping[str, Traversable]
    catalog: Catalog


def load_domains(names: Sequence[str]) -> Domains:
    """Import each domain's `schemas` and `streams`. Raises UnknownDomain, NameTaken, SchemaNotFrozen, SchemaCollision."""
    contracts = [category for name in names for category in domain_part(name, "schemas", "CATEGORIES", Category)]
    rules = [decider for name in names for decider in _rules_of(name, contracts)]
    for category in contracts:
        refuse_taken(category.domain, category.name)
    _refuse_twice([category.name for category in contracts], "category")
    _refuse_twice([decider.category.name for decider in rules], "decider of")
    frozen = {name: frozen_folder(name) for name in names}
    catalog = Catalog(contracts, frozen_schemas(frozen.values()))
    ruled = {decider.category.name for decider in rules}
    rules += [facts_alone(each) for each in contracts if each.name not in ruled and _has_facts_alone(each)]
    deciders = {d.category.name: d for d in rules}
    missing = catalog.categories.keys() - deciders.keys()
    if missing:
        raise UnknownDomain(f"no DECIDERS entry for {', '.join(sorted(missing))}")
    return Domains(tuple(names), catalog.categories, deciders, frozen, catalog)


def _rules_of(name: str, contracts: Sequence[Category]) -> tuple[AnyDecider, ...]:
    """A domain's DECIDERS. One whose categories all have facts alone need have no module of rules."""
    ours = [each for each in contracts if each.domain == name]
    if ours and all(map(_has_facts_alone, ours)):
        package = imported(name, package_of(name))
        if find_spec(f"{package.__name__}.streams") is None:
            return ()
    return domain_part(name, "streams", "DECIDERS", Decider)


def _has_facts_alone(category: Category) -> bool:
    return bool(category.facts) and not category.own_commands


def _refuse_twice(names: Sequence[str], what: str) -> None:
    for name, number in Counter(names).items():
        if number > 1:
            raise DomainInvalid(f"the {what} {name} is declared {number} times")


def refuse_taken(domain: str, what: str) -> None:
    """Raise NameTaken for a domain's name that a path or a database uses for something else."""
    if domain in TAKEN or domain.startswith(_TAKEN_PREFIXES):
        raise NameTaken(f"{what}: no domain can be called {domain}")


def frozen_folder(name: str) -> Traversable:
    """The folder of a domain's released schemas, next to its contracts. Raises DomainInvalid if they are no package."""
    module = domain_module(name, "schemas")
    if not hasattr(module, "__path__"):
        raise DomainInvalid(
            f"{module.__name__} is a file, and frozen schemas need a folder beside it: {module.__file__}",
            f"Make it a package: move it to {name}/schemas/__init__.py.",
        )
    return files(module) / "frozen"


def domain_part(name: str, part: str, named: str, kind: type = object) -> tuple[Any, ...]:
    """A domain module's tuple CATEGORIES, DECIDERS or READ_MODELS. Raises UnknownDomain, DomainInvalid."""
    return named_in(domain_module(name, part), named, kind)


def named_in(module: ModuleType, named: str, kind: type) -> tuple[Any, ...]:
    """A tuple of a domain's module, checked to hold things of one kind. Raises DomainInvalid."""
    found = getattr(module, named, None)
    if not isinstance(found, tuple | list):
        raise DomainInvalid(f"{module.__name__} has no tuple {named}: {module.__file__}")
    for one in found:
        if not isinstance(one, kind):
            raise DomainInvalid(f"{named} holds {one!r:.100}, which is no {kind.__name__}: {module.__file__}")
    return tuple(found)


def domain_module(name: str, part: str) -> ModuleType:
    """`part` of a domain's package: schemas, streams or projections."""
    return imported(name, f"{package_of(name)}.{part}")


def package_of(name: str) -> str:
    """The package of a domain: the one that Refold ships under this name, or else a top-level package."""
    return f"refold.{name}" if files("refold").joinpath(name, "schemas").is_dir() else name


def imported(name: str, path: str) -> ModuleType:
    """A module of a domain. Raises UnknownDomain (not found), DomainInvalid (it raises), or its own RefoldError."""
    try:
        return import_module(path)
    except ModuleNotFoundError as problem:
        if problem.name is None:
            raise
        raise UnknownDomain(_not_found(name, path, problem.name)) from problem
    except RefoldError as problem:
        problem.message += _place(problem)
        raise
    except Exception as problem:  # an author's module may raise anything
        raise DomainInvalid(f"{path} cannot be imported: {_with_place(problem)}") from problem


def _with_place(problem: Exception) -> str:
    """The error of an author's module with its line. A syntax error is not yet in any line that ran."""
    if isinstance(problem, SyntaxError):
        return f"{type(problem).__name__}: {problem.msg} ({problem.filename}, line {problem.lineno})"
    return f"{type(problem).__name__}: {first_line(problem)}{_place(problem)}"


def _place(problem: Exception) -> str:
    """The last line of an author's file that ran, in parentheses; empty if none did."""
    ours = str(files("refold"))
    frames = [frame for frame in traceback.extract_tb(problem.__traceback__) if not frame.filename.startswith("<")]
    theirs = [frame for frame in frames if not frame.filename.startswith(ours)]
    return f" ({theirs[-1].filename}, line {theirs[-1].lineno})" if theirs else ""


def _not_found(domain: str, path: str, missing: str) -> str:
    """The module that was not found, and the places that were searched."""
    if path != missing and not path.startswith(f"{missing}."):
        return f"the domain {domain!r} cannot be imported: {path} needs the module {missing}, which is not there"
    package, _, _ = missing.rpartition(".")
    if package:
        found = sys.modules.get(package)
        where = ", ".join(getattr(found, "__path__", None) or [str(getattr(found, "__file__", "itself"))])
        return f"the domain {domain!r} has no module {path}: {package} was found in {where}, without {missing}"
    return f"the domain {domain!r} was not found: looked for {missing} in {', '.join(searched())}"
