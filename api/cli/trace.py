"""The command `refold trace`: what came of a command, as a tree."""

from contextlib import closing
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter, validators

from refold.api.cli import exits
from refold.api.cli.numbers import whole
from refold.api.cli.output import print_json, print_tree, say
from refold.api.embedded.servers import connected
from refold.api.http.reads.trace import MOST_LIMIT
from refold.api.http.reads.traced import traced
from refold.api.past_errors import TraceUnknown
from refold.api.tracing.following import MOST_COMMANDS
from refold.api.tracing.tracer import AskedTrace, Tracer
from refold.projections.tables.declared import declared
from refold.streams.domain import load_domains
from refold.streams.log.topics import follow_log
from refold.streams.postgres.connection import answering
from refold.streams.reactors.declared import declared_reactors
from refold.streams.settings import Settings

Limit = Annotated[int, Parameter(converter=whole, validator=validators.Number(gte=1, lte=MOST_LIMIT))]


def trace(id: str, /, *, limit: Limit = MOST_COMMANDS, json: bool = False) -> int:  # noqa: A002 - the argument is an id
    """Show what came of a command: its outcome, its events, the rows that they change, and the reactors' commands.

    Args:
        id: a command's id, the Idempotency-Key that it was sent with, or a correlation id.
        limit: most commands to follow.
        json: print one JSON document, as the HTTP API answers it.
    """
    settings = connected(Settings.load())
    domains = load_domains(settings.domains)
    with answering():
        follow_log(settings, domains)
        tracer = Tracer(settings, domains, declared(domains.names), declared_reactors(domains))
        with closing(tracer):
            found = tracer.trace(AskedTrace(id, limit))
    if not found.roots:
        raise TraceUnknown(f"no command and no correlation has the id {id!r}")
    body = msgspec.to_builtins(traced(found, None), builtin_types=(), str_keys=True)
    if json:
        print_json(body)
    else:
        print_tree(f"{body['read_as']} {id}", [(line["depth"], _line(line)) for line in body["list"]])
        for root in body["tree"]:
            if (root["actor"] or "").startswith("reactor:") and root["correlation_id"] not in (None, id):
                say(f"refold: a reactor sent {root['command_id']}: `refold trace '{root['correlation_id']}'` shows why")
        for reason in body["cut"]:
            say(f"refold: not all is followed: {reason}")
    return exits.DONE


def _line(line: dict[str, Any]) -> str:
    match line["kind"]:
        case "command":
            name = line["command"] or "a command that cannot be read"
            said = f" ({line['code']})" if line["code"] else ""
            who = f", by {line['actor']}" if line["actor"] else ""
            cut = f": {line['cut']}" if line["cut"] else ""
            return f"{name} {line['category']} {line['stream']}: {line['status']}{said}{who}{cut}"
        case "event":
            if line["unreadable"]:
                return f"an event that cannot be read, version {line['version']} at {line['position']}"
            rows = f" → {', '.join(line['rows'])}" if line["rows"] else ""
            return f"{', '.join(line['types'])} version {line['version']} at {line['position']}{rows}"
        case _:
            said = f" ({line['code']})" if line["code"] else ""
            return f"reactor {line['reactor']}: {line['status']}{said}"
