"""The commands `refold domain new` and `refold domain check`: begin a domain, and check all that is declared, without a server."""

import keyword
import logging
import re
from importlib import invalidate_caches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from refold.api.cli import exits, scaffold
from refold.api.cli.output import print_json, print_table, say
from refold.api.cli.schemas import contracts, error_of, first_of
from refold.api.embedded.errors import ExtraMissing
from refold.api.embedded.removal import passing_data
from refold.api.embedded.servers import Servers
from refold.projections.declaring.declaration import Entity, ReadModel, Rollup
from refold.projections.errors import ViewInvalid
from refold.projections.live.trial import refused
from refold.projections.tables.declared import Declared, declared
from refold.schemas.compatibility import NOT_FROZEN, Violation, violations
from refold.schemas.errors import SchemaNotFrozen
from refold.schemas.freeze import freeze, unfrozen
from refold.schemas.plurals import counted
from refold.streams.domain import domain_module, domain_part, frozen_folder, load_domains, package_of, refuse_taken
from refold.streams.domain_errors import DomainExists, DomainNameInvalid
from refold.streams.reactors.declared import declared_reactors
from refold.streams.settings import Settings

_NAME = re.compile(r"[a-z][a-z0-9_]{0,60}")


def new(name: str, /, *, json: bool = False) -> int:
    """Write a small whole domain into the current folder: contracts, rules, read models, tests, and its frozen schemas.

    Args:
        name: The domain's name: lower case letters, digits and _. It is the package, the schema in Postgres and part of each topic.
        json: Print the written files as JSON.
    """
    _refuse_name(name)
    texts = scaffold.files(name)
    _refuse_existing(name, texts)
    for path, text in texts.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
    invalidate_caches()
    module = domain_module(name, "schemas")
    frozen = [str(path) for path in freeze(unfrozen(module.CATEGORIES, []), Path(str(frozen_folder(name))))]
    written = [*texts, *(str(Path(path).relative_to(Path.cwd())) for path in frozen)]
    named = _named(name)
    print_json(written) if json else print_table([{"written": path} for path in (*written, *named)])
    _say_next(name, named=bool(named))
    return exits.DONE


def check(*, json: bool = False) -> int:
    """Load every configured domain and check all that it declares. It ends at the first fault, with its place.

    Where a domain declares views, a Postgres of its own, which runs for a second, tries their SQL on empty tables.

    Args:
        json: Print what the domains declare as JSON.
    """
    settings = Settings.load()
    _refuse([violation for module, folder in contracts() for violation in violations(module.CATEGORIES, folder)])
    domains = load_domains(settings.domains)
    reactors = declared_reactors(domains)
    tried = _try(declared(domains.names))
    rows = [_row(name, domains.categories, reactors) for name in domains.names]
    print_json(rows) if json else print_table(rows)
    say(f"Contracts, rules, read models, links and reactors are sound{tried}.")
    return exits.DONE


def _try(found: Declared) -> str:
    """Let a Postgres of its own make the tables and views, if there are views: only Postgres can judge their SQL.

    Returns the rest of a sentence about it. Raises ViewInvalid for the first one that it refuses.
    """
    if not found.views:
        return ""
    try:
        with passing_data("refold-check-") as room, Servers(room, lambda _: None, kafka=False) as servers:
            logging.disable(logging.ERROR)  # the worker's lines of the same faults; the first one is told below
            faults = refused(str(servers.endpoints().database_url), found)
    except ExtraMissing:
        return "; the SQL of views was not tried, since the extra `embedded` is not installed"
    finally:
        logging.disable(logging.NOTSET)
    if faults:
        name, reason = faults[0]
        raise ViewInvalid(f"{name}: {reason}", "Correct its declaration.")
    return f", and Postgres makes {counted(len(found.views), 'views')} of their SQL"


def _refuse(found: list[Violation]) -> None:
    """Raises SchemaNotFrozen if some contracts are only not frozen yet, else the error of the first broken rule."""
    broken = [violation for violation in found if violation.rule != NOT_FROZEN]
    if broken:
        raise error_of(broken)(first_of(broken))
    if found:
        raise SchemaNotFrozen(first_of(found))


def _refuse_name(name: str) -> None:
    """Raises DomainNameInvalid, NameTaken."""
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise DomainNameInvalid(f"{name!r:.100} cannot name a domain")
    refuse_taken(name, name)


def _refuse_existing(name: str, texts: dict[str, str]) -> None:
    """Raises DomainExists if a file is there, or if Python finds another module of the name."""
    there = [path for path in texts if Path(path).exists()]
    if there or Path(name).exists():
        raise DomainExists(f"{there[0] if there else name} is there already, and nothing was written")
    if package_of(name) != name or find_spec(name) is not None:
        raise DomainExists(f"Python finds another module {name}, and nothing was written")


def _named(name: str) -> list[str]:
    """Write refold.toml if there is none."""
    path = Path("refold.toml")
    if path.exists():
        return []
    path.write_text(scaffold.SETTINGS.replace("@domain@", name))
    return [str(path)]


def _say_next(name: str, *, named: bool) -> None:
    if not named:
        say(f'Add "{name}" to `domains` in refold.toml. Then:')
    say("python -m pytest tests     its tests, without a server")
    say("refold domain check        all that it declares")
    say("refold dev                 Kafka, Postgres, all roles and the API")


def _row(name: str, categories: Any, reactors: Any) -> dict[str, Any]:
    ours = [one for one in categories.values() if one.domain == name]
    models: tuple[ReadModel, ...] = domain_part(name, "projections", "READ_MODELS")
    tables = [model for model in models if isinstance(model, Rollup | Entity)]
    return {
        "domain": name,
        "categories": len(ours),
        "commands": sum(len(one.own_commands) for one in ours),
        "events": sum(len(one.events) for one in ours),
        "read models": len(tables),
        "views": len(models) - len(tables),
        "reactors": sum(one.category.domain == name for one in reactors),
    }
