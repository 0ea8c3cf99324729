"""The command `refold schemas log-check`: tells whether today's code can read everything in the log."""

import time
from dataclasses import asdict
from typing import Any

import psycopg

from refold.api.cli import exits
from refold.api.cli.output import print_json, print_table, say
from refold.api.cli.replay import reported
from refold.api.embedded.servers import connected
from refold.schemas.plurals import counted
from refold.streams.domain import load_domains
from refold.streams.log.check import Found, SchemaCount, check_log
from refold.streams.log.whole_log import places_of, raw_per_s
from refold.streams.postgres.connection import Database, connect
from refold.streams.settings import Settings

_RAW_RECORDS = 500_000
_STANDINGS = {"void": "does not count", "command": "a command; it was rejected"}


def log_check(*, json: bool = False) -> int:
    """Decode every record of the log with today's code; exit with 3 if an event that counts cannot be read.

    Args:
        json: Print one JSON document, with the speed and its ratio to reading alone.
    """
    settings = connected(Settings.load())
    domains = load_domains(settings.domains)
    db = _database(settings)
    began = time.perf_counter()
    with reported("log-check") as progress:
        found = check_log(settings, domains, db, progress)
    seconds = time.perf_counter() - began
    if db is not None:
        db.close()
    if json:
        rates = (
            _rates(found, seconds, raw_per_s(settings, places_of(settings, domains), _RAW_RECORDS))
            if found.records
            else {}
        )
        print_json({**_document(found), **rates})
    else:
        _show(found, seconds)
    return exits.DIFFERENT if found.failed or found.uncoded else exits.DONE


def _database(settings: Settings) -> Database | None:
    try:
        return connect(settings.dsn(), application_name="log-check") if settings.database_url else None
    except psycopg.OperationalError:
        return None


def _document(found: Found) -> dict[str, Any]:
    return {
        "records": found.records,
        "failed": found.failed,
        "void": found.standings["void"],
        "commands": found.standings["command"],
        "without_code": found.uncoded,
        "voids_known": found.voids_known,
        "fell_back": sum(count.fell_back for count in found.schemas.values()),
        "schemas": [asdict(count) for count in _ordered(found)],
        "unreadable": [asdict(one) for one in found.in_order()],
    }


def _rates(found: Found, seconds: float, raw: float) -> dict[str, Any]:
    rate = found.records / seconds
    return {
        "seconds": round(seconds, 2),
        "records_per_s": round(rate),
        "raw_consume_per_s": round(raw),
        "ratio_raw": round(rate / raw, 2),
    }


def _show(found: Found, seconds: float) -> None:
    if found.schemas:
        print_table([asdict(count) for count in _ordered(found)])
    for one in found.in_order():
        note = "" if one.standing == "event" else f" ({_STANDINGS[one.standing]})"
        why = f": {one.detail}" if one.detail else ""
        print(f"{one.topic}/{one.part}@{one.offset}: {one.schema}: {one.reason}{why}{note}")
    others = sum(found.standings.values()) - len(found.listed)
    if others:
        print(f"… and {others:,} more")
    for category, records in found.uncoded.items():
        print(
            f"{category}: {counted(records, 'records')}, but no configured domain has the category, so no code reads them"
        )
    if not found.voids_known:
        say(
            "Postgres did not answer, so it is unknown which records do not count. Each unreadable event is taken for a failure."
        )
    say(
        f"{counted(found.records, 'records')} in {seconds:,.1f} s: {found.records / max(seconds, 1e-9):,.0f}/s. {_verdict(found)}"
    )


def _verdict(found: Found) -> str:
    if not found.failed and found.uncoded:
        return f"Nothing reads {', '.join(found.uncoded)}."
    if not found.failed:
        return "Every event that counts can be read."
    first = next(one for one in found.in_order() if one.standing == "event")
    return f"{counted(found.failed, 'events')} cannot be read, the first at {first.topic}/{first.part}@{first.offset}."


def _ordered(found: Found) -> list[SchemaCount]:
    return sorted(found.schemas.values(), key=lambda count: (count.schema, count.id))
