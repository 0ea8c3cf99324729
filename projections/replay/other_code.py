"""The declarations that a replay folds if they are not those of the configured domains."""

from refold.projections.errors import BadDeclaration
from refold.projections.tables.declared import Declared, declared_of
from refold.streams.domain import Domains, imported, named_in
from refold.streams.errors import UnknownDomain


def declared_in(domains: Domains, code: str) -> Declared:
    """The READ_MODELS of a module. Raises UnknownDomain, DomainInvalid, BadDeclaration, NameTaken.

    Their events must be those of the configured domains, since these read the log.
    """
    try:
        module = imported(code, code)
    except UnknownDomain as problem:
        raise UnknownDomain(
            f"--code {code}: {problem.message}", "Name a module that Python can import, with a tuple READ_MODELS."
        ) from problem
    found = declared_of(named_in(module, "READ_MODELS", object))
    for category, kinds in found.types.items():
        known = domains.catalog.categories.get(category)
        for kind in kinds:
            if known is None or not (kind.is_rejection or kind.event in known.events):
                raise BadDeclaration(
                    f"{code} reads {kind.event.__name__} of {category}, as {kind.event.__module__} declares it; the configured"
                    f" domains ({', '.join(domains.names)}) have no such event"
                )
    return found
