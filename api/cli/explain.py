"""The command `refold explain`: the events behind one row, what each changed, and whether they add up to it."""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Annotated, Any

from cyclopts import Parameter, validators

from refold.api.cli import exits
from refold.api.cli.numbers import whole
from refold.api.cli.output import as_text, print_json, print_rows, say
from refold.api.cli.replay import reported
from refold.api.embedded.servers import connected
from refold.api.errors import RowAbsent, RowKeyInvalid
from refold.api.http.reads.explain import find_explained
from refold.api.http.reads.explained import explained
from refold.api.http.reads.row_keys import Key, key_of_conditions, key_of_text
from refold.api.http.reads.services import WhyServices
from refold.projections.explaining.explainer import Asked, Explainer
from refold.projections.tables.declared import declared
from refold.projections.tables.served import ServedModel
from refold.schemas.plurals import counted
from refold.streams.domain import load_domains
from refold.streams.log.history import History
from refold.streams.log.topics import follow_log
from refold.streams.postgres.connection import answering
from refold.streams.settings import Settings

MOST_SHOWN = 1000
Limit = Annotated[int, Parameter(converter=whole, validator=validators.Number(gte=0, lte=MOST_SHOWN))]


def explain(
    model: str,
    key: str | None = None,
    /,
    *,
    where: Annotated[list[str] | None, Parameter(negative=())] = None,
    limit: Limit = 20,
    newest: bool = False,
    json: bool = False,
) -> int:
    """Say why a row is as it is: the events behind it, and what each changed in which column.

    Args:
        model: the read model, as `retail.store_daily`.
        key: the row's key, its columns joined by commas, as in the row's path.
        where: a column of the key, as `day=eq.2026-01-31` or `owner=is.null`, once for each column, in place of KEY.
        limit: most events to list; the totals are of all of them.
        newest: list the newest first.
        json: print one JSON document, as the HTTP API answers it.
    """
    settings = connected(Settings.load())
    domains = load_domains(settings.domains)
    found = declared(domains.names)
    domain, _, name = model.rpartition(".")
    served = find_explained(WhyServices(found), domain or _domain_of(found.layouts, name), name)
    asked = Asked(served.domain, served.name, _key(served, key, where), limit, newest=newest)
    with answering():
        follow_log(settings, domains)
        history = History(settings.kafka_servers(), settings.topic_prefix, domains)
        with closing(Explainer(settings, domains.catalog, found, history)) as explainer, reported("search") as report:
            told = explainer.explain(asked, _if_long(report))
    if told.is_empty:
        raise RowAbsent(f"{served.name} has no row {key or ', '.join(where or ())}, and no event that made one")
    body = explained(told, settings.topic_prefix, None, adds_up=told.adds_up)
    if json:
        print_json(body)
    else:
        _show(body)
    return exits.DIFFERENT if told.adds_up is False else exits.DONE


def _domain_of(layouts: Any, name: str) -> str:
    return next((domain for domain, model in layouts if model == name), "")


def _key(model: ServedModel, key: str | None, where: Sequence[str] | None) -> Key:
    if (key is None) == (not where):
        raise RowKeyInvalid("name the row by KEY, or by --where for each column of its key")
    return key_of_text(model, key) if key is not None else key_of_conditions(model, where or ())


def _if_long(report: Callable[[int, int], None]) -> Callable[[int, int], None]:
    """Progress of a search that reads more than one batch."""

    def progress(done: int, of: int) -> None:
        if done < of:
            report(done, of)

    return progress


def _show(body: dict[str, Any]) -> None:
    key = ", ".join(f"{name}={_text(value)}" for name, value in body["key"].items())
    rows = [
        [
            one["position"].rpartition("/")[2],
            one["stream"],
            str(one["version"]),
            ", ".join(one["types"]),
            as_text(one["occurred_at"]),
            one["actor"],
            one["effect"] if not one["changes"] else "\n".join(_change(*change) for change in one["changes"].items()),
        ]
        for one in body["changes"]
    ]
    names = ("at", "stream", "version", "event", "occurred", "actor", "changed")
    print_rows(names, rows, f"{body['domain']}.{body['model']} {key}")
    row = body["row"] or {}
    totals = [
        [name, _text(row.get(name)), _text(total["value"]), str(total["events"]), _text(total.get("adds", ""))]
        for name, total in body["totals"].items()
    ]
    print_rows(("column", "row", "from events", "changed by", "added"), totals, f"at {body['position']}")
    for one in body["waiting"]:
        events = f"{len(one['events'])} events of this row wait" if one["events"] else "an event cannot be read"
        say(f"refold: {one['category']} {one['stream']} is parked from {one['from']} on ({one['code']}): {events}")
    for one in body["void"]:
        say(f"refold: {one['stored_type']} at {one['position']} does not count ({one['reason']})")
    if body["not_looked_at"]:
        say(f"refold: {body['not_looked_at']} parked streams or void records were not looked at")
    listed = f"{len(body['changes'])} of {body['events']} events listed"
    says = "they add up to the row" if body["adds_up"] else "they do NOT add up to the row"
    say(f"{listed}, of {counted(body['records_read'], 'records')} read: {says}.")


def _change(name: str, change: dict[str, Any]) -> str:
    adds = f" ({'' if str(change['adds']).startswith('-') else '+'}{change['adds']})" if "adds" in change else ""
    return f"{name}: {_text(change['before'])} → {_text(change['after'])}{adds}"


def _text(value: Any) -> str:
    return "null" if value is None else str(value)
