"""The command `refold status`: owners, lag, voids, builds, parked streams, and whether writes are decided."""

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Any

from refold.api.cli import exits
from refold.api.cli.output import print_json, print_table, say
from refold.api.embedded.servers import connected
from refold.api.health import Health, of_tables, partitions
from refold.projections.replay.due import due
from refold.projections.replay.undeclared import undeclared
from refold.projections.tables.declared import declared
from refold.projections.tables.serving import model_states, view_faults
from refold.schemas.plurals import counted
from refold.streams.chunk import Place
from refold.streams.domain import Domains, load_domains
from refold.streams.errors import DatabaseNewer
from refold.streams.operation.claims_ahead import waiting
from refold.streams.operation.lag import Lag, LagReader
from refold.streams.operation.members import MemberReader
from refold.streams.operation.presence import disagreements, live_processes, troubles
from refold.streams.operation.running_code import running_code
from refold.streams.operation.verdict import Finding
from refold.streams.postgres.connection import ABSENT, Database, answering, connect, has_table
from refold.streams.postgres.control_tables import look
from refold.streams.reactors.declared import reacted_categories
from refold.streams.settings import Settings

_SAMPLE_S = 1.0
_ANSWERS_S = 3.0
"""Seconds after which Kafka counts as away. Somebody waits, and with the start of Python it is known within 5."""
_CLOSES = "log-", "kafka-", "postgres-", "database-unavailable", "database-refused"
"""How the codes of findings begin that keep every command from being decided."""
_DECIDING = "handler", "core"
_PARTLY = "waits", "does-not-move", "ends-again-and-again"
"""Codes of findings that may concern only some partitions of a role."""

