"""The commands `refold schemas freeze` and `refold schemas check`: contracts as committed files, like migrations."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from refold.api.cli import exits
from refold.api.cli.output import print_json, print_table, say
from refold.schemas.avro import Schema
from refold.schemas.catalog import frozen_schemas
from refold.schemas.compatibility import CODE, NOT_FROZEN, Violation, violations
from refold.schemas.contracts import Category
from refold.schemas.errors import BadUpcaster, ContractError, RefoldError, SchemaIncompatible
from refold.schemas.freeze import freeze as write_frozen
from refold.schemas.freeze import unfrozen
from refold.streams.domain import domain_module, domain_part, frozen_folder
from refold.streams.settings import Settings


def freeze(*, json: bool = False) -> int:
    """Write a new .avsc file for each event and command whose code equals none of its frozen files; none if one breaks a rule.

    Args:
        json: Print what was written as JSON.
    """
    domains = contracts()
    _refuse([v for v in _violations(domains) if v.version == CODE and v.rule != NOT_FROZEN])
    written = [path for module, folder in domains for path in write_frozen(_missing(module, folder), folder)]
    show([{"written": str(path)} for path in written], json=json)
    say(f"{len(written)} schemas frozen; commit the new files." if written else "Every schema is frozen already.")
    return exits.DONE


def check(*, json: bool = False) -> int:
    """Compare the code with the frozen files, and all versions with each other; exit with 3 if a rule is broken.

    Args:
        json: Print the violations as JSON.
    """
    found = _violations(contracts())
    show([asdict(violation) for violation in found], json=json)
    say(_advice(found))
    return exits.DIFFERENT if found else exits.DONE


def contracts() -> list[tuple[ModuleType, Path]]:
    """For each configured domain its contracts and the folder of their frozen files."""
    domains = Settings.load().domains
    for name in domains:
        domain_part(name, "schemas", "CATEGORIES", Category)
    modules = [domain_module(name, "schemas") for name in domains]
    return [(module, Path(str(frozen_folder(name)))) for name, module in zip(domains, modules, strict=True)]


def show(rows: Sequence[dict[str, Any]], *, json: bool) -> None:
    """Print rows; print nothing if there are none."""
    if json:
        print_json(rows)
    elif rows:
        print_table(rows)


def _violations(domains: list[tuple[ModuleType, Path]]) -> list[Violation]:
    return [v for module, folder in domains for v in violations(module.CATEGORIES, folder)]


def _missing(module: ModuleType, folder: Path) -> list[Schema]:
    return unfrozen(module.CATEGORIES, frozen_schemas([folder]))


def _refuse(found: list[Violation]) -> None:
    if found:
        raise error_of(found)(f"nothing was frozen: {first_of(found)}")


def first_of(found: list[Violation]) -> str:
    """The first violation, and how many more there are."""
    more = f", and {len(found) - 1} more (`refold schemas check` lists them)" if len(found) > 1 else ""
    return f"{found[0]}{more}"


def error_of(found: list[Violation]) -> type[RefoldError]:
    """The error whose remedy fits: a class that is no contract was never released, so it is to be corrected."""
    by_rule = {cls.code: cls for cls in (ContractError, BadUpcaster)}
    return by_rule.get(found[0].rule, SchemaIncompatible)


def _advice(found: list[Violation]) -> str:
    if not found:
        return "Every schema is frozen, and every version can read every other."
    if all(violation.rule == NOT_FROZEN for violation in found):
        return "Run `refold schemas freeze` and commit the new files."
    broken = [violation for violation in found if violation.rule != NOT_FROZEN]
    remedies = dict.fromkeys(error_of([violation]).remedy for violation in broken)
    return f"{len(broken)} {'rule' if len(broken) == 1 else 'rules'} broken. {' '.join(remedies)}"
