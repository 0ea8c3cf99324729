"""`refold schemas freeze` and `refold schemas check`: contracts as committed files, like migrations."""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from refold.api.cli import exits
from refold.api.cli.output import print_json, print_table, say
from refold.schemas.avro import Schema
from refold.schemas.catalog import frozen_schemas
from refold.schemas.freeze import freeze as write_frozen
from refold.schemas.freeze import unfrozen
from refold.streams.domain import domain_module
from refold.streams.settings import Settings


def freeze(*, json: bool = False) -> int:
    """Write a new .avsc file for each event and command whose code no frozen file equals.

    Args:
        json: Print what was written as JSON.
    """
    written = [path for schemas, folder in _domains() for path in write_frozen(schemas, Path(str(folder)))]
    _print([{"written": str(path)} for path in written], json=json)
    say(f"{len(written)} schemas frozen; commit the new files." if written else "Every schema is frozen already.")
    return exits.DONE


def check(*, json: bool = False) -> int:
    """Compare the code's schemas with the frozen files; exit 3 when one has no file.

    Args:
        json: Print the differences as JSON.
    """
    missing = [{"category": s["namespace"], "name": s["name"]} for schemas, _ in _domains() for s in schemas]
    _print(missing, json=json)
    say("Run `refold schemas freeze` and commit the new files." if missing else "Every schema is frozen.")
    return exits.DIFFERENT if missing else exits.DONE


def _domains() -> list[tuple[list[Schema], Traversable]]:
    """Of each configured domain, the schemas that are not frozen and the folder they belong in."""
    found = []
    for name in Settings.load().domains:
        module = domain_module(name, "schemas")
        folder = files(module) / "frozen"
        found.append((unfrozen(module.CATEGORIES, frozen_schemas([folder])), folder))
    return found


def _print(rows: list[dict[str, str]], *, json: bool) -> None:
    if json:
        print_json(rows)
    elif rows:
        print_table(rows)