_SHOWN = {
    "owners": (
        "refold.claims",
        "SELECT category, part AS partition, epoch, writer, last_command_offset FROM refold.claims ORDER BY 1, 2",
    ),
    "rejections": (
        "refold.outcomes",
        "SELECT category, code, count(*) AS commands FROM refold.outcomes WHERE code IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2",
    ),
    "voids": (
        "refold.voids",
        "SELECT topic, reason, count(*) AS ranges, sum(last_offset - first_offset + 1)::bigint AS records FROM refold.voids GROUP BY 1, 2 ORDER BY 1, 2",
    ),
    "builds": (
        "refold.builds",
        "SELECT build, domain, model, status, detached_code, changed_at FROM refold.builds WHERE status <> 'dropped' ORDER BY 1",
    ),
    "reactors_parked": (
        "refold.reactor_parked",
        "SELECT reactor, category, code, count(*) AS streams, sum(waiting)::bigint AS events FROM refold.reactor_parked GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    ),
    "parked": (
        "refold.parked",
        "SELECT category, stream, build, code, part || ':' || first_offset AS at, waiting FROM refold.parked ORDER BY at DESC LIMIT 50",
    ),
}
"""Statements by the name under which their rows are shown, each with the table that it needs."""


def status(*, json: bool = False) -> int:
    """Show lag, writers, records that do not count, read models, builds, and streams that wait for a reactor.

    Args:
        json: Print everything as one JSON document.
    """
    settings = connected(Settings.load())
    domains = load_domains(settings.domains)
    with answering(), closing(connect(settings.dsn(), application_name="status")) as db:
        found = _found(db, settings, domains)
    if json:
        print_json(found)
    else:
        _print(found)
    return exits.DIFFERENT if found["findings"] else exits.DONE


def _found(db: Database, settings: Settings, domains: Domains) -> dict[str, Any]:
    """Everything to show.

    If the tables are another code's or not whole, that finding and whatever can still be asked.
    """
    tables = look(db)
    said = of_tables(db, tables)
    shown = {
        "version": tables.version,
        "code": tables.knows,
        "served_from": tables.served_from,
        "missing": tables.lacks,
    }
    try:
        found = _nothing(said) if isinstance(tables.problem(), DatabaseNewer) else _status(db, settings, domains, said)
    except ABSENT:
        if not said:
            raise
        found = _nothing(said)
    return {**found, "findings": [asdict(each) for each in said] + found["findings"], "tables": shown}


def _nothing(said: Sequence[Finding]) -> dict[str, Any]:
    """The result of `_status` when the tables cannot be asked."""
    parts = (
        "findings",
        "partitions",
        "troubles",
        "disagreements",
        "processes",
        "lag",
        *_SHOWN,
        "models",
        "views",
        "undeclared",
        "due",
    )
    return {"writes": f"unknown: {said[0].code}", **{name: [] for name in parts}}


def _status(db: Database, settings: Settings, domains: Domains, said: Sequence[Finding]) -> dict[str, Any]:
    health = Health(
        db,
        settings,
        domains,
        LagReader(settings, domains, reacted_categories(domains)),
        MemberReader(settings),
        answers_s=_ANSWERS_S,
    )
    has_folded, has_models = has_table(db, "refold.positions"), has_table(db, "refold.builds")
    first = health.look(live_processes(db))
    seen = health.looked_again(first)
    live, waits = seen.live, troubles(db)
    models = model_states(db, settings.domains) if has_models else []
    found = health.findings(waits, models, seen, lambda seconds: first if seen.began - first.began >= seconds else None)
    return {
        "findings": [asdict(finding) for finding in found],
        "partitions": partitions(seen, live),
        "troubles": [asdict(trouble) for trouble in waits],
        "disagreements": disagreements(live, running_code(settings.domains)),
        "processes": [{**asdict(process), "writes": _named(process.writes)} for process in live],
        "writes": _writes(db, settings, health, seen.lags, [*said, *found])
        if has_folded
        else "no worker has run on this database yet",
        "lag": [asdict(lag) for lag in seen.lags],
        **{name: _rows(db, statement) if has_table(db, table) else [] for name, (table, statement) in _SHOWN.items()},
        "models": [{**asdict(state), "status": state.status} for state in models],
        "views": [asdict(fault) for fault in view_faults(db, settings.domains)] if has_models else [],
        "undeclared": _undeclared(db, settings) if has_models and has_table(db, "refold.views") else [],
        "due": [asdict(one) for one in due(db, declared(settings.domains))]
        if has_models and has_table(db, "refold.views")
        else [],
    }


def _undeclared(db: Database, settings: Settings) -> list[dict[str, Any]]:
    """Tables and views that this code does not declare, each with the command that drops it."""
    found = undeclared(db, declared(settings.domains))
    shown = [(part, ", ".join(part.declared_by) or None) for part in found]
    return [
        {"domain": part.domain, "name": part.name, "kind": part.kind, "declared_by": by, "drop": part.command}
        for part, by in shown
    ]


def _writes(db: Database, settings: Settings, health: Health, lags: Sequence[Lag], found: list[Finding]) -> str:
    """Whether commands are decided now. In each partition a handler decides once the fold has reached its claim."""
    codes = [finding.code for finding in found]
    if nobody := [role for role in _DECIDING if f"no-{role}" in codes]:
        return f"closed: no {' and no '.join(nobody)} runs"
    if refused := [code for code in codes if code.startswith(_CLOSES)]:
        return f"closed: {refused[0]}"
    waits = waiting(settings.kafka_servers(), lags)
    if waits:
        time.sleep(_SAMPLE_S)
        return _waiting(waits, lags, health.lags())
    claimed = _rows(db, "SELECT count(*) FILTER (WHERE writer IS NULL) AS none, count(*) AS all FROM refold.claims")[0]
    if claimed["all"] == 0:
        return "no handler has claimed a partition yet"
    if claimed["none"] == 0:
        partly = sorted({each.role for each in found if each.code in _PARTLY and each.role in _DECIDING})
        return f"open, but not where the {' or the '.join(partly)} stands still" if partly else "open"
    return f"{claimed['none']} of {counted(claimed['all'], 'partitions')} {'has' if claimed['none'] == 1 else 'have'} no writer now"


def _waiting(waits: list[Place], before: Sequence[Lag], after: Sequence[Lag]) -> str:
    """The events that the slowest waiting partition still has to fold, and the time left at the last second's pace."""
    then, now = ({(lag.topic, lag.part): lag for lag in lags if lag.group == "core"} for lags in (before, after))
    slowest = max(waits, key=lambda place: now[place].records)
    left, rate = now[slowest].records, (now[slowest].position - then[slowest].position) / _SAMPLE_S
    eta = f"about {left / rate:,.0f} s" if rate > 0 else "unknown: the core does not move there"
    return (
        f"writes wait for the fold on {len(waits)} of {counted(len(now), 'partitions')}: "
        f"{counted(left, 'events')} on {slowest[0]}/{slowest[1]}, ETA {eta}"
    )


def _named(writes: Mapping[tuple[str, str], str]) -> dict[str, str]:
    return {f"{domain}.{model}": fingerprint for (domain, model), fingerprint in writes.items()}


def _print(found: dict[str, Any]) -> None:
    for finding in found["findings"]:
        say(f"STANDS STILL ({finding['code']}): {finding['says']}\n  {finding['do']}")
    for sentence in found["disagreements"]:
        say(f"WARNING: {sentence}")
    said = [finding["says"] for finding in found["findings"]]
    for trouble in found["troubles"]:
        if any(trouble["says"] in each for each in said):
            continue  # the finding has it
        what = trouble["says"] if trouble["says"].startswith("ended: ") else f"waits: {trouble['says']}"
        say(f"WARNING: {trouble['role']} {trouble['pid']}@{trouble['host']} {what} ({trouble['seconds']:.0f} s ago)")
    print(f"writes: {found['writes']}")
    print(f"tables: version {found['tables']['version']}, this code: {found['tables']['code']}")
    if found["processes"]:
        print_table([_process(process) for process in found["processes"]], "processes")
    print_table(_by_topic(found["lag"]), "lag (--json has each partition)")
    tables = (
        "owners",
        "rejections",
        "voids",
        "models",
        "views",
        "undeclared",
        "due",
        "builds",
        "parked",
        "reactors_parked",
    )
    for name in tables:
        if found[name]:
            print_table(found[name], name)


def _by_topic(lags: list[dict[str, Any]]) -> list[dict[str, object]]:
    """A line for each group and topic: its total lag, and the partitions that have it."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for lag in lags:
        found.setdefault((lag["group"], lag["topic"]), []).append(lag)
    return [
        {
            "group": group,
            "topic": topic,
            "records behind": sum(lag["records"] for lag in parts),
            "seconds": max((lag["seconds"] or 0.0 for lag in parts), default=0.0),
            "of all": sum(lag["end"] for lag in parts),
            "partitions behind": ", ".join(str(lag["part"]) for lag in parts if lag["records"]),
        }
        for (group, topic), parts in found.items()
    ]


def _process(process: dict[str, Any]) -> dict[str, object]:
    code = "\n".join(f"{code['domain']} {code['fingerprint']} {code['file']}" for code in process["code"])
    shown = {name: process[name] for name in ("role", "host", "pid", "version")}
    return {**shown, "started": f"{process['started_at']:%Y-%m-%d %H:%M:%S}", "code": code}


def _rows(db: Database, statement: str) -> list[dict[str, Any]]:
    cursor = db.execute(statement.encode())
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
