"""A trace as JSON: the tree, and the same parts as a flat list, causes before effects."""

from typing import Any

from refold.api.http.reads.explained import explain_path, key_json, record_json
from refold.api.tracing.steps import Reaction, RowTouched, Trace, TracedCommand, TracedEvent, in_order

Json = dict[str, Any]


def traced(found: Trace, following: str | None) -> Json:
    """The whole answer. `following`: the path that searches the log further back."""
    steps = list(in_order(found.roots))
    return {
        "id": found.asked,
        "read_as": found.read_as,
        "complete": found.complete,
        "cut": found.cut,
        "commands": sum(isinstance(step, TracedCommand) for _, step in steps),
        "events": sum(isinstance(step, TracedEvent) for _, step in steps),
        "tree": [command_json(command) for command in found.roots],
        "list": [{"depth": depth, **_line(step)} for depth, step in steps],
        "next": following,
    }


def command_json(node: TracedCommand) -> Json:
    """A command with its events, and what came of them."""
    return {
        **_command(node),
        "fields": node.fields,
        "message": node.outcome.message if node.outcome else None,
        "events": [
            {
                **_event(event),
                "fields": None if event.record is None else list(event.record.events),
                "rows": [_row_json(row) for row in event.rows],
                "reactions": [_reaction_json(reaction) for reaction in event.reactions],
            }
            for event in node.events
        ],
    }


def _row_json(row: RowTouched) -> Json:
    layout = row.layout
    return {
        "domain": layout.model.domain,
        "model": layout.name,
        "key": key_json(layout, row.key),
        "path": explain_path(layout, row.key),
    }


def _reaction_json(reaction: Reaction) -> Json:
    return {**_reaction(reaction), "command": None if reaction.command is None else command_json(reaction.command)}


def _line(step: TracedCommand | TracedEvent | Reaction) -> Json:
    match step:
        case TracedCommand():
            return {"kind": "command", **_command(step)}
        case TracedEvent():
            return {"kind": "event", **_event(step), "rows": [explain_path(row.layout, row.key) for row in step.rows]}
        case Reaction():
            return {"kind": "reaction", **_reaction(step)}


def _command(node: TracedCommand) -> Json:
    outcome, meta = node.outcome, node.meta
    return {
        "command": node.name,
        "command_id": node.command_id,
        "category": node.category,
        "stream": node.stream,
        "status": node.status,
        "code": outcome.code if outcome else None,
        "version": outcome.base_version + outcome.events if outcome else None,
        "occurred_at": meta.occurred_at if meta else None,
        "actor": meta.actor if meta else None,
        "correlation_id": meta.correlation_id if meta else None,
        "cut": node.cut,
    }


def _event(event: TracedEvent) -> Json:
    if event.record is None:
        return {"version": event.version, "position": f"{event.part}:{event.offset}", "unreadable": True}
    return {**record_json(event.record), "unreadable": False}


def _reaction(reaction: Reaction) -> Json:
    return {"reactor": reaction.reactor, "status": reaction.status, "code": reaction.code}
