"""The order of declared views, which may read each other, and the tables that each finally reads."""

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from refold.projections.declaring.declaration import ReadModel, View
from refold.projections.errors import BadDeclaration

Name = tuple[str, str]


def in_order(models: Sequence[ReadModel]) -> tuple[View, ...]:
    """The views among the models, each after those that it reads.

    Raises BadDeclaration for an unknown name or a cycle.
    """
    views = {(model.domain, model.name): model for model in models if isinstance(model, View)}
    there = {(model.domain, model.name) for model in models}
    for view in views.values():
        _check_reads(view, there)
    order = TopologicalSorter({name: [read for read in reads(view) if read in views] for name, view in views.items()})
    try:
        return tuple(views[name] for name in order.static_order())
    except CycleError as problem:
        circle = " -> ".join(".".join(name) for name in reversed(problem.args[1]))
        raise BadDeclaration(f"views read each other: {circle}") from problem


def reads(view: View) -> list[Name]:
    """The domain and name of everything that a view reads."""
    return [(view.domain, name) for name in dict.fromkeys(view.reads)]


def tables_read(views: Sequence[View]) -> Mapping[Name, tuple[str, ...]]:
    """For each view the names of the tables that its rows finally come from; `views` are in order."""
    found: dict[Name, tuple[str, ...]] = {}
    for view in views:
        tables = [table for name in reads(view) for table in found.get(name, (name[1],))]
        found[view.domain, view.name] = tuple(dict.fromkeys(tables))
    return found


def _check_reads(view: View, there: set[Name]) -> None:
    for domain, name in reads(view):
        if (domain, name) in there:
            continue
        of_others = "." in name or any(name == other for _, other in there)
        why = (
            "a view reads its own domain alone"
            if of_others
            else f"there are {', '.join(sorted(other for of, other in there if of == domain and other != view.name))}"
        )
        raise BadDeclaration(f"{view.name}: `reads` names {name}, which {domain} does not have; {why}")
