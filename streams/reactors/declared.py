"""Finds the reactors of the configured domains. A domain without a module `reactors` has none."""

from collections.abc import Sequence
from importlib.util import find_spec

from refold.streams.domain import Domains, imported, named_in, package_of
from refold.streams.errors import BadReactor, UnknownDomain
from refold.streams.reactors.reactor import Reactor


def declared_reactors(domains: Domains) -> tuple[Reactor, ...]:
    """Import each domain's `reactors`. Raises UnknownDomain for an unknown category, BadReactor for a repeated name."""
    found = [reactor for name in domains.names for reactor in _of(name)]
    for reactor in found:
        if domains.categories.get(reactor.category.name) != reactor.category:
            raise UnknownDomain(
                f"the reactor {reactor.name} reads {reactor.category.name}, which no configured domain has"
            )
    names = [reactor.name for reactor in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadReactor(f"more than one reactor is named {', '.join(twice)}")
    return tuple(found)


def reacted_categories(domains: Domains) -> frozenset[str]:
    """Names of the categories that reactors read. Raises as `declared_reactors` does."""
    return frozenset(reactor.category.name for reactor in declared_reactors(domains))


def _of(domain: str) -> Sequence[Reactor]:
    path = f"{package_of(domain)}.reactors"
    if find_spec(path) is None:
        return ()
    return named_in(imported(domain, path), "REACTORS", Reactor)
